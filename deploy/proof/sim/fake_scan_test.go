package sim

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/failpoint"
	"recount/schemas/floatsum"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/schemas/window"
	"recount/serving/batchview"
)

// batchScans answers a scan from the rows that a publication names, as batchview does with SQL.
type batchScans struct {
	w *world
	p *proc
}

func (s batchScans) Scan(ctx context.Context, state *record.State, scan *query.Scan,
	_ batchview.Options) (part *query.Part, err error) {
	err = s.p.perform(ctx, op{kind: "scan", key: scan.View.Name, fates: readFates, effect: func() error {
		part, err = s.w.scan(state, scan)
		return err
	}})
	return part, err
}

func (w *world) scan(state *record.State, scan *query.Scan) (*query.Part, error) {
	var rows []exact.BlockRows
	view := state.Views[scan.View.Name]
	table := sqlschema.Table(scan.View, view.Digest)
	for _, b := range view.VersionsBetween(window.Floor(scan.Windows.From, bucket), scan.Windows.To) {
		if got := w.content(table, b.Bucket, b.Ver); got != b && !failpoint.Off(failpoint.Q3) {
			return nil, fmt.Errorf("%w: %d rows with checksum %d, want %d with %d (Q3)", query.ErrCollected, got.Rows,
				got.Checksum, b.Rows, b.Checksum)
		}
		for _, r := range w.tables[table] {
			if r.bucket == b.Bucket && r.ver == b.Ver {
				rows = append(rows, r.piece)
			}
		}
	}
	p := &query.Part{Dims: make([]query.Column, len(scan.GroupBy)), Measures: make([][]query.Acc, len(scan.Measures))}
	for d, dim := range scan.GroupBy {
		p.Dims[d].Type = dim.Type
	}
	places := map[string]int{} // the place of each group in the part
	hashes := map[[2]int][]uint64{}
	for _, x := range rows {
		if x.Block.Tenants.Value(x.From) == scan.Tenant {
			addRow(p, scan, x.Block, x.From, places, hashes)
		}
	}
	for k, h := range hashes {
		slices.Sort(h)
		h = slices.Compact(h)
		a := &p.Measures[k[0]][k[1]]
		a.Exact = uint64(len(h))
		a.Set = distinct.SetOf(h)
	}
	return p, nil
}

// addRow adds row r of a block to its group.
func addRow(p *query.Part, scan *query.Scan, b *exact.Block, r int, places map[string]int,
	hashes map[[2]int][]uint64) {
	win := scan.Windows.Index(b.Times[r])
	if win < 0 {
		return
	}
	key := fmt.Sprint(win)
	for _, d := range scan.GroupBy {
		key += "|" + b.Dims[slices.Index(scan.View.Dimensions, d.Name)].Value(r)
	}
	i, ok := places[key]
	if !ok {
		i = len(p.Windows)
		places[key] = i
		p.Windows = append(p.Windows, int32(win))
		p.Events = append(p.Events, 0)
		for d, dim := range scan.GroupBy {
			p.Dims[d].Strings = append(p.Dims[d].Strings,
				b.Dims[slices.Index(scan.View.Dimensions, dim.Name)].Value(r))
		}
		for j := range scan.Measures {
			p.Measures[j] = append(p.Measures[j], query.Acc{})
		}
	}
	p.Events[i] += b.Events[r]
	for d := range scan.GroupBy {
		if p.Dims[d].Strings[i] == catalog.Overflow {
			p.Overflow.Events += b.Events[r]
		}
	}
	for j, m := range scan.Measures {
		a := &p.Measures[j][i]
		src := &b.Measures[slices.IndexFunc(b.Measures, func(o exact.Measure) bool { return o.Name == m.Name })]
		switch m.Kind {
		case catalog.Count:
			a.N += b.Events[r]
		case catalog.Sum:
			a.N += src.N[r]
			if m.SumsFloats() {
				a.Sum = cmp.Or(a.Sum, &floatsum.Sum{})
				a.Sum.Merge(&floatsum.Sum{Near: src.Near[r], Far: src.Far[r]})
			} else {
				a.AddWide(src.Hi[r], src.Lo[r])
			}
		case catalog.Max:
			if a.N == 0 {
				a.Lo = 1 << 63 // the least int64
			}
			if src.N[r] > 0 {
				a.Lo = uint64(max(int64(a.Lo), src.Ints[r], math.MinInt64))
			}
			a.N += src.N[r]
		case catalog.Distinct:
			k := [2]int{j, i}
			hashes[k] = append(hashes[k], src.Hashes[src.Starts[r]:src.Starts[r+1]]...)
		}
	}
}
