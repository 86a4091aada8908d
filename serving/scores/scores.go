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
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/reader"
)

// RealtimeViews answers for the messages between two cuts. Both must be segment boundaries (S2).
// The H of each kept publication is one.
type RealtimeViews interface {
	ScanBetween(ctx context.Context, scan *query.Scan, from, to []position.Offset) (*query.LivePart, error)
}

// Config is which layers a grade compares, and how much of them.
type Config struct {
	Catalog catalog.Source
	Batch   reader.BatchViews
	Live    RealtimeViews

	// Buckets is how many buckets of a view one grade compares. They are chosen at random from
	// those that changed.
	Buckets int
	// Tenants is how many tenants of an event type one grade compares: those with the most new events.
	Tenants int
	// Groups is how many groups of one tenant and bucket are compared.
	Groups int
}

// DefaultConfig compares up to 80,000 groups of each view.
func DefaultConfig(c catalog.Source, batch reader.BatchViews, live RealtimeViews) Config {
	return Config{Catalog: c, Batch: batch, Live: live, Buckets: 4, Tenants: 4, Groups: 5000}
}

// ErrStale means that the speed layer does not answer up to the publication's cut.
var ErrStale = errors.New("the real-time views do not hold what was published")

// Run grades what publication now added to before, which is the publication before it or the empty
// state. It leaves out views that are not in both with their present definition.
//
// It returns ErrStale and query.ErrPinExpired if the speed layer cannot answer, query.ErrCollected
// if before is no longer kept, and errors of the layers.
func (c Config) Run(ctx context.Context, before, now *record.State) (*openapi.Scores, error) {
	g := &openapi.Scores{Publication: now.N, Created: now.Publication.Created.UTC(), From: sequences(before.H),
		To: sequences(now.H), Views: []openapi.ScoredView{}}
	declared := c.Catalog.Catalog() // One for the whole grade.
	c.Catalog = declared
	for _, name := range slices.Sorted(maps.Keys(declared.Views)) {
		v := declared.Views[name]
		digest := declared.Digest(v)
		older := before.Views[name]
		if now.Views[name].Digest != digest ||
			before.N > 0 && (older.Digest != digest || older.Reading != now.Views[name].Reading) {
			continue
		}
		changed := slices.DeleteFunc(changedBuckets(older.Buckets, now.Views[name].Buckets),
			func(b int64) bool { return !older.IsFilled(b) }) // Now has what before said to lack (B8).
		rand.Shuffle(len(changed), func(i, j int) { changed[i], changed[j] = changed[j], changed[i] })
		tenants := busiestTenants(before.Ledgers[v.Event], now.Ledgers[v.Event], c.Tenants)
		all, err := (&query.Query{View: name}).Resolve(declared, "")
		if err != nil {
			return nil, fmt.Errorf("grade view %s: %w", name, err)
		}
		s := newSheet(name, all.Measures)
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

// beyondLimits reports whether a query fails for this reason, so that no client can have got an answer.
func beyondLimits(err error) bool {
	var limit *batchview.LimitError
	return errors.As(err, &limit)
}

// changedBuckets returns the buckets that have another version than before.
func changedBuckets(before, now []record.BucketVersion) (buckets []int64) {
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

// busiestTenants returns up to limit tenants, those with the most events between two ledgers.
func busiestTenants(before, now record.Ledger, limit int) []string {
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
	return tenants[:min(len(tenants), limit)]
}

// compare adds one bucket of one tenant to the sheet.
func (c Config) compare(ctx context.Context, s *sheet, before, now *record.State, v *catalog.View, bucket int64,
	tenant string) error {
	from := time.UnixMicro(bucket).UTC()
	declared := c.Catalog.Catalog()
	q := &query.Query{View: v.Name, From: from, To: from.Add(declared.Bucket), GroupBy: v.Dimensions, Limit: c.Groups}
	scan, err := q.Resolve(declared, tenant)
	if err != nil {
		return err
	}
	given, err := c.givenAnswer(ctx, q, scan, before, now)
	if err != nil {
		return err
	}
	part, err := c.Batch.Scan(ctx, now, scan, batchview.Options{})
	if err != nil {
		return err
	}
	exact, err := merge.Merge(scan, q, part, nil, query.Accuracy{})
	if err != nil {
		return err
	}
	s.add(given, exact)
	return nil
}

// givenAnswer returns the answer that a client got with the pin before, when the log ended at the
// cut of now.
func (c Config) givenAnswer(ctx context.Context, q *query.Query, scan *query.Scan, before,
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
	return merge.Merge(scan, q, batch, live.Part, query.Accuracy{})
}

func sequences(offsets []position.Offset) []uint64 {
	out := make([]uint64, len(offsets))
	for p, o := range offsets {
		out[p] = o.Seq
	}
	return out
}
