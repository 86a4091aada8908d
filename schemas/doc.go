// Package schemas is the root of the contracts between recount's layers.
//
// Everything but durable, failpoint and the writer in problem is pure: no I/O, no clocks, no
// goroutines. Every layer may import these packages and they import nothing else of recount,
// so a type that two layers must agree on has exactly one place to live.
//
// PROTOCOL.md, in this folder, is the law: it defines the numbered rules that code, tests and
// documents cite, such as (C5), and says where each stored format is documented.
//
//	access     who is asking: scopes, tenants, the principal in a request's context
//	catalog    event types, views and measures, as configured; digests; what a change means
//	conversion stored events as their type is declared now, read by both layers
//	eventbatch the log message: frame header, Arrow columns, identity key, partition function
//	setting    what an operator may set: key, bounds, meaning; mistakes in a configuration
//	position   offsets, the cut rule (C1), epochs (L5), and the errors of a log that lacks a message
//	deadletter rejected events: themselves events, of a reserved type
//	record     the commit log, commit records (C3), the commit chain, publications (P1), retirements
//	instant    RFC 3339 times, read in one way for events, queries, filters and commands
//	window     cells, buckets and query windows in any time zone: the only time arithmetic
//	distinct   the value hash, the exact small set and the HyperLogLog sketch beside it
//	viewplan   the row filter of a view, run by both layers on the same Arrow columns
//	query      the query, the scan both layers answer, and its partial results
//	sqlschema  names, types and DDL of the ClickHouse tables
//	openapi    the document of the HTTP API, and the bodies of answers that handlers and clients share
//	problem    refusals (RFC 9457): the type, the codes, the only writer, and the ids of requests
//	durable    an exception: replaces files so that a crash leaves the old or the new one, and locks folders
//	failpoint  an exception: in test builds it turns rules off, ends a process at named places, and sets its clock
package schemas
