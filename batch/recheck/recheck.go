// Package recheck computes buckets of the batch views a second way and compares them with
// what was published (A4): ClickHouse reads the Parquet objects itself, removes duplicates and
// aggregates. Of recount's own way from the lake to the rows it shares the commit records,
// which say what has landed, and the definition of the view; the code that reads, deduplicates,
// aggregates, encodes and inserts it does not share.
package recheck

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/record"
)

// Config bounds a check.
type Config struct {
	Catalog *catalog.Catalog
	Buckets int   // sampled in one run; each is checked for all its views
	Objects int   // most of a bucket; one that lies in more is left out
	Memory  int64 // bytes ClickHouse may hold for one bucket; above half of it, it goes to disk
}

// DefaultConfig samples eight buckets.
func DefaultConfig(c *catalog.Catalog) Config {
	return Config{Catalog: c, Buckets: 8, Objects: 2000, Memory: 1 << 30}
}

// Checker checks publications. It is safe for concurrent use.
type Checker struct {
	cfg   Config
	db    driver.Conn
	reach func(context.Context) (lake.Reach, error)
}

// New returns a checker. reach says how ClickHouse gets to the lake.
func New(cfg Config, db driver.Conn, reach func(context.Context) (lake.Reach, error)) *Checker {
	return &Checker{cfg, db, reach}
}

// Result is what a check came to.
type Result struct {
	Publication uint64       `json:"publication"`
	Checked     int          `json:"checked"` // buckets of views
	Rows        int64        `json:"rows"`    // published ones that were compared
	LeftOut     int          `json:"left_out,omitempty"`
	Differences []Difference `json:"differences"`
}

// Differing is how many rows differ.
func (r *Result) Differing() (rows uint64) {
	last := bucketOf{}
	for _, d := range r.Differences {
		if of := (bucketOf{d.View, d.Bucket}); of != last {
			rows = rows + d.Rows
			last = of
		}
	}
	return rows
}

// bucketOf is a bucket of a view. The rows of one stand together in a result.
type bucketOf struct {
	view  string
	start time.Time
}

// Difference is a row that is not the same in both computations.
type Difference struct {
	View       string    `json:"view"`
	Bucket     time.Time `json:"bucket"`
	Version    uint64    `json:"version,omitempty"` // of the published rows; none if there are none
	Tenant     string    `json:"tenant"`
	Time       string    `json:"time"`       // start of the cell
	Dimensions string    `json:"dimensions"` // of the row, in the view's order
	Published  string    `json:"published"`  // events and measures
	Computed   string    `json:"computed"`
	Rows       uint64    `json:"rows"` // that differ in the bucket
	Do         string    `json:"do"`
}

const do = "run recount verify: V6 says whether the rows in ClickHouse are those that were published, and whether " +
	"those are what the events give; " +
	"if it finds neither, the two computations of recount disagree: keep the bucket's objects and report it"

// bucket is a bucket of an event type with the objects that have rows of it.
type bucket struct {
	eventType string
	start     int64
}

// holding are the objects with rows of a bucket, and those with events of assigned times in the one before (I3).
type holding struct {
	objects, before []string
	assigned        bool
}

// Check samples buckets of a publication and compares all their views. The publication's
// segments are those of the chains below its H.
func (c *Checker) Check(ctx context.Context, st *record.State, chains []*record.Chain) (Result, error) {
	r := Result{Publication: st.N, Differences: []Difference{}}
	reach, err := c.reach(ctx)
	if err != nil {
		return r, err
	}
	landed := c.landed(st, chains)
	all := slices.SortedFunc(maps.Keys(landed), func(a, b bucket) int {
		return cmp.Or(cmp.Compare(a.eventType, b.eventType), cmp.Compare(a.start, b.start))
	})
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, b := range all[:min(len(all), c.cfg.Buckets)] {
		h := landed[b]
		if len(h.objects)+len(h.before) > c.cfg.Objects {
			r.LeftOut++
			continue
		}
		for _, v := range c.cfg.Catalog.ViewsOf(b.eventType) {
			if published, ok := st.Views[v.Name]; !ok || published.Digest != c.cfg.Catalog.Digest(v) {
				continue
			}
			if err := c.check(ctx, &r, st, reach, v, b, h); err != nil {
				return r, fmt.Errorf("check view %s, bucket %s: %w", v.Name,
					time.UnixMicro(b.start).UTC().Format(time.RFC3339), err)
			}
		}
	}
	return r, nil
}

// landed are the buckets with rows below the publication's H. Dead letters are left out:
// their objects go when they are old.
func (c *Checker) landed(st *record.State, chains []*record.Chain) map[bucket]*holding {
	out := map[bucket]*holding{}
	width := c.cfg.Catalog.Bucket.Microseconds()
	of := func(eventType string, start int64) *holding {
		b := bucket{eventType, start}
		if out[b] == nil {
			out[b] = &holding{}
		}
		return out[b]
	}
	for p, chain := range chains {
		for _, seg := range chain.Segments {
			if seg.End > st.H[p].Seq {
				break
			}
			for _, o := range seg.Objects {
				if o.Type == deadletter.Type || len(c.cfg.Catalog.ViewsOf(o.Type)) == 0 {
					continue
				}
				for _, b := range o.Buckets {
					h := of(o.Type, b.Bucket)
					h.objects = append(h.objects, o.Key)
					h.assigned = h.assigned || b.Assigned > 0
					if b.Assigned > 0 {
						next := of(o.Type, b.Bucket+width)
						next.before = append(next.before, o.Key)
					}
				}
			}
		}
	}
	maps.DeleteFunc(out, func(_ bucket, h *holding) bool { return len(h.objects) == 0 })
	return out
}

// check compares one bucket of a view.
func (c *Checker) check(ctx context.Context, r *Result, st *record.State, reach lake.Reach, v *catalog.View, b bucket,
	h *holding) error {
	var version record.BucketVersion
	if l := st.Views[v.Name].Between(b.start, b.start+1); len(l) > 0 {
		version = l[0]
	}
	q := &statement{catalog: c.cfg.Catalog, view: v, reach: reach, start: b.start, version: version.Ver,
		objects: h.objects}
	if h.assigned {
		q.before = h.before
	}
	rows, err := c.db.Query(clickhouse.Context(ctx, clickhouse.WithSettings(c.settings()),
		clickhouse.WithParameters(q.parameters())), q.sql())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		d := Difference{View: v.Name, Bucket: time.UnixMicro(b.start).UTC(), Version: version.Ver, Do: do}
		if err := rows.Scan(&d.Tenant, &d.Time, &d.Dimensions, &d.Published, &d.Computed, &d.Rows); err != nil {
			return err
		}
		r.Differences = append(r.Differences, d)
	}
	r.Checked++
	r.Rows += version.Rows
	return rows.Err()
}

// settings let one bucket take what it may and no more.
func (c *Checker) settings() clickhouse.Settings {
	return clickhouse.Settings{
		"max_memory_usage": c.cfg.Memory, "max_bytes_before_external_sort": c.cfg.Memory / 2,
		"max_bytes_before_external_group_by": c.cfg.Memory / 2,
		"max_execution_time":                 0, "max_threads": 1, "max_query_size": 16 << 20,
		"input_format_parquet_allow_missing_columns": 1,
		"s3_list_object_keys_size":                   1000, "use_hive_partitioning": 0,
	}
}
