package verify

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/cells"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// trimTries bounds how often the books are added up anew because the log was trimmed.
const trimTries = 3

// checkConservation adds the books up from what this run has read itself (V8). That the
// histograms and counts of single objects are those of their rows is V2's, those of single
// buckets V6's to say; here the tiers are compared with each other.
func checkConservation(ctx context.Context, e *Evidence, r *recorder, s *snapshot) error {
	books := &jobs.Books{Catalog: e.Catalog}
	for p, c := range s.chains {
		b := jobs.PartitionBooks{Landed: c.segments, Holes: c.holes, Head: c.head}
		if e.Log != nil {
			b.First, b.Next = s.logs[p].first, s.logs[p].next
			b.Headers = func(ctx context.Context, from, to uint64, each func(uint64, eventbatch.Header)) error {
				return ReadHeaders(ctx, e.Log, p, from, to, each)
			}
		}
		books.Partitions = append(books.Partitions, b)
		checkTenants(r, c)
	}
	for _, st := range s.kept {
		if s.onBoundaries(st) {
			books.States = append(books.States, st)
		}
	}
	if n := len(books.States); n > 0 && e.Cells != nil {
		var err error
		if books.Counted, err = CountRows(ctx, e.Cells, e.Catalog, books.States[n-1]); err != nil {
			return err
		}
	}
	a, err := books.Conserve(ctx)
	for try := 0; try < trimTries && e.Kept != nil && errors.Is(err, eventlog.ErrTrimmed); try++ {
		for p := range books.Partitions { // A running server has let go of what is not needed any more.
			if books.Partitions[p].First, _, err = e.Log.Bounds(ctx, p); err != nil {
				return err
			}
		}
		a, err = books.Conserve(ctx)
	}
	if err != nil {
		return err
	}
	for _, p := range a.Partitions {
		for _, x := range p.Ranges {
			r.examine(V8, x.Landed+x.Waiting, "events")
			if x.Residue != 0 {
				r.find(V8, in(p.Partition).at(0, x.From, x.To), "V1, V2 and V10 name the record or object at fault; if they find none, report a fault of recount",
					"the log has %d events of the range; %d have landed, %d wait, %d were given up: residue %d", *x.Logged, x.Landed, x.Waiting, x.Voided, x.Residue)
			}
		}
	}
	for _, x := range a.Publications {
		if x.Residue != 0 {
			r.find(V8, Place{Publication: x.Publication, File: record.PublicationKey(x.Publication)}, "V5 and V6 name the record or the rows at fault",
				"%d events have landed below H; the publication has %d: %d counted, %d duplicates, %d rejected, %d of types without a view: residue %d",
				x.Landed, x.Published, x.Counted, x.Duplicates, x.Rejected, x.Uncounted, x.Residue)
		}
	}
	return nil
}

// checkTenants compares a record's count with the sum of its tenants'.
func checkTenants(r *recorder, c *chain) {
	for _, seg := range c.segments {
		var n int64
		for _, t := range seg.Tenants {
			n += t
		}
		if n != seg.Events {
			r.find(V8, in(c.partition).at(seg.Epoch, seg.Start, seg.End).file(record.CommitKey(seg.Epoch, seg.Partition, seg.Start)), restore,
				"the record has %d events and its tenants %d", seg.Events, n)
		}
	}
}

// CountRows asks ClickHouse how many events the rows of a publication's views count, by view:
// of those without a filter, which count every event of their type.
func CountRows(ctx context.Context, store *cells.Store, c *catalog.Catalog, st *record.State) (map[string]int64, error) {
	out := map[string]int64{}
	for name, published := range st.Views {
		v := c.Views[name]
		if v == nil || len(v.Where) > 0 || c.Digest(v) != published.Digest {
			continue
		}
		n, err := store.CountedEvents(ctx, v, published.Buckets)
		if err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

// ReadHeaders calls each with the header of every message [from, to) of a partition.
func ReadHeaders(ctx context.Context, log *eventlog.Log, partition int, from, to uint64, each func(seq uint64, h eventbatch.Header)) error {
	reader, err := log.Read(ctx, partition, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for next := from; next < to; next++ {
		m, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		h, err := eventbatch.ReadHeader(m.Data)
		if err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		each(m.Seq, h)
	}
	return nil
}
