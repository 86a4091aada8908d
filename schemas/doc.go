// Package schemas is the root of the contracts between recount's layers.
//
// Everything but fault is pure: no I/O, no clocks, no goroutines. Every layer may
// import these packages and they import nothing else of recount, so a type that
// two layers must agree on has exactly one place to live.
//
//	access     who is asking: scopes, tenants, the principal in a request's context
//	catalog    event types, views and measures, as configured; digests; schema evolution
//	eventbatch the log message: frame header, Arrow columns, identity key, partition function
//	position   offsets, the cut rule (C1), epochs (L5), and the errors of a log that lacks a message
//	deadletter rejected events: themselves events, of a reserved type
//	record     commit records (C3), the commit chain, publications (P1) and their resolution, retirements
//	window     cells, buckets and query windows in any time zone: the only time arithmetic
//	distinct   the value hash, the exact small set and the HyperLogLog sketch beside it
//	viewplan   the row filter of a view, run by both layers on the same Arrow columns
//	query      the query, the scan both layers answer, and its partial results
//	sqlschema  names, types and DDL of the ClickHouse tables
//	openapi    the document of the HTTP API
//	fault      the one exception: switches that turn rules off and places to end a process at, in test builds; and its clock
//
// # Invariants
//
//	I1  Identity is (tenant, id). All copies of an event have one key and one partition (L3).
//	I2  Duplicates are removed within (event type, key, bucket). A copy of an id with another time in
//	    another bucket, or of another type, breaks the client's contract (D1) and counts there; both
//	    layers agree on that.
//	I3  An event whose time the server assigned is also a duplicate when the bucket before its own
//	    of the type holds the same key with an assigned time (D1).
//	I4  Cut points are a pure function of log content (C1), so every reader of the log finds the same segments.
//	I5  Sequences are continuous across epochs and never reused below the chain head (L5).
//	I6  Every half-open range is [start, end); every time is in UTC microseconds since 1970.
package schemas
