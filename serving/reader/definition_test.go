package reader

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// turning gives one state after the other, and the last one for ever.
type turning struct{ states []*record.State }

func (p *turning) Newest(context.Context) (*record.State, error) {
	s := p.states[0]
	if len(p.states) > 1 {
		p.states = p.states[1:]
	}
	return s, nil
}

func (p *turning) StateAt(context.Context, uint64) (*record.State, error) {
	return nil, query.ErrCollected
}

// layers are both layers. They note the digests of the scans.
type layers struct{ batch, live []string }

func (l *layers) scan(_ context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
	l.live = append(l.live, scan.Digest)
	return &query.LivePart{Through: cut}, nil
}

// notedBatch is the batch layer of layers.
type notedBatch struct{ *layers }

func (b notedBatch) Scan(_ context.Context, _ *record.State, scan *query.Scan, _ batchview.Options) (*query.Part,
	error) {
	b.batch = append(b.batch, scan.Digest)
	return oracle.Part(scan, nil, oracle.Batch), nil
}

// TestAnswerHasTheDefinitionOfItsPublication: while a view changes, both layers are asked for the definition that the
// publication has, also when a publication with the new one comes between (G5).
func TestAnswerHasTheDefinitionOfItsPublication(t *testing.T) {
	t.Parallel()
	before := oracle.Catalog()
	after := oracle.Catalog()
	after.Views["flights"].Measures = after.Views["flights"].Measures[:2]
	digests := [2]string{before.Digest(before.Views["flights"]), after.Digest(after.Views["flights"])}
	old := published()
	changed := published()
	changed.Views = map[string]record.ViewState{"flights": {Digest: digests[1]}}
	for _, c := range []struct {
		name   string
		states []*record.State
		mode   query.Mode
		stored bool // the old definition
		want   string
		err    error
	}{
		{"not computed anew yet", []*record.State{old}, query.Merged, true, digests[0], nil},
		{"exact", []*record.State{old}, query.Exact, true, digests[0], nil},
		{"live is the newest", []*record.State{old}, query.Live, true, digests[1], nil},
		{"computed anew", []*record.State{changed}, query.Merged, true, digests[1], nil},
		{"computed anew meanwhile", []*record.State{old, changed}, query.Merged, true, digests[0], nil},
		{"a program without definitions", []*record.State{old}, query.Merged, false, "", ErrNotPublished},
	} {
		l := &layers{}
		r, err := New(Config{Catalog: after, Publications: &turning{c.states}, Batch: notedBatch{l},
			Live: oracle.OneByOne(l.scan),
			Definition: func(_ context.Context, _, digest string) (*catalog.Catalog, error) {
				if digest != digests[0] || !c.stored {
					return nil, query.ErrNoDefinition
				}
				return before, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: c.mode}
		if _, err := r.Answer(t.Context(), q, "default"); !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
		asked := slices.Concat(l.batch, l.live)
		if slices.ContainsFunc(asked, func(d string) bool { return d != c.want }) || c.err == nil && len(asked) == 0 {
			t.Errorf("%s: the layers were asked for %v, want %s", c.name, asked, c.want)
		}
	}
}

// TestModesOfAsOfHaveOneDefinition: a view was changed since the publication that as_of names. All modes answer by the
// definition that this publication has. If the speed layer does not have it, there is no live part.
func TestModesOfAsOfHaveOneDefinition(t *testing.T) {
	t.Parallel()
	before := oracle.Catalog()
	after := oracle.Catalog()
	after.Views["flights"].Measures = after.Views["flights"].Measures[:2]
	want := before.Digest(before.Views["flights"])
	n := published().N
	for _, mode := range []query.Mode{query.Exact, query.Merged, query.Live} {
		for _, counted := range []bool{true, false} {
			l := &layers{}
			live := func(ctx context.Context, scan *query.Scan, cut []position.Offset) (*query.LivePart, error) {
				part, err := l.scan(ctx, scan, cut)
				if !counted {
					return nil, query.ErrViewNotReady
				}
				return part, err
			}
			r, err := New(Config{Catalog: after, Publications: kept{published()}, Batch: notedBatch{l},
				Live:       oracle.OneByOne(live),
				Definition: func(context.Context, string, string) (*catalog.Catalog, error) { return before, nil }})
			if err != nil {
				t.Fatal(err)
			}
			q := &query.Query{View: "flights", From: start, To: start.Add(time.Hour), Mode: mode, AsOf: &n}
			a, err := r.Answer(t.Context(), q, "default")
			if err != nil {
				t.Errorf("mode %s, counted %t: %v", mode, counted, err)
				continue
			}
			asked := slices.Concat(l.batch, l.live)
			if slices.ContainsFunc(asked, func(d string) bool { return d != want }) || len(asked) == 0 {
				t.Errorf("mode %s: the layers were asked for %v, want %s", mode, asked, want)
			}
			if got := *a.Accuracy.LiveIncluded; got != (counted && mode != query.Exact) {
				t.Errorf("mode %s, counted %t: live_included is %t", mode, counted, got)
			}
		}
	}
}
