// Package load is an open-loop load generator that records what the server promised.
//
// Open loop means that requests are sent when the schedule says so, whether or not earlier requests have been answered.
// Latency counts from the moment at which the schedule wanted the request to be sent. A generator that waits for an
// answer before it sends the next request measures a slow server less often than a fast one, and does not report it
// (coordinated omission).
//
// The number of requests in flight is limited. When the limit is reached, the next request is sent late and its wait
// counts as latency. A request that would be later than Patience is not sent and counts as missed. The summary shows
// both, so the load is never smaller without a report.
//
// Every event is a function of its number: its content, its time, and whether it is late or malformed. A retry or a
// duplicate is encoded again from the number, so no sent event is kept in memory. What the server must have counted can
// be computed after the run.
//
// Events are made to fit a view that the server serves, as GET /v1/views describes it.
package load
