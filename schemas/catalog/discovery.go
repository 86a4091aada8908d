package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Found is a member of data that events have, with the type that holds each of its values.
type Found struct {
	Path   []string  // from the outer member to the inner one
	Type   FieldType // empty if no type holds all
	Events int       // how many of the events that were looked at have it
}

// Discovery is what Discover has added to the declaration of an event type.
type Discovery struct {
	Type   *EventType // as it is declared now
	New    bool       // it was not declared before
	View   string     // of a new type
	Fields []Field    // that were added, by name
	// Undecided are the paths of members that stay undeclared, because no type holds their values.
	Undecided [][]string
	Left      int // members for which the event type had no room
}

// Discover returns a catalog in which the event type also has fields for the members that no field reads, as long as
// it has at most most fields. A new event type gets a view that counts its events by minute. The catalog is the same
// one if nothing is added. It remembers members without a common type, so that none of them becomes a field when only
// some of its values are seen again.
//
// The members that most events have come first. A field has the name of its member, or one that is made of its path.
// So the same members give the same declaration in any order.
func (c *Catalog) Discover(name string, found []Found, most int) (*Catalog, Discovery) {
	before, declared := c.Events[name]
	if !declared {
		before = &EventType{Name: name}
	}
	found = before.open(found, c.Undecided[name])
	most = min(most, MaxFields)
	undecided := undecided(found, most-len(c.Undecided[name]))
	if len(c.Undecided[name]) >= most {
		most = 0 // One that is not remembered would be taken for a member that has one type.
	}
	added, left := before.discover(found, most)
	out := Discovery{Type: before, New: !declared, Fields: added, Undecided: undecided, Left: left}
	if declared && len(added)+len(undecided) == 0 {
		return c, out
	}
	out.Type = &EventType{Name: name, Fields: slices.Concat([]Field{}, before.Fields, added)}
	sortFields(out.Type.Fields)
	next := &Catalog{Events: maps.Clone(c.Events), Views: maps.Clone(c.Views), Bucket: c.Bucket,
		Discovered: maps.Clone(c.Discovered), Undecided: maps.Clone(c.Undecided)}
	next.Events[name] = out.Type
	if len(undecided) > 0 {
		if next.Undecided == nil {
			next.Undecided = map[string][][]string{}
		}
		next.Undecided[name] = slices.Concat(c.Undecided[name], undecided)
	}
	if out.New {
		out.View = c.freeViewName(name)
		if next.Views == nil {
			next.Views = map[string]*View{}
		}
		next.Views[out.View] = &View{Name: out.View, Event: name,
			Cell: c.firstCell(), Measures: []Measure{{Name: "count", Kind: Count}}}
		if next.Discovered == nil {
			next.Discovered = map[string]bool{}
		}
		next.Discovered[name] = true
	}
	return next, out
}

// CountsOnly reports whether the view is like one that Discover adds: it counts all events of its type and nothing
// else.
func (v *View) CountsOnly() bool {
	return len(v.Dimensions) == 0 && len(v.Where) == 0 && len(v.Measures) == 1 && v.Measures[0].Kind == Count
}

// open returns the members that may become fields, those that most events have first. A member that an undecided one
// lies inside of has held objects, so a field for it would refuse some.
func (e *EventType) open(found []Found, undecided [][]string) []Found {
	found = slices.DeleteFunc(slices.Clone(found), func(f Found) bool {
		return e.touches(f.Path) || slices.ContainsFunc(undecided, func(path []string) bool {
			return len(path) >= len(f.Path) && slices.Equal(path[:len(f.Path)], f.Path)
		})
	})
	slices.SortFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(len(a.Path), len(b.Path)),
			slices.Compare(a.Path, b.Path))
	})
	return found
}

// undecided returns the paths of members whose values have no common type, at most room of them.
func undecided(found []Found, room int) (out [][]string) {
	for _, f := range found {
		if f.Type == "" && len(out) < room {
			out = append(out, f.Path)
		}
	}
	return out
}

// discover returns fields for members with a type, and how many of these find no room.
func (e *EventType) discover(found []Found, most int) (added []Field, left int) {
	found = slices.DeleteFunc(slices.Clone(found), func(f Found) bool { return f.Type == "" })
	if room := max(0, most-len(e.Fields)); len(found) > room {
		left = len(found) - room
		found = found[:room]
	}
	// Members whose own names are those of their fields choose first.
	slices.SortFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(ownNameRank(a.Path), ownNameRank(b.Path)), slices.Compare(a.Path, b.Path))
	})
	taken := map[string]bool{}
	for _, f := range e.Fields {
		taken[f.Name] = true
	}
	for _, m := range found {
		f := Field{Name: freeName(wordsOf(m.Path, "field"), func(name string) bool {
			return taken[name] || !isFieldName(name) || slices.Contains(reservedOutputs, name)
		}), Type: m.Type}
		if ownNameRank(m.Path) == 0 && !taken[m.Path[0]] {
			f.Name = m.Path[0]
		}
		if len(m.Path) > 1 || m.Path[0] != f.Name {
			f.Path = m.Path
		}
		taken[f.Name] = true
		added = append(added, f)
	}
	sortFields(added)
	return added, left
}

func sortFields(fields []Field) {
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
}

// touches reports whether a field reads the member, something inside of it, or something around it.
func (e *EventType) touches(path []string) bool {
	return slices.ContainsFunc(e.Fields, func(f Field) bool {
		if f.IsComputed() {
			return false
		}
		declared := f.Members()
		n := min(len(declared), len(path))
		return slices.Equal(declared[:n], path[:n])
	})
}

// Lacks reports whether a field of the declaration before is not declared any more.
func (e *EventType) Lacks(before *EventType) bool {
	return slices.ContainsFunc(before.Fields, func(f Field) bool {
		return !slices.ContainsFunc(e.Fields, func(g Field) bool { return g.Name == f.Name })
	})
}

// ownNameRank is 0 if a field may have the name of its member, and answers have no column of the name.
func ownNameRank(path []string) int {
	if len(path) == 1 && isFieldName(path[0]) && !slices.Contains(reservedOutputs, path[0]) {
		return 0
	}
	return 1
}

// longestWords leaves room for a number in the names of fields and views.
const longestWords = 50

// wordsOf returns the words of names. first comes before what begins with no letter.
func wordsOf(names []string, first string) string {
	base := Words(strings.Join(names, "_"))
	if base == "" || base[0] <= '9' {
		base = strings.TrimSuffix(first+"_"+base, "_")
	}
	return strings.TrimSuffix(base[:min(len(base), longestWords)], "_")
}

// freeName returns a name, with the first number with which it is not taken. Some number must do.
func freeName(base string, taken func(string) bool) string {
	name := base
	for i := 1; taken(name); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}

// freeViewName returns a name for the first view of an event type.
func (c *Catalog) freeViewName(event string) string {
	base := wordsOf([]string{event}, "view")
	if reservedViews.MatchString(base) || reservedViews.MatchString(base+"_1") { // No number after it would help.
		base = wordsOf([]string{"view", base}, "")
	}
	return freeName(base, func(name string) bool { return c.Views[name] != nil })
}

// firstCell returns the cell of the first view of an event type: a minute, or the longest part of it that divides the
// bucket, if views may have such a cell.
func (c *Catalog) firstCell() time.Duration {
	cell := DefaultCell
	for rest := c.Bucket; rest > 0; {
		next := cell % rest
		cell = rest
		rest = next
	}
	if cell < LeastCell {
		return c.Bucket
	}
	return cell
}

// MayDiscover reports whether an event type of the name may be declared.
func MayDiscover(name string) bool {
	return typeFormat.MatchString(name) && !strings.HasPrefix(name, ReservedPrefix)
}

// DiscoveredTypes returns the names of the declared event types that were discovered, sorted.
func (c *Catalog) DiscoveredTypes() (names []string) {
	for name, discovered := range c.Discovered {
		if discovered && c.Events[name] != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Declared returns how many event types are declared. Those that recount itself defines are none of them.
func (c *Catalog) Declared() (n int) {
	for name := range c.Events {
		if !strings.HasPrefix(name, ReservedPrefix) {
			n++
		}
	}
	return n
}
