// Package preview computes views from the newest raw events, so that an operator sees what a declaration would count
// before it is made. It writes nothing.
//
// # What is read
//
// The newest hour of event time that the type has, from the objects of the lake and from the messages of the log that
// have not landed yet. The log's are made into objects in memory by the code that lands them. Package exact then
// computes the views, as for a publication. So a preview shows what a recompute would publish of these events, but for
// copies in buckets beside (I3), and for values beyond the limit of a dimension (B7).
//
// # Bounds
//
// One preview runs at once, and others wait for it until their context ends. It reads at most 200,000 events of 100
// objects, the newest of each, and 64 MiB of the log. Views are computed one after another, for which package exact
// may use 64 MiB. An answer has 100 rows of a view. It says whether something was left out.
package preview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/record"
	"recount/schemas/window"
)

// The bounds of a preview.
const (
	maxSpan    = time.Hour
	maxEvents  = 200_000
	maxObjects = 100
	maxTail    = 64 << 20 // bytes of messages of all partitions
	maxRows    = 100
)

// Log is the part of the event log that a preview needs.
type Log interface {
	// Bounds returns the first message of a partition, and the next one that it will have.
	Bounds(ctx context.Context, partition int) (first, next uint64, err error)
	// Read returns the messages from a sequence on.
	Read(ctx context.Context, partition int, from uint64) (eventbatch.Reader, error)
}

// Config describes a Store.
type Config struct {
	Chains func(context.Context) ([]*record.Chain, error) // reads the commit chains, as publish.Chains does
	Open   exact.Open                                     // opens an object for reads of ranges
	Log    Log
}

// Store computes previews. It is safe for concurrent use.
type Store struct {
	cfg     Config
	running chan struct{}
}

// New returns a store.
func New(cfg Config) *Store { return &Store{cfg: cfg, running: make(chan struct{}, 1)} }

// Views computes views of the catalog, in their order.
func (s *Store) Views(ctx context.Context, c *catalog.Catalog, views []*catalog.View) ([]openapi.Preview, error) {
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(views) == 0 {
		return nil, nil
	}
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("preview: read commit chains: %w", err)
	}
	w := &work{Store: s, catalog: c, width: c.Bucket.Microseconds(), samples: map[string]*sample{}}
	for _, v := range views {
		if w.samples[v.Event] == nil {
			w.samples[v.Event] = &sample{landed: landed(chains, v.Event)}
		}
	}
	if err := w.readTails(ctx, chains); err != nil {
		return nil, err
	}
	for _, sample := range w.samples {
		sample.choose(c.Bucket)
	}
	out := make([]openapi.Preview, len(views))
	for i, v := range views {
		if out[i], err = w.compute(ctx, v); err != nil {
			return nil, fmt.Errorf("preview of view %s: %w", v.Name, err)
		}
	}
	return out, nil
}

// work is one call of Views.
type work struct {
	*Store
	catalog *catalog.Catalog
	width   int64
	samples map[string]*sample // by event type
}

// sample is the events of one type that a preview reads.
type sample struct {
	landed  []source
	tail    []source
	partial bool

	// The rest is what choose has chosen.
	sources []source
	buckets []int64
	events  int64
}

// source is an object. Those that have not landed yet are open.
type source struct {
	exact.Object
	created time.Time // zero if it has not landed yet
	open    exact.File
}

// landed returns the objects of a type.
func landed(chains []*record.Chain, eventType string) (out []source) {
	for p, c := range chains {
		for _, segment := range c.Segments {
			for _, o := range segment.Objects {
				if o.Type == eventType {
					out = append(out, source{created: segment.Created,
						Object: exact.Object{Object: o, Partition: p, Start: segment.Start}})
				}
			}
		}
	}
	return out
}

// choose takes the newest buckets, of them the newest objects, and of each object its newest rows.
func (s *sample) choose(bucket time.Duration) {
	width := bucket.Microseconds()
	all := append(s.tail, s.landed...)
	rows := map[int64]int64{}
	for _, x := range all {
		for _, b := range x.Buckets {
			rows[b.Bucket] += b.Rows
		}
	}
	if len(rows) == 0 {
		return
	}
	newest := int64(0)
	for b := range rows {
		newest = max(newest, b)
	}
	from := min(newest, window.Floor(newest+width-maxSpan.Microseconds(), bucket))
	for b := from; b <= newest; b += width {
		if rows[b] > 0 {
			s.buckets = append(s.buckets, b)
		}
	}
	all = slices.DeleteFunc(all, func(x source) bool { return x.rowsFrom(from) == 0 })
	slices.SortStableFunc(all, func(a, b source) int { // Those that have not landed come first.
		return cmp.Or(cmp.Compare(rank(b.open != nil), rank(a.open != nil)), b.created.Compare(a.created))
	})
	s.partial = s.partial || len(all) > maxObjects
	s.sources = all[:min(len(all), maxObjects)]
	s.shorten(from)
}

// rowsFrom returns how many rows the object has from a bucket on.
func (x *source) rowsFrom(from int64) (n int64) {
	for _, b := range x.Buckets {
		if b.Bucket >= from {
			n += b.Rows
		}
	}
	return n
}

// shorten leaves out the oldest rows of each object, the same share of all, so that a preview reads no more than it
// may. A run of rows that is left out gets a bucket that does not exist.
func (s *sample) shorten(from int64) {
	total := int64(0)
	for _, x := range s.sources {
		total += x.rowsFrom(from)
	}
	s.events = 0
	for i := range s.sources {
		x := &s.sources[i]
		var runs []record.BucketRows
		for _, run := range x.Buckets {
			keep := run.Rows
			if run.Bucket < from {
				keep = 0
			} else if total > maxEvents {
				keep = keep * maxEvents / total
			}
			if left := run.Rows - keep; left > 0 {
				runs = append(runs, record.BucketRows{Bucket: run.Bucket + 1, Rows: left})
			}
			if keep > 0 {
				runs = append(runs,
					record.BucketRows{Bucket: run.Bucket, Rows: keep, Assigned: min(run.Assigned, keep)})
			}
			s.events += keep
		}
		x.Buckets = runs
	}
	s.partial = s.partial || total > maxEvents
}

// compute computes one view.
func (w *work) compute(ctx context.Context, v *catalog.View) (openapi.Preview, error) {
	s := w.samples[v.Event]
	out := openapi.Preview{View: v.Name, Objects: len(s.sources), Events: s.events, Partial: s.partial,
		Rows: []openapi.PreviewRow{}}
	if len(s.buckets) == 0 {
		return out, nil
	}
	from := time.UnixMicro(s.buckets[0]).UTC()
	to := time.UnixMicro(s.buckets[len(s.buckets)-1] + w.width).UTC()
	out.From = &from
	out.To = &to
	in := exact.Input{Catalog: w.catalog, Type: v.Event, Buckets: s.buckets,
		Targets: []exact.Target{{View: v, Buckets: s.buckets}}}
	opened := map[string]exact.File{}
	for _, x := range s.sources {
		in.Objects = append(in.Objects, x.Object)
		opened[x.Key] = x.open
	}
	open := func(ctx context.Context, o record.Object) (exact.File, error) {
		if f := opened[o.Key]; f != nil {
			return f, nil
		}
		return w.cfg.Open(ctx, o)
	}
	var rows rowList
	counts, err := exact.Run(ctx, exact.Config{Workers: 1, Memory: 4 * exact.LeastMemory}, open, in, rows.add)
	if err != nil {
		return out, err
	}
	for _, b := range counts.Buckets {
		out.Copies += b.Duplicates
	}
	out.Unconverted = rows.unconverted
	out.Groups = len(rows.rows)
	out.Rows = rows.newest(maxRows)
	return out, nil
}

// errRest ends the reading of a tail that is longer than a preview may read.
var errRest = errors.New("the rest of the log is not read")
