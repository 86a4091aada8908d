package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAlike declares fields whose columns differ in case only, one of them by its path, and one like an attribute. A
// field inside of another member has no column.
func TestAlike(t *testing.T) {
	t.Parallel()
	e := &EventType{Name: "hit", Fields: []Field{
		{Name: "Page", Type: String}, {Name: "page", Type: String}, {Name: "user", Type: String},
		{Name: "other", Type: String, Path: []string{"USER"}}, {Name: "Time", Type: Timestamp},
		{Name: "ms", Type: Int64, Path: []string{"inner", "MS"}}, {Name: "Ms", Type: Int64},
		{Name: "doubled", Type: Int64, Expression: "Ms * 2"}, {Name: "Doubled", Type: Int64},
	}}
	want := [][2]string{{"time", "Time"}, {"Page", "page"}, {"USER", "user"}}
	if diff := cmp.Diff(want, e.Alike()); diff != "" {
		t.Error(diff)
	}
}
