package catalog

import "fmt"

// Changes says what a declaration changes of an event type that data is stored under, one sentence a field. Nothing of
// it is refused, because stored events keep the types that they came with, and package conversion reads them as they
// are declared. A field that is only added is no change. Neither is another path or another list of null values,
// because stored events have no trace of them.
func Changes(stored, declared *EventType) (out []string) {
	for _, f := range stored.Fields {
		place := fmt.Sprintf("events.%s.fields.%s", stored.Name, f.Name)
		switch t, ok := declared.reads(f.Name); {
		case !ok:
			out = append(out, fmt.Sprintf("%s: stored as %s and no longer declared; its values are kept, and count "+
				"again once it is declared", place, f.Type))
		case t != f.Type:
			how := fmt.Sprintf("%s where that is exact", t)
			if t == Float64 { // As at ingest.
				how = "the nearest float64 where they are numbers"
			}
			out = append(out, fmt.Sprintf("%s: stored as %s and declared as %s; stored values count as %s, else as "+
				"missing, and answers give their number as unconverted_events", place, f.Type, t, how))
		}
	}
	return out
}

// reads returns the type in which a field reads a stored column: the one of the column's name if there is one.
func (e *EventType) reads(column string) (t FieldType, ok bool) {
	for _, f := range e.Fields {
		if f.Column() == column && (!ok || f.Name == column) {
			t = f.Type
			ok = true
		}
	}
	return t, ok
}
