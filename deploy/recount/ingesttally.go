package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
)

// tally counts what became of rows and events. It is safe for concurrent use.
type tally struct {
	accepted    atomic.Int64
	rejected    atomic.Int64 // rejected counts events that the server refused, and rows that were refused before.
	coerced     atomic.Int64 // coerced counts accepted events of which a value was converted to the type of its field.
	unconfirmed atomic.Int64 // unconfirmed counts events that were sent, and for which no final answer came.

	mu      sync.Mutex
	rows    int64 // rows that were read
	refused int64 // refused are those of them that became no events.
	reasons map[string]int64
	nulls   map[string]int64
	columns []string // columns are those of nulls in the order of the files.
	twice   int64

	discovered []client.Discovered // discovered are the event types that were declared from the events.
}

// addRejected counts a rejection and returns how many there are.
func (t *tally) addRejected(reason string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reasons == nil {
		t.reasons = map[string]int64{}
	}
	t.reasons[reason]++
	return t.rejected.Add(1)
}

// addFile adds what was read of a file.
func (t *tally) addFile(f eventfile.Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nulls == nil {
		t.nulls = map[string]int64{}
	}
	t.rows += f.Read
	for _, n := range f.Refused {
		t.refused += n
	}
	t.twice += f.Twice
	for _, n := range f.Nulls {
		if _, known := t.nulls[n.Column]; !known {
			t.columns = append(t.columns, n.Column)
		}
		t.nulls[n.Column] += n.Rows
	}
}

// printTally says what became of the events that were sent.
func (t *tally) printTally(out io.Writer) {
	text := fmt.Sprintf("accepted %d, rejected %d", t.accepted.Load(), t.rejected.Load())
	if n := t.unconfirmed.Load(); n > 0 {
		text += fmt.Sprintf(", not confirmed %d", n)
	}
	if n := t.coerced.Load(); n > 0 {
		text += fmt.Sprintf(", with converted values %d", n)
	}
	fmt.Fprintln(out, text)
	t.printDetails(out)
}

// addDiscovered remembers event types that a request has declared.
func (t *tally) addDiscovered(types []client.Discovered) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.discovered = append(t.discovered, types...)
}

// printDiscovered says which event types were declared from the events, and what to type next.
func (t *tally) printDiscovered(out io.Writer, at serverFlag) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.discovered, func(a, b client.Discovered) int { return strings.Compare(a.Name, b.Name) })
	flag := at.differs()
	for _, d := range t.discovered {
		fields := "no fields"
		if e, _, err := fieldsOf(openapi.EventType{Name: d.Name, Declaration: d.Declaration}); err == nil &&
			len(e.Fields) > 0 {
			fields = "the fields " + describeFields(e)
		}
		fmt.Fprintf(out, "declared the event type %s from its first events, with %s, and a view that counts them; "+
			"next:\n  recount query %s%s\n", d.Name, fields, d.View, flag)
	}
}

// describeFields returns the fields of an event type with their types.
func describeFields(e *catalog.EventType) string {
	fields := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = f.Name + " " + string(f.Type)
	}
	return strings.Join(fields, ", ")
}

// printDetails prints the reasons of rejections, the missing values, and what was read in another way than it may be
// meant.
func (t *tally) printDetails(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(t.reasons)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, t.reasons[reason]))
	}
	if len(parts) > 0 {
		fmt.Fprintln(out, "rejected:", strings.Join(parts, ", "))
	}
	parts = nil
	for _, column := range t.columns {
		parts = append(parts, fmt.Sprintf("%s %d", escapeControls(column), t.nulls[column]))
	}
	if len(parts) > 0 {
		fmt.Fprintf(out, "rows without a value, of %d: %s\n", t.rows-t.refused, strings.Join(parts, ", "))
	}
	if t.twice > 0 {
		fmt.Fprintf(out, "%d times were shown twice by the clocks of --time-zone, which went back, and are read as "+
			"the first\n", t.twice)
	}
}
