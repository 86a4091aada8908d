package oracle

import (
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/window/windowtest"
)

// Without returns the events that are in none of the groups, which are by the windows of a scan that do not overlap,
// and by dimensions.
func Without(scan *query.Scan, events []Event, by []query.Dimension, groups *query.Part) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
		own := int32(windowtest.Index(scan.Windows, e.Time))
		for row, w := range groups.Windows {
			if w == own && hasKey(e, by, groups, row) {
				return true
			}
		}
		return false
	})
}

// hasKey reports whether an event has the dimensions of a row.
func hasKey(e Event, by []query.Dimension, p *query.Part, row int) bool {
	for d, dim := range by {
		var key any
		switch c := &p.Dims[d]; {
		case c.IsNull(row):
		case dim.Type == catalog.String:
			key = c.Strings[row]
		case dim.Type == catalog.Bool:
			key = c.Ints[row] == 1
		default:
			key = c.Ints[row]
		}
		if e.Fields[dim.Name] != key {
			return false
		}
	}
	return true
}
