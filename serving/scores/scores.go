package scores

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/reader"
)

// RealtimeViews answers for the messages between two cuts. Both must be boundaries of the
// cut rule (S2), as the H of every publication is.
type RealtimeViews interface {
	ScanBetween(ctx context.Context, scan *query.Scan, from, to []position.Offset) (*query.LivePart, error)
}

// Config is what a grader asks, and how much of it.
type Config struct {
	Catalog *catalog.Catalog
	Batch   reader.BatchViews
	Live    RealtimeViews

	Buckets int // most of a view in one grade, chosen at random among those that changed
	Tenants int // most of an event type in one grade: those with the most new events
	Groups  int // most of one tenant and bucket
}

// DefaultConfig compares up to 80,000 groups a view.
func DefaultConfig(c *catalog.Catalog, batch reader.BatchViews, live RealtimeViews) Config {
	return Config{Catalog: c, Batch: batch, Live: live, Buckets: 4, Tenants: 4, Groups: 5000}
}

// Grade is what became of the answers between two publications.
type Grade struct {
	Publication uint64    `json:"publication"`
	Created     time.Time `json:"created"`
	From        []uint64  `json:"from"` // H of the publication before it
	To          []uint64  `json:"to"`
	Views       []View    `json:"views"`
}

// View is the grade of a view.
type View struct {
	View     string    `json:"view"`
	Buckets  int       `json:"buckets"`            // compared, each for up to Config.Tenants tenants
	Groups   int       `json:"groups"`             // rows that were compared
	LeftOut  int       `json:"left_out,omitempty"` // answers beyond what one query may be
	Measures []Measure `json:"measures"`
}

// Measure says how far a measure was off. Errors are relative to the exact value, and to 1
// where that is smaller; a group that only one of the answers has counts as 1.
type Measure struct {
	Measure      string              `json:"measure"`
	Kind         catalog.MeasureKind `json:"kind"`
	P50          float64             `json:"error_p50"`
	P99          float64             `json:"error_p99"`
	Max          float64             `json:"error_max"`
	BoundsStated int                 `json:"bounds_stated"`
	BoundsHeld   int                 `json:"bounds_held"`
}

// ErrStale: the speed layer does not answer up to the publication's cut, or not any more.
var ErrStale = errors.New("the real-time views do not hold what was published")

// Run grades what publication now brought in over before, the one it continues or the
// empty state. Views that are not in both with the definition of today are left out.
//
// Errors: ErrStale and query.ErrPinExpired where the speed layer cannot be asked,
// query.ErrCollected where before is no longer kept, others of the layers.
func (c Config) Run(ctx context.Context, before, now *record.State) (*Grade, error) {
	g := &Grade{Publication: now.N, Created: now.Publication.Created.UTC(), From: sequences(before.H),
		To: sequences(now.H), Views: []View{}}
	for _, name := range slices.Sorted(maps.Keys(c.Catalog.Views)) {
		v := c.Catalog.Views[name]
		digest := c.Catalog.Digest(v)
		if now.Views[name].Digest != digest || before.N > 0 && before.Views[name].Digest != digest {
			continue
		}
		changed := changed(before.Views[name].Buckets, now.Views[name].Buckets)
		rand.Shuffle(len(changed), func(i, j int) { changed[i], changed[j] = changed[j], changed[i] })
		tenants := newest(before.Ledgers[v.Event], now.Ledgers[v.Event], c.Tenants)
		s := newSheet(v)
		for _, b := range changed[:min(len(changed), c.Buckets)] {
			for _, tenant := range tenants {
				err := c.compare(ctx, s, before, now, v, b, tenant)
				if beyondLimits(err) {
					s.leftOut++
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("grade view %s, bucket %s: %w", name,
						time.UnixMicro(b).UTC().Format(time.RFC3339), err)
				}
			}
			s.buckets++
		}
		if s.groups > 0 || s.leftOut > 0 {
			g.Views = append(g.Views, s.view())
		}
	}
	return g, nil
}

// beyondLimits reports whether an answer is none that anybody can have been told.
func beyondLimits(err error) bool {
	var limit *batchview.LimitError
	var sum *merge.OverflowError
	return errors.As(err, &limit) || errors.As(err, &sum)
}

// changed are the buckets whose rows are not those of before.
func changed(before, now []record.BucketVersion) (buckets []int64) {
	old := make(map[int64]uint64, len(before))
	for _, b := range before {
		old[b.Bucket] = b.Ver
	}
	for _, b := range now {
		if ver, ok := old[b.Bucket]; !ok || ver != b.Ver {
			buckets = append(buckets, b.Bucket)
		}
	}
	return buckets
}

// newest are the tenants with the most events between two ledgers.
func newest(before, now record.Ledger, most int) []string {
	rows := map[string]int64{}
	for tenant, accounts := range now.Tenants {
		for _, a := range accounts {
			rows[tenant] += a.Rows
		}
		for _, a := range before.Tenants[tenant] {
			rows[tenant] -= a.Rows
		}
	}
	maps.DeleteFunc(rows, func(_ string, n int64) bool { return n == 0 })
	tenants := slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
		return cmp.Or(cmp.Compare(rows[b], rows[a]), cmp.Compare(a, b))
	})
	return tenants[:min(len(tenants), most)]
}

// compare adds one bucket of one tenant to the sheet.
func (c Config) compare(ctx context.Context, s *sheet, before, now *record.State, v *catalog.View, bucket int64,
	tenant string) error {
	from := time.UnixMicro(bucket).UTC()
	q := &query.Query{View: v.Name, From: from, To: from.Add(c.Catalog.Bucket), GroupBy: v.Dimensions, Limit: c.Groups}
	scan, err := q.Resolve(c.Catalog, tenant)
	if err != nil {
		return err
	}
	told, err := c.told(ctx, q, scan, before, now)
	if err != nil {
		return err
	}
	part, err := c.Batch.Scan(ctx, now, scan, batchview.Options{})
	if err != nil {
		return err
	}
	exact, err := merge.Merge(scan, q, part, nil, merge.Accuracy{})
	if err != nil {
		return err
	}
	s.add(told, exact)
	return nil
}

// told is the answer with the pin of before and a log that ends at the cut of now.
func (c Config) told(ctx context.Context, q *query.Query, scan *query.Scan, before,
	now *record.State) (*merge.Answer, error) {
	live, err := c.Live.ScanBetween(ctx, scan, before.H, now.H)
	if err != nil {
		return nil, err
	}
	if len(live.Stale) > 0 {
		return nil, fmt.Errorf("partitions %v: %w", live.Stale, ErrStale)
	}
	var batch *query.Part
	if before.N > 0 {
		if batch, err = c.Batch.Scan(ctx, before, scan,
			batchview.Options{Sketches: reader.SketchWindows(scan, live.Part)}); err != nil {
			return nil, err
		}
	}
	return merge.Merge(scan, q, batch, live.Part, merge.Accuracy{})
}

func sequences(offsets []position.Offset) []uint64 {
	out := make([]uint64, len(offsets))
	for p, o := range offsets {
		out[p] = o.Seq
	}
	return out
}
