package query

import (
	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// EventsOf says which raw events are read: those of a tenant and a type that a publication counts, with times in
// [From, To).
type EventsOf struct {
	Catalog  *catalog.Catalog // declares the fields
	State    *record.State
	Type     string
	Tenant   string
	From, To int64
	Columns  []string // declared fields, and others that every event has
	Memory   *Share   // of the reading, not of what it returns; nil has no limit
}

// EventRows are raw events, among rows that were not asked for. They are valid until the function that got them
// returns.
type EventRows struct {
	eventbatch.Columns
	Wanted []bool // by row
	Copies []bool // by row: the event is a copy of one at a lower position, and does not count
	// Lost has the rows whose values are null because the declared type cannot hold them.
	Lost conversion.Lost
}
