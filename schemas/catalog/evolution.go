package catalog

import (
	"errors"
	"fmt"
)

// CheckEvolution says whether a declared event type may follow one that data is
// stored under. A field may be added at any time: older files read it as null. A
// removed field or a changed type is refused, because a view computed from the
// whole lake would silently change its meaning half-way.
func CheckEvolution(stored, declared *EventType) error {
	var errs []error
	for _, f := range stored.Fields {
		t, ok := declared.field(f.Name)
		path := []string{"events", stored.Name, "fields", f.Name}
		switch {
		case !ok:
			errs = append(errs, mistake(fmt.Sprintf("the lake holds this field as %s and it is no longer declared; "+
				"declare it again (producers may stop sending it: it is null then)", f.Type), path...))
		case t != f.Type:
			errs = append(errs, mistake(fmt.Sprintf("the lake holds this field as %s and it is declared as %s; "+
				"keep %s and add a field of another name with the new type", f.Type, t, f.Type), path...))
		}
	}
	return errors.Join(errs...)
}

func (e *EventType) field(name string) (FieldType, bool) {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Type, true
		}
	}
	return "", false
}
