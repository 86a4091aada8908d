// Package api is the HTTP interface of the serving layer: queries, views, publications, scores,
// dead letters, health and the OpenAPI document, which is the reference. API.md explains it by
// examples.
//
// # Errors
//
// Every error is application/problem+json (RFC 9457) with a stable code, which the OpenAPI
// document lists. An error of the request names the field. An error of the server says what does
// not work. The reason is only in the log.
//
// # GET /v1/query
//
// It accepts the same query as POST, as parameters:
//
//	view, from, to, granularity, time_zone, limit, limit_per_window, cursor, mode, as_of   as in JSON, once each
//	derived                    repeated: a number such as ratio = clicks / views (query.ParseDerived)
//	compare, rolling           as in JSON, once each
//	fill, totals, others       true or false, as cumulative is
//	measures, group_by         names, separated by commas or repeated
//	order_by                   name or name:asc or name:desc, separated by commas or repeated
//	format                     of the answer; POST has it in its address, too
//	where, having              repeated: conditions as a text (query.ParseWhere), all of which have to hold
//
// Values get the type of the dimension or the measure.
//
// # Compression
//
// Answers of at least smallAnswer bytes are compressed as Accept-Encoding says, while their query still has its place:
// what waits for a slow client is small then, and no more answers are compressed at once than queries may run.
//
// # Admission
//
// At most MaxConcurrent queries run and MaxQueued queries wait. Further queries are refused at
// once with 429, because an unbounded queue would answer all clients late instead of some in time.
package api
