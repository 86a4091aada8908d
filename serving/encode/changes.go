package encode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"recount/schemas/openapi"
	"recount/serving/changes"
	"recount/serving/merge"
)

// ChangesJSON writes what changed as one JSON object.
func ChangesJSON(w io.Writer, a *changes.Answer) error {
	head := openapi.Comparison{View: a.View, FromPublication: comparedPublication(&a.Old),
		ToPublication: comparedPublication(&a.New), Summary: summary(&a.Sum), Days: []openapi.ChangedDay{},
		Truncated: a.Truncated, OutOfRange: a.OutOfRange}
	for _, d := range a.Days {
		s := summary(&d.Tally)
		head.Days = append(head.Days, openapi.ChangedDay{Day: d.Date, Added: s.Added, Changed: s.Changed,
			Removed: s.Removed, Events: s.Events, Causes: s.Causes})
	}
	if l := a.Landed; l != nil {
		head.Landed = &openapi.TenantEvents{Events: l.Rows, Duplicates: l.Duplicates, Conflicts: l.Conflicts}
	}
	raw, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	buf := append(bytes.TrimSuffix(raw, []byte("null}")), '[') // There are no changes in the head.
	buf, err = writeChanges(w, buf, a, ",")
	if err != nil {
		return err
	}
	if _, err := w.Write(append(buf, "]}\n"...)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// ChangesNDJSON writes each change as one line of JSON.
func ChangesNDJSON(w io.Writer, a *changes.Answer) error {
	buf, err := writeChanges(w, nil, a, "\n")
	if err != nil {
		return err
	}
	if len(buf) > 0 {
		buf = append(buf, '\n')
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func comparedPublication(t *changes.Total) openapi.ComparedPublication {
	out := openapi.ComparedPublication{Publication: t.Publication, Definition: t.Digest, Accuracy: t.Answer.Accuracy,
		Totals: map[string]json.RawMessage{}}
	e := newJSONRow(t.Answer)
	for m := range t.Answer.Measures {
		measure := &t.Answer.Measures[m]
		out.Totals[measure.Name] = e.appendMeasure(nil, measure, &measure.Value, 0)
	}
	return out
}

func summary(t *changes.Tally) openapi.ChangeSummary {
	return openapi.ChangeSummary{Added: t.Added, Changed: t.Changed, Removed: t.Removed,
		Events: openapi.ChangedEvents{Old: t.Old, New: t.New}, Causes: t.Causes.List()}
}

// ChangesSummary returns the summary of an answer, for formats that have no place for it.
func ChangesSummary(a *changes.Answer) ([]byte, error) {
	return json.Marshal(struct {
		openapi.ChangeSummary
		Truncated bool `json:"truncated"`
	}{summary(&a.Sum), a.Truncated})
}

// writeChanges writes the changes with a separator between them. It returns what is left to write.
func writeChanges(w io.Writer, buf []byte, a *changes.Answer, separator string) ([]byte, error) {
	first := true
	for _, part := range a.Listed {
		e := newChangeRow(a, &part)
		for i := range part.Listed {
			if !first {
				buf = append(buf, separator...)
			}
			first = false
			if buf = e.append(buf, i); len(buf) < flushBytes {
				continue
			}
			if _, err := w.Write(buf); err != nil {
				return nil, fmt.Errorf("write answer: %w", err)
			}
			buf = buf[:0]
		}
	}
	return buf, nil
}

// changeRow appends the changes of one part of the list.
type changeRow struct {
	part          *changes.Listed
	clock         clock
	key, old, new *jsonRow
}

func newChangeRow(a *changes.Answer, part *changes.Listed) *changeRow {
	columns := func(dims []merge.Dimension, measures []merge.Measure) *jsonRow {
		return newJSONRow(&merge.Answer{Location: a.Location, Dims: dims, Measures: measures})
	}
	return &changeRow{part: part, clock: clock{zone: a.Location}, key: columns(part.Dims, nil),
		old: columns(nil, part.Old), new: columns(nil, part.New)}
}

// append appends change i as an object.
func (e *changeRow) append(dst []byte, i int) []byte {
	group := &e.part.Shown[i]
	dst = append(dst, '{')
	if e.part.Windowed {
		dst = append(e.clock.append(append(dst, `"time":"`...), e.part.Times[i]), `",`...)
	}
	dst = e.key.append(append(dst, `"key":`...), i)
	dst = append(append(append(dst, `,"change":"`...), kind(group)...), '"')
	if group.InOld {
		dst = e.old.append(append(dst, `,"old":`...), i)
	}
	if group.InNew {
		dst = e.new.append(append(dst, `,"new":`...), i)
	}
	dst = strconv.AppendUint(append(dst, `,"events":{"old":`...), group.Old, 10)
	dst = strconv.AppendUint(append(dst, `,"new":`...), group.New, 10)
	dst = append(dst, `},"causes":["`...)
	dst = append(dst, strings.Join(e.part.Causes[i].List(), `","`)...)
	return append(dst, `"]}`...)
}

// kind names a change.
func kind(g *merge.Compared) string {
	switch {
	case !g.InOld:
		return "added"
	case !g.InNew:
		return "removed"
	}
	return "changed"
}

// changesColumns returns the names of the columns of ChangesCSV. No declared name begins with an underscore.
func changesColumns(a *changes.Answer) []string {
	var names []string
	if a.Windowed {
		names = append(names, "time")
	}
	names = append(append(names, a.Dims...), "_change", "_causes", "_events_old", "_events_new")
	for _, m := range a.Measures {
		names = append(names, m+"__old", m+"__new")
	}
	return names
}

// ChangesCSV writes the changes. Causes are separated by spaces.
func ChangesCSV(w io.Writer, a *changes.Answer) error {
	buf := append([]byte(strings.Join(changesColumns(a), ",")), "\r\n"...)
	for _, part := range a.Listed {
		e := &changeLine{part: &part,
			row: csvRow{a: &merge.Answer{Location: a.Location, Dims: part.Dims}, clock: clock{zone: a.Location}}}
		for i := range part.Listed {
			if buf = e.append(buf, i); len(buf) < flushBytes {
				continue
			}
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write answer: %w", err)
			}
			buf = buf[:0]
		}
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// changeLine appends the changes of one part of the list.
type changeLine struct {
	part *changes.Listed
	row  csvRow
}

// append appends change i, as csvRow does.
func (e *changeLine) append(dst []byte, i int) []byte {
	if e.part.Windowed {
		dst = append(e.row.clock.append(dst, e.part.Times[i]), ',')
	}
	for d := range e.part.Dims {
		dst = append(e.row.appendDim(dst, d, i), ',')
	}
	group := &e.part.Shown[i]
	dst = append(append(dst, kind(group)...), ',')
	dst = append(append(dst, strings.Join(e.part.Causes[i].List(), " ")...), ',')
	dst = append(strconv.AppendUint(dst, group.Old, 10), ',')
	dst = append(strconv.AppendUint(dst, group.New, 10), ',')
	for j := range e.part.Old {
		for _, m := range []*merge.Measure{&e.part.Old[j], &e.part.New[j]} {
			dst = append(e.row.appendMeasure(dst, m, &m.Value, i), ',')
		}
	}
	return append(dst[:len(dst)-1], "\r\n"...)
}
