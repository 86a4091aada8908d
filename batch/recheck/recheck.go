// Package recheck computes buckets of the batch views in a second way and compares the result
// with what was published (A4). ClickHouse itself reads the Parquet objects, removes duplicates
// and aggregates.
//
// The two ways share the commit records, which say what has landed, and the definition of the
// view. They share no code that reads, deduplicates, aggregates, encodes or inserts.
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
	"recount/schemas/conversion"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/record"
)

// Config bounds a check.
type Config struct {
	Catalog *catalog.Catalog
	Buckets int   // how many buckets one run samples; each is checked for all its views
	Objects int   // a bucket whose rows are in more objects than this is left out
	Memory  int64 // bytes that ClickHouse may hold for one bucket; it spills to disk above half of them

	// Schemas are the stored schemas by event type (landing.StoredSchemas). A bucket is left out if it holds a field in
	// another type than the declared one, or among the undeclared fields, because ClickHouse does not convert as
	// package conversion does.
	Schemas map[string][]*catalog.EventType
}

// DefaultConfig samples eight buckets in a run.
func DefaultConfig(c *catalog.Catalog) Config {
	return Config{Catalog: c, Buckets: 8, Objects: 2000, Memory: 1 << 30}
}

// Checker checks publications. It is safe for concurrent use.
type Checker struct {
	cfg    Config
	db     driver.Conn
	access func(context.Context) (lake.Access, error)
}

// New returns a checker. access returns the address and the keys with which ClickHouse reads the lake.
func New(cfg Config, db driver.Conn, access func(context.Context) (lake.Access, error)) *Checker {
	return &Checker{cfg, db, access}
}

const remedy = "run recount verify: V6 says whether the rows in ClickHouse are those that were published, and " +
	"whether those follow from the events; if V6 passes, the two computations of recount disagree: keep the bucket's " +
	"objects and report it"

// bucket is a bucket of an event type with the objects that have rows of it.
type bucket struct {
	eventType string
	start     int64
}

// holding is where the rows of a bucket are.
type holding struct {
	objects  []string // the objects with rows of the bucket
	beside   []string // the objects with assigned times in the buckets beside it (I3)
	assigned bool     // the bucket has assigned times
	schemas  []string // ids of the objects' schemas
	rows     int64    // rows of the bucket, copies included
	mixed    bool     // the events of some object may have come under several declarations
}

// Check samples buckets of a publication and compares all their views. The events are those in
// the segments of the chains below the publication's H.
func (c *Checker) Check(ctx context.Context, state *record.State, chains []*record.Chain) (openapi.Recheck, error) {
	r := openapi.Recheck{Publication: state.N, Differences: []openapi.Difference{}}
	access, err := c.access(ctx)
	if err != nil {
		return r, err
	}
	landed := c.landed(state, chains)
	all := slices.SortedFunc(maps.Keys(landed), func(a, b bucket) int {
		return cmp.Or(cmp.Compare(a.eventType, b.eventType), cmp.Compare(a.start, b.start))
	})
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, b := range all[:min(len(all), c.cfg.Buckets)] {
		h := landed[b]
		if len(h.objects)+len(h.beside) > c.cfg.Objects {
			r.LeftOut++
			continue
		}
		for _, v := range c.cfg.Catalog.ViewsOf(b.eventType) {
			published, ok := state.Views[v.Name]
			if !ok || !published.IsCurrent(c.cfg.Catalog.Digest(v)) || !published.IsFilled(b.start) {
				continue
			}
			if left, err := c.converts(ctx, access, v, b, h); err != nil {
				return r, fmt.Errorf("look for undeclared fields of view %s: %w", v.Name, err)
			} else if left {
				r.LeftOut++
				continue
			}
			if err := c.check(ctx, &r, state, access, v, b, h); err != nil {
				return r, fmt.Errorf("check view %s, bucket %s: %w", v.Name,
					time.UnixMicro(b.start).UTC().Format(time.RFC3339), err)
			}
		}
	}
	return r, nil
}

// converts reports whether the rows of the bucket have a field of the view in another type than the declared one, or
// among the undeclared fields.
func (c *Checker) converts(ctx context.Context, access lake.Access, v *catalog.View, b bucket,
	h *holding) (bool, error) {
	fields := slices.DeleteFunc(conversion.FieldsOf(c.cfg.Catalog.Events[v.Event], v.Columns()),
		catalog.Field.IsComputed)
	late := h.mixed || slices.ContainsFunc(fields, func(f catalog.Field) bool { return f.Column() == "" })
	for _, stored := range c.cfg.Schemas[v.Event] {
		if !slices.Contains(h.schemas, stored.SchemaID()) {
			continue
		}
		for _, f := range fields {
			if f.Column() == "" {
				continue
			}
			t, declared := stored.Column(f.Column())
			if declared && t != f.Type {
				return true, nil
			}
			late = late || !declared
		}
	}
	if !late || len(fields) == 0 {
		return false, nil
	}
	q := &statement{catalog: c.cfg.Catalog, view: v, access: access, start: b.start, objects: h.objects}
	var rows uint64
	err := c.db.QueryRow(clickhouse.Context(ctx, clickhouse.WithSettings(c.settings()),
		clickhouse.WithParameters(q.parameters())), q.undeclared(fields)).Scan(&rows)
	return rows > 0, err
}

// landed returns the buckets with rows below the publication's H. It leaves out dead letters, whose
// objects are deleted when they are old.
func (c *Checker) landed(state *record.State, chains []*record.Chain) map[bucket]*holding {
	out := map[bucket]*holding{}
	width := c.cfg.Catalog.Bucket.Microseconds()
	holdingOf := func(eventType string, start int64) *holding {
		b := bucket{eventType, start}
		if out[b] == nil {
			out[b] = &holding{}
		}
		return out[b]
	}
	for p, chain := range chains {
		for _, segment := range chain.Segments {
			if segment.End > state.H[p].Seq {
				break
			}
			for _, o := range segment.Objects {
				if o.Type == deadletter.Type || len(c.cfg.Catalog.ViewsOf(o.Type)) == 0 {
					continue
				}
				for _, b := range o.Buckets {
					h := holdingOf(o.Type, b.Bucket)
					h.objects = append(h.objects, o.Key)
					h.rows += b.Rows
					h.mixed = h.mixed || !o.Uniform
					if !slices.Contains(h.schemas, o.Schema) {
						h.schemas = append(h.schemas, o.Schema)
					}
					h.assigned = h.assigned || b.Assigned > 0
					for _, start := range []int64{b.Bucket - width, b.Bucket + width} {
						n := holdingOf(o.Type, start)
						if b.Assigned > 0 && !slices.Contains(n.beside, o.Key) {
							n.beside = append(n.beside, o.Key)
						}
					}
				}
			}
		}
	}
	maps.DeleteFunc(out, func(_ bucket, h *holding) bool { return len(h.objects) == 0 })
	return out
}

// check compares one bucket of a view and adds what it finds to r.
func (c *Checker) check(ctx context.Context, r *openapi.Recheck, state *record.State, access lake.Access,
	v *catalog.View, b bucket, h *holding) error {
	var version record.BucketVersion
	if l := state.Views[v.Name].VersionsBetween(b.start, b.start+1); len(l) > 0 {
		version = l[0]
	}
	q := &statement{catalog: c.cfg.Catalog, view: v, access: access, start: b.start, version: version.Ver,
		objects: h.objects}
	if h.assigned {
		q.beside = h.beside
	}
	if h.rows > int64(state.Limit()) {
		q.limit = state.Limit()
	}
	rows, err := c.db.Query(clickhouse.Context(ctx, clickhouse.WithSettings(c.settings()),
		clickhouse.WithParameters(q.parameters())), q.text())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		d := openapi.Difference{View: v.Name, Bucket: time.UnixMicro(b.start).UTC(), Version: version.Ver,
			Remedy: remedy}
		if err := rows.Scan(&d.Tenant, &d.Time, &d.Dimensions, &d.Published, &d.Computed, &d.Rows); err != nil {
			return err
		}
		r.Differences = append(r.Differences, d)
	}
	r.Checked++
	r.Rows += version.Rows
	return rows.Err()
}

// settings bound the memory of the statement for one bucket.
func (c *Checker) settings() clickhouse.Settings {
	return clickhouse.Settings{
		"max_memory_usage": c.cfg.Memory, "max_bytes_before_external_sort": c.cfg.Memory / 2,
		"max_bytes_before_external_group_by": c.cfg.Memory / 2,
		"max_execution_time":                 0, "max_threads": 1, "max_query_size": 16 << 20,
		"input_format_parquet_allow_missing_columns": 1,
		"s3_list_object_keys_size":                   1000, "use_hive_partitioning": 0,
	}
}
