package reader

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// still answers from events that do not change: those of the publication, and live ones.
type still struct {
	state       *record.State
	batch, live []oracle.Event
	stale       bool // whether the first live scan gives nothing
	scans       int
}

func (s *still) Newest(context.Context) (*record.State, error) { return s.state, nil }
func (s *still) StateAt(context.Context, uint64) (*record.State, error) {
	return nil, query.ErrCollected
}

func (s *still) liveScan(_ context.Context, scan *query.Scan, _ []position.Offset) (*query.LivePart, error) {
	s.scans++
	if s.stale && s.scans == 1 {
		return nil, errors.New("connection refused")
	}
	return &query.LivePart{Part: oracle.Part(scan, s.live, oracle.Speed), Through: []position.Offset{{Seq: 9}}}, nil
}

type stillBatch struct{ *still }

func (s stillBatch) Scan(_ context.Context, _ *record.State, scan *query.Scan, _ batchview.Options) (*query.Part,
	error) {
	s.scans++
	return oracle.Part(scan, s.batch, oracle.Batch), nil
}

func (s *still) reader(t rapid.TB) *Reader {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: s, Batch: stillBatch{s},
		Live: oracle.OneByOne(s.liveScan), Now: func() time.Time { return start.Add(90 * time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRange is the range of an open query over some events, found the obvious way.
func wantRange(q *query.Query, events []oracle.Event, empty time.Time) (from, to time.Time) {
	const cell = time.Minute
	from = empty.Truncate(cell)
	to = from.Add(cell)
	for i, e := range events {
		at := time.UnixMicro(e.Time).UTC().Truncate(cell)
		if i == 0 || at.Before(from) {
			from = at
		}
		if i == 0 || at.Add(cell).After(to) {
			to = at.Add(cell)
		}
	}
	switch {
	case !q.From.IsZero():
		from = q.From
		if to.Before(from.Add(cell)) {
			to = from.Add(cell)
		}
	case !q.To.IsZero():
		to = q.To
		if from.After(to.Add(-cell)) {
			from = to.Add(-cell)
		}
	}
	return from, to
}

// TestEndsOfTheData asks queries without from or to over events that are drawn from calendars. The range of the answer
// begins with the first cell that has an event in the mode's layers, and ends with the last one. Conditions do not
// change it.
func TestEndsOfTheData(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := windowtest.Draw(t, time.Minute)
		if c.From.UnixMicro() < window.MinTime {
			return // Drawn ranges may end with 1970.
		}
		all, err := window.New(c.From, c.To, window.All, time.UTC, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		w := &still{state: published(), batch: oracle.DrawIn(t, all, 5), live: oracle.DrawIn(t, all, 5)}
		q := &query.Query{View: "flights", Measures: []string{"n"},
			Mode: rapid.SampledFrom(query.Modes).Draw(t, "mode")}
		at := time.UnixMicro(windowtest.DrawTime(t, all, time.Minute)).UTC()
		switch rapid.IntRange(0, 2).Draw(t, "missing") {
		case 0:
			q.From = at
		case 1:
			q.To = at.Add(time.Minute)
		}
		if rapid.IntRange(0, 3).Draw(t, "where") == 0 {
			q.Where = []query.Condition{{Dimension: "origin", Op: query.Eq, Value: "nowhere"}}
		}
		asked := *q
		a, err := w.reader(t).Answer(t.Context(), q, "default")
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		counted := map[query.Mode][]oracle.Event{query.Exact: w.batch, query.Live: w.live,
			query.Merged: slices.Concat(w.batch, w.live)}[asked.Mode]
		from, to := wantRange(&asked, counted, start)
		if got := a.Accuracy.Range; got == nil || !got.From.Equal(from) || !got.To.Equal(to) {
			t.Fatalf("got %v, want from %s to %s", got, from, to)
		}
		want := int64(0)
		for _, e := range counted {
			if at := time.UnixMicro(e.Time); asked.Where == nil && !at.Before(from) && at.Before(to) {
				want++
			}
		}
		if a.Rows() != 1 || a.Measures[0].Value.Ints[0] != want {
			t.Fatalf("got %d rows, %+v, want %d events", a.Rows(), a.Measures, want)
		}
	})
}

// TestEndsWithoutTheSpeedLayer: a range whose ends were found without the live part may be too short, so the answer is
// not complete.
func TestEndsWithoutTheSpeedLayer(t *testing.T) {
	t.Parallel()
	w := &still{state: published(), stale: true, batch: []oracle.Event{{Time: start.UnixMicro()}}}
	a, err := w.reader(t).Answer(t.Context(), &query.Query{View: "flights", To: start.Add(time.Hour)}, "default")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Accuracy.Complete || a.Accuracy.Exact || len(a.Accuracy.StalePartitions) > 0 {
		t.Errorf("got %+v, want an answer that is neither complete nor exact", a.Accuracy)
	}
}

// TestEndsAreFewScans bounds what a missing end costs.
func TestEndsAreFewScans(t *testing.T) {
	t.Parallel()
	w := &still{state: published(), batch: []oracle.Event{{Time: start.UnixMicro()}},
		live: []oracle.Event{{Time: start.Add(time.Hour).UnixMicro()}}}
	a, err := w.reader(t).Answer(t.Context(), &query.Query{View: "flights"}, "default")
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if want := 2 * (1 + 2*levels); w.scans != want {
		t.Errorf("%d scans, want %d: one of each layer, and %d for each end", w.scans, want, levels)
	}
}
