package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func found(t FieldType, path ...string) Found { return Found{Path: path, Type: t, Events: 1} }

// discovered returns the fields of an event type after members were found, as text.
func discovered(t *testing.T, before *EventType, most int, members ...Found) (string, Discovery) {
	t.Helper()
	c := &Catalog{Bucket: time.Hour, Events: map[string]*EventType{}, Views: map[string]*View{}}
	if before != nil {
		c.Events["t"] = before
	}
	next, d := c.Discover("t", members, most)
	if err := next.Validate(); err != nil {
		t.Error(err)
	}
	var out []string
	for _, f := range next.Events["t"].Fields {
		out = append(out, fmt.Sprintf("%s %s %q", f.Name, f.Type, f.Path))
	}
	return strings.Join(out, ", "), d
}

// TestDiscoverAddsFields: what a field reads already, inside of or around a member, is left alone. Otherwise a value of
// the member would be refused, or never read.
func TestDiscoverAddsFields(t *testing.T) {
	t.Parallel()
	before := &EventType{Name: "t", Fields: []Field{{Name: "name", Type: String},
		{Name: "site", Type: String, Expression: "lower(name)"},
		{Name: "user_id", Type: Int64, Path: []string{"user", "id"}}}}
	all := `name string [], site string [], user_id int64 ["user" "id"]`
	for name, c := range map[string]struct {
		members []Found
		added   string
	}{
		"the same":              {[]Found{found(String, "name"), found(Float64, "user", "id")}, ""},
		"around a field":        {[]Found{found(String, "user")}, ""},
		"inside of a field":     {[]Found{found(String, "name", "first"), found(Int64, "user", "id", "x")}, ""},
		"beside it":             {[]Found{found(String, "user", "zip")}, `, user_zip string ["user" "zip"]`},
		"the name of a path":    {[]Found{found(String, "user_id")}, `, user_id_1 string ["user_id"]`},
		"the name of a formula": {[]Found{found(String, "site")}, `, site_1 string ["site"]`},
	} {
		want := all + c.added
		if strings.HasPrefix(c.added, ", site") {
			want = `name string [], site string [], site_1 string ["site"], user_id int64 ["user" "id"]`
		}
		if got, d := discovered(t, before, 100, c.members...); got != want || d.New || d.View != "" {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if len(before.Fields) != 3 {
		t.Errorf("the declaration before was changed: %v", before)
	}
	c := &Catalog{Events: map[string]*EventType{"t": before}}
	if next, _ := c.Discover("t", []Found{found(String, "name")}, 100); next != c {
		t.Error("nothing is found, and the catalog is another one")
	}
}

// TestDiscoverChoosesFrequentMembers where there is no room for all.
func TestDiscoverChoosesFrequentMembers(t *testing.T) {
	t.Parallel()
	members := []Found{found(Int64, "b"), found(Int64, "a", "deep"), found(Int64, "c"),
		{Path: []string{"z", "z"}, Type: Bool, Events: 9}}
	for most, want := range map[int]string{0: "", 1: `z_z bool ["z" "z"]`, 2: `b int64 [], z_z bool ["z" "z"]`,
		3: `b int64 [], c int64 [], z_z bool ["z" "z"]`} {
		if got, d := discovered(t, nil, most, members...); got != want || d.Left != 4-most || !d.New {
			t.Errorf("%d fields: got %s and %d left, want %s", most, got, d.Left, want)
		}
	}
}

// TestDiscoverRemembersUndecided: a member that once had no common type never becomes a field, nor does anything that
// it lies inside of. Where too many are undecided to remember them all, no field is added.
func TestDiscoverRemembersUndecided(t *testing.T) {
	t.Parallel()
	c := &Catalog{Bucket: time.Hour, Events: map[string]*EventType{}, Views: map[string]*View{}}
	c, d := c.Discover("t", []Found{found(Int64, "a"), found("", "b"), found("", "c", "d")}, 3)
	if fmt.Sprint(d.Undecided) != "[[b] [c d]]" || d.Left != 0 {
		t.Errorf("undecided %v, %d left", d.Undecided, d.Left)
	}
	c, d = c.Discover("t", []Found{found(Int64, "b"), found(Int64, "c"), found(Int64, "c", "d"),
		found(Int64, "b", "x")}, 4)
	if len(d.Fields) != 1 || d.Fields[0].Name != "b_x" {
		t.Errorf("added %v", d.Fields)
	}
	same, _ := c.Discover("t", []Found{found("", "b"), found(Int64, "c")}, 3)
	if same != c {
		t.Error("nothing new is found, and the catalog is another one")
	}
	c, d = c.Discover("t", []Found{found("", "e"), found("", "f"), found(Int64, "g")}, 3)
	if fmt.Sprint(c.Undecided) != "map[t:[[b] [c d] [e]]]" || len(d.Fields) != 1 {
		t.Errorf("undecided %v, and added %v", c.Undecided, d.Fields)
	}
	if _, d = c.Discover("t", []Found{found(Int64, "f")}, 3); len(d.Fields) != 0 || d.Left != 1 {
		t.Errorf("added %v, %d left", d.Fields, d.Left)
	}
}

// TestDiscoverNames makes names that fields and views may have, whatever members and types are called.
func TestDiscoverNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200)
	got, _ := discovered(t, nil, 100, found(Int64, long), found(Int64, long+"2"), found(Int64, "__"),
		found(Int64, "a__b"), found(Int64, "A", "B"), found(Int64, "landed"))
	want := fmt.Sprintf(`a_b int64 ["A" "B"], a_b_1 int64 ["a__b"], field int64 ["__"], landed_1 int64 ["landed"], `+
		`%[1]s int64 [%[2]q], %[1]s_1 int64 ["%[2]s2"]`, long[:50], long)
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c := &Catalog{Bucket: time.Hour, Events: map[string]*EventType{}, Views: map[string]*View{}}
	var views []string
	for _, name := range []string{"Page.Viewed", "page-viewed", "7", "recount", "Recount", "recount-x",
		"cells_a_0123456789abcdef", strings.Repeat("A", 128)} {
		var d Discovery
		c, d = c.Discover(name, nil, 100)
		views = append(views, d.View)
	}
	if err := c.Validate(); err != nil || c.Declared() != 8 {
		t.Errorf("%d types: %v", c.Declared(), err)
	}
	if got := strings.Join(views, " "); got != "page_viewed page_viewed_1 view_7 view_recount view_recount_1 "+
		"view_recount_x view_cells_a_0123456789abcdef "+strings.Repeat("a", 50) {
		t.Errorf("the views are %s", got)
	}
}

// TestDiscoverAnyType: whatever an event type that may be declared is called, its declaration is valid.
func TestDiscoverAnyType(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &Catalog{Bucket: time.Hour, Events: map[string]*EventType{}, Views: map[string]*View{}}
		name := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`), rapid.StringMatching(
			`[Rr][Ee]count[._-]{0,2}1?`), rapid.StringMatching(
			`(recount|cells|view)[._-]?[a-z0-9]{0,3}[._-]?[0-9a-f]{16}`), rapid.StringMatching(`[._-]?[0-9a-zé ]{0,3}`))
		for _, name := range rapid.SliceOfN(name, 1, 10).Draw(t, "names") {
			if MayDiscover(name) {
				c, _ = c.Discover(name, nil, 1)
			}
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDiscoverCell: the first view of an event type is valid for every bucket that an installation may have.
func TestDiscoverCell(t *testing.T) {
	t.Parallel()
	for bucket, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, time.Hour: time.Minute,
		75 * time.Second: 15 * time.Second, 90 * time.Second: 30 * time.Second, 100 * time.Second: 20 * time.Second,
		450 * time.Second: 30 * time.Second, 138_240 * time.Millisecond: 138_240 * time.Millisecond} {
		c := &Catalog{Bucket: bucket, Events: map[string]*EventType{}, Views: map[string]*View{}}
		next, d := c.Discover("t", nil, 1)
		if err := next.Validate(); err != nil || next.Views[d.View].Cell != want {
			t.Errorf("bucket %s: a cell of %s, want %s: %v", bucket, next.Views[d.View].Cell, want, err)
		}
	}
}
