// Package faultproxy is a TCP proxy that is as bad as a network can be: latency and
// jitter, bandwidth limits, stalls, flipped bits, resets, connections that are half open.
// Each direction has faults of its own, and they may be changed while connections are open.
//
// What is drawn (jitter, where bits flip) comes from the seed, the number of the
// connection and the direction, so a run repeats as far as its timing does.
//
// A stall keeps bytes and delivers them when it ends, as retransmission would after a
// short partition. A connection that HalfOpen has hit swallows bytes and never ends by
// itself, as one whose other end lost power: what was swallowed cannot be delivered later.
package faultproxy
