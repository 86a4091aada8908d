// Package faultproxy is a TCP proxy that behaves as badly as a network can: latency and
// jitter, bandwidth limits, stalls, flipped bits, resets, and half-open connections.
// Each direction has its own faults, which may be changed while connections are open.
//
// Random choices (jitter, the places of flipped bits) are drawn from the seed, the number
// of the connection and the direction. A run therefore repeats as far as its timing does.
//
// A stall keeps bytes and delivers them when it ends, as retransmission does after a short
// partition. HalfOpen makes the open connections swallow bytes and never end by themselves,
// as if the other end had lost power. Swallowed bytes are not delivered later.
package faultproxy
