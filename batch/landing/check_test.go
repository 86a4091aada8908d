package landing

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// landedAll reports whether every event of a partition has landed.
func (w *world) landedAll(t testing.TB, p int) bool {
	c, err := LoadChain(t.Context(), w, p)
	if err != nil {
		t.Fatal(err)
	}
	return c.Events >= int64(len(w.logs[p].ids)) && c.Begun()
}

// check compares the lake with the messages that were appended. It is an independent reading of the
// records, the objects and the cut rule.
func (w *world) check(t testing.TB, p int) error {
	c, err := LoadChain(t.Context(), w, p)
	if err != nil {
		return err
	}
	landed := map[[2]uint64]string{}
	for _, s := range c.Segments {
		if s.Tenants[eventbatch.DefaultTenant] != s.Events || len(s.Tenants) != 1 {
			return fmt.Errorf("segment [%d, %d) of %d events counts tenants %v", s.Start, s.End, s.Events, s.Tenants)
		}
		for _, o := range s.Objects {
			if err := w.checkObject(t, s, o, landed); err != nil {
				return err
			}
		}
	}
	want := map[[2]uint64]string{}
	maps.Copy(want, w.logs[p].ids)
	maps.DeleteFunc(want, func(at [2]uint64, _ string) bool { return at[0] >= c.Head.Seq })
	if diff := cmp.Diff(want, landed); diff != "" {
		return fmt.Errorf("landed events (-appended +landed): %s", diff)
	}
	return w.checkCuts(p, c)
}

// checkObject reads the rows of an object into landed. No row may be there twice.
func (w *world) checkObject(t testing.TB, s *record.Commit, o record.Object, landed map[[2]uint64]string) error {
	raw := w.objects[o.Key]
	if err := object.Verify(t.Context(), o, bytes.NewReader(raw)); err != nil {
		return err
	}
	f, err := object.Open(t.Context(), o, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if key := fmt.Sprintf("schema/type=%s/%s.json", o.Type, o.Schema); w.Bodies[key] == nil {
		return fmt.Errorf("%s is not stored", key)
	}
	for c, err := range f.Read(t.Context(), []string{object.ColSeq, object.ColIndex, eventbatch.ColID}, 0, o.Rows) {
		if err != nil {
			return err
		}
		seqs := c.Field(object.ColSeq).(*array.Int64)
		indexes := c.Field(object.ColIndex).(*array.Int32)
		for i := range int(c.Rec.NumRows()) {
			at := [2]uint64{uint64(seqs.Value(i)), uint64(indexes.Value(i))}
			if _, twice := landed[at]; twice || at[0] < s.Start || at[0] >= s.End {
				return fmt.Errorf("event %v is in segment [%d, %d); in two segments: %t", at, s.Start, s.End, twice)
			}
			landed[at] = c.ID.Value(i)
		}
	}
	return nil
}

// checkCuts runs the cut rule over the whole log, and compares its cut points with the segments (C1).
func (w *world) checkCuts(p int, c *record.Chain) error {
	cutter := position.NewCutter(c.Epochs, position.First)
	cuts := map[uint64]bool{position.First: true}
	for i, frame := range w.logs[p].frames {
		h, err := eventbatch.ReadHeader(frame)
		if err != nil {
			return err
		}
		m := eventbatch.Message{Seq: uint64(i) + 1, Frame: frame}
		if cutter.Add(m.Cut(h)) {
			cuts[m.Seq] = true
		}
	}
	for _, s := range c.Segments {
		if !cuts[s.Start] || !cuts[s.End] {
			return fmt.Errorf("segment [%d, %d) does not begin and end at cut points: %v", s.Start, s.End, cuts)
		}
		for seq := s.Start + 1; seq < s.End; seq++ {
			if cuts[seq] {
				return fmt.Errorf("segment [%d, %d) goes past the cut point %d", s.Start, s.End, seq)
			}
		}
	}
	return nil
}
