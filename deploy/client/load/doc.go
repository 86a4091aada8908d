// Package load is an open-loop load generator that keeps a record of what it was promised.
//
// Open loop means that requests leave when the schedule says so, whether or not
// earlier ones have been answered, and that latency counts from the moment the
// schedule wanted a request sent. A generator that waits for answers before it sends
// on measures a slow server less often than a fast one and reports neither
// (coordinated omission).
//
// Requests in flight are bounded, so an open loop can fail to be one. A request that
// finds no place is sent late and its wait counts; one later than Patience is not
// sent and counts as missed. Both are in the summary: the load is never silently less.
//
// Every event is a function of its number: content, time, whether it is late or
// malformed. So a retry or a duplicate is encoded again from numbers, nothing that was
// sent is kept, and what the server must have counted can be computed afterwards.
//
// Events are made to fit a view that the server serves, as GET /v1/views describes it.
package load
