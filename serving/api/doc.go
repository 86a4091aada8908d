// Package api is the HTTP interface of the serving layer: queries, views, publications,
// health and the OpenAPI document, which is the reference of it all.
//
// # Errors
//
// Every error is application/problem+json (RFC 9457) with a stable code, listed in the
// OpenAPI document. Faults of the request name the field. Faults of the server say what is out of
// order but not why: the reason is in the log.
//
// # GET /v1/query
//
// Takes the same query as POST, as parameters:
//
//	view, from, to, granularity, time_zone, limit, mode, as_of   as in JSON, once each
//	fill                       true or false
//	measures, group_by         names, separated by commas or repeated
//	order_by                   name or name:asc or name:desc, separated by commas or repeated
//	where                      repeated: dimension:op:value, as in origin:in:ORD,ATL or delay:exists:true
//
// Values of in and not_in are separated by commas; of the other operators the rest is the value,
// commas and colons included. Values get the dimension's type. A list that holds a null or a comma needs POST.
//
// # Admission
//
// At most MaxConcurrent queries run and MaxQueued wait; more are refused at once with 429, because
// a queue without a bound answers everybody late instead of some in time.
package api
