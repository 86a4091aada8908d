package cells

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/schemas/failpoint"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// The projection of publication n is its rows in the table recount_published, and a marker. The
// marker is the row with an empty view name. Its ver is 1 if the rows list every bucket, and 0 if
// they list the changes since n-1. It is in the last INSERT, which ClickHouse applies as a whole. Readers go by
// the highest marker, so they never see half a projection. Rows that are written twice do no harm, because they
// say the same.

// Project brings the projection and the SQL VIEWs to the publication of state. It also completes
// what an earlier run did not.
func (s *Store) Project(ctx context.Context, state *record.State) error {
	var done uint64
	err := s.db.QueryRow(readContext(ctx), "SELECT max(n) FROM "+sqlschema.Published+" WHERE view = ''").Scan(&done)
	if err != nil {
		return fmt.Errorf("read the projection: %w", err)
	}
	if done > state.N {
		return nil // Another process has projected a later publication, which has its own views.
	}
	if done < state.N {
		full := done != state.N-1 || state.Publication.Base
		failpoint.Point("publish.project.before")
		rows, err := s.projectRows(ctx, state, full)
		if err != nil {
			return fmt.Errorf("project publication %d: %w", state.N, err)
		}
		rows.addMarker(full)
		failpoint.Point("publish.insert.before")
		if err := rows.insert(ctx, s.db); err != nil {
			return fmt.Errorf("project publication %d: %w", state.N, err)
		}
		failpoint.Point("publish.insert.after")
	}
	if err := s.syncViews(ctx, state.Views); err != nil {
		return fmt.Errorf("project publication %d: %w", state.N, err)
	}
	return nil
}

// Projected returns the highest number of a publication that the projection has rows of, complete or
// not. It returns 0 if there is no projection. Rows are written only after their publication exists,
// so the number says that this publication existed.
func (s *Store) Projected(ctx context.Context) (n uint64, err error) {
	err = s.db.QueryRow(readContext(ctx), "SELECT max(n) FROM "+sqlschema.Published).Scan(&n)
	var e *clickhouse.Exception
	if errors.As(err, &e) && e.Code == noTable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the projection: %w", err)
	}
	return n, nil
}

// projectRows inserts rows until the rest fits one INSERT, and returns the rest.
func (s *Store) projectRows(ctx context.Context, state *record.State, full bool) (*projection, error) {
	rows := &projection{n: state.N}
	for _, name := range slices.Sorted(maps.Keys(state.Views)) {
		buckets := state.Views[name].Buckets
		if !full {
			buckets = state.Publication.Views[name].Buckets
		}
		for part := range slices.Chunk(buckets, s.projectedRows) {
			rows.add(name, state.Views[name].Digest, part)
			if len(rows.versions) < s.projectedRows {
				continue
			}
			if err := rows.insert(ctx, s.db); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// defaultProjectedRows is roughly the largest number of rows in one INSERT.
const defaultProjectedRows = 250_000

// projection gathers rows of recount_published.
type projection struct {
	n              uint64
	views, digests []string
	buckets        []time.Time
	versions       []uint64
}

func (r *projection) add(view, digest string, buckets []record.BucketVersion) {
	for _, b := range buckets {
		r.views = append(r.views, view)
		r.digests = append(r.digests, digest)
		r.buckets = append(r.buckets, time.UnixMicro(b.Bucket).UTC())
		r.versions = append(r.versions, b.Ver)
	}
}

// addMarker adds the row that says that the projection is whole, and whether it is a full one.
func (r *projection) addMarker(full bool) {
	marker := record.BucketVersion{}
	if full {
		marker.Ver = 1
	}
	r.add("", "", []record.BucketVersion{marker})
}

func (r *projection) insert(ctx context.Context, db driver.Conn) error {
	batch, err := db.PrepareBatch(insertContext(ctx), "INSERT INTO "+sqlschema.Published+" (n, view, digest, "+
		"bucket, ver)")
	if err != nil {
		return err
	}
	defer batch.Close()
	n := slices.Repeat([]uint64{r.n}, len(r.versions))
	for i, values := range []any{n, r.views, r.digests, r.buckets, r.versions} {
		if err := batch.Column(i).Append(values); err != nil {
			return err
		}
	}
	*r = projection{n: r.n}
	return batch.Send()
}
