// Package declaration is the form in which people declare event types and views. A configuration file has it below
// events.NAME and views.NAME, as YAML. The HTTP API has the same in bodies and answers, as JSON or YAML:
//
//	fields: {page: string, ms: int64}           an event type
//	fields: {amount: "decimal(18,2)"}           in quotes, because of YAML's commas between braces
//
//	event: hit                                  a view
//	dimensions: [page]
//	cell: 1m
//	where: [{field: ms, op: ge, value: 10}]
//	measures: {hits: {count: {}}, slowest: {max: ms}}
//
// A field may also be written {type: int64}, and then have a path in data and null values:
//
//	country: {type: string, path: user.country, null_values: ["", NA]}
//
// or be computed from other fields (package expression):
//
//	site: {type: string, expression: lower(host(page))}
//
// The path is a list of names, or a text as catalog.ParsePath reads it. Both languages are read into YAML's nodes,
// and one reader goes through these, so that no key has two meanings. The forms that the package writes are
// canonical: the same declaration always has the same text, and Tag names it.
package declaration
