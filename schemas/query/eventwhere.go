package query

import "recount/schemas/catalog"

// Limits of a page of events.
const (
	DefaultEvents = 100
	MaxEvents     = 5000
)

// EventSelection says which events of a tenant are listed, the newest first.
type EventSelection struct {
	Tenant   string
	Event    *catalog.EventType
	From, To int64 // event time, microseconds since 1970; To is not included
	Where    Predicate
	Limit    int // of the page
	// Cursor is where the page before ended, or empty. It has the times of the first page. Asked is what was asked for
	// besides the page, as it was written: a cursor is refused with anything else.
	Cursor, Asked string
	Memory        *Share // nil has no limit
}

// EventPredicate resolves the where of a list of events. It compares the declared fields of the event type, and the
// attributes that views may use, as the where of a query compares dimensions. Times and decimals have their order too.
func EventPredicate(e *catalog.EventType, where []Condition) (Predicate, error) {
	r := resolver{clause: &whereClause}
	r.compare = func(c *Condition, place string) error { return r.field(e, c, place) }
	resolved, err := r.list(where, r.clause.field, 0)
	if err != nil {
		return Predicate{}, err
	}
	return joined(false, resolved, false), nil
}

// field resolves a comparison of a field of an event type.
func (r *resolver) field(e *catalog.EventType, c *Condition, place string) error {
	t, found := e.Column(c.Dimension)
	switch {
	case c.Measure != "":
		return invalid(place, "events have no measure %s; compare a field", c.Measure)
	case !found:
		return invalid(place, "event type %s has no field %q; where compares declared fields, source and subject",
			e.Name, c.Dimension)
	case t == catalog.Float64:
		return invalid(place, "%s is float64, which where does not compare; ask for the events in SQL", c.Dimension)
	}
	c.Type = t
	if err := c.resolve(place); err != nil {
		return err
	}
	if r.values += len(c.Values); r.values > MaxAllValues {
		return invalid(place, "more than %d values in all conditions; ask several times", MaxAllValues)
	}
	return nil
}
