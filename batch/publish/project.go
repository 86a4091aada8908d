package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"recount/schemas/fault"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// The projection of publication n is its rows in recount_published, then a marker:
// the row with an empty view name, whose ver is 1 where the rows list every bucket
// and 0 where they are the changes since n-1. Readers go by the highest marker, so
// half a projection is never seen; rows written twice say the same thing twice.

// project brings the projection and the SQL VIEWs to the newest publication, whatever
// an earlier run left undone.
func (p *Publisher) project(ctx context.Context) error {
	s := p.State()
	var done uint64
	if err := p.db.QueryRow(ctx, "SELECT max(n) FROM "+sqlschema.Published+" WHERE view = ''").Scan(&done); err != nil {
		return fmt.Errorf("read the projection: %w", err)
	}
	if done < s.N {
		full := done != s.N-1 || s.Publication.Base
		fault.Point("publish.project.before")
		if err := p.projectRows(ctx, s, full); err != nil {
			return fmt.Errorf("project publication %d: %w", s.N, err)
		}
		fault.Point("publish.marker.before")
		marker := fmt.Sprintf("INSERT INTO %s (n, view, digest, bucket, ver) VALUES (%d, '', '', 0, %d)", sqlschema.Published, s.N, map[bool]int{true: 1}[full])
		if err := p.db.Exec(ctx, marker); err != nil {
			return fmt.Errorf("project publication %d: %w", s.N, err)
		}
		fault.Point("publish.marker.after")
	}
	if err := p.syncViews(ctx); err != nil {
		return fmt.Errorf("project publication %d: %w", s.N, err)
	}
	return nil
}

func (p *Publisher) projectRows(ctx context.Context, s *record.State, full bool) error {
	rows := projection{n: s.N}
	for _, name := range slices.Sorted(maps.Keys(s.Views)) {
		buckets := s.Views[name].Buckets
		if !full {
			buckets = s.Publication.Views[name].Buckets
		}
		for part := range slices.Chunk(buckets, insertRows/4) {
			rows.add(name, s.Views[name].Digest, part)
			if len(rows.vers) < insertRows/4 {
				continue
			}
			if err := rows.insert(ctx, p); err != nil {
				return err
			}
		}
	}
	return rows.insert(ctx, p)
}

// projection gathers rows of recount_published.
type projection struct {
	n              uint64
	views, digests []string
	buckets        []time.Time
	vers           []uint64
}

func (r *projection) add(view, digest string, buckets []record.BucketVersion) {
	for _, b := range buckets {
		r.views, r.digests = append(r.views, view), append(r.digests, digest)
		r.buckets, r.vers = append(r.buckets, time.UnixMicro(b.Bucket).UTC()), append(r.vers, b.Ver)
	}
}

func (r *projection) insert(ctx context.Context, p *Publisher) error {
	if len(r.vers) == 0 {
		return nil
	}
	batch, err := p.db.PrepareBatch(insertContext(ctx), "INSERT INTO "+sqlschema.Published+" (n, view, digest, bucket, ver)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, values := range []any{slices.Repeat([]uint64{r.n}, len(r.vers)), r.views, r.digests, r.buckets, r.vers} {
		if err := batch.Column(i).Append(values); err != nil {
			return err
		}
	}
	*r = projection{n: r.n}
	return batch.Send()
}
