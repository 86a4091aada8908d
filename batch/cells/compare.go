package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// noTable is ClickHouse's error code for a table that does not exist.
const noTable = 60

// ReadVersions returns how many rows ClickHouse holds of each version, and their checksum. versions has
// at most one version of a bucket. A version without rows is absent from the result, and so are
// all versions when the table does not exist.
func (s *Store) ReadVersions(ctx context.Context, v *catalog.View,
	versions []record.BucketVersion) (map[int64]record.BucketVersion, error) {
	out := make(map[int64]record.BucketVersion, len(versions))
	for part := range slices.Chunk(versions, pairsAtOnce) {
		err := s.addVersions(ctx, v, part, out)
		var e *clickhouse.Exception
		if errors.As(err, &e) && e.Code == noTable {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read rows of view %s: %w", v.Name, err)
		}
	}
	return out, nil
}

func (s *Store) addVersions(ctx context.Context, v *catalog.View, versions []record.BucketVersion,
	out map[int64]record.BucketVersion) error {
	checksum, err := sqlschema.Checksum(sqlschema.Columns(s.catalog(), v))
	if err != nil {
		return err
	}
	rows, err := s.db.Query(readContext(ctx), fmt.Sprintf(
		"SELECT toUnixTimestamp64Micro(%[1]s), %[2]s, count(), %[3]s FROM %[4]s WHERE (%[1]s, %[2]s) IN (%[5]s) "+
			"GROUP BY %[1]s, %[2]s",
		sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer),
		checksum, sqlschema.Quote(sqlschema.Table(v, s.catalog().Digest(v))),
		pairSet(versions)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var b record.BucketVersion
		var n uint64
		if err := rows.Scan(&b.Bucket, &b.Ver, &n, &b.Checksum); err != nil {
			return err
		}
		b.Rows = int64(n)
		out[b.Bucket] = b
	}
	return rows.Err()
}

// EventsByView returns how many events the rows of a publication count, by view and tenant. It covers
// the views without a filter that are filled, because those count every event of their type.
func (s *Store) EventsByView(ctx context.Context, state *record.State) (map[string]map[string]int64, error) {
	out := map[string]map[string]int64{}
	for name, published := range state.Views {
		v := s.catalog().Views[name]
		if v == nil || len(v.Where) > 0 || published.Fill != nil || s.catalog().Digest(v) != published.Digest {
			continue
		}
		n, err := s.EventsByTenant(ctx, v, published.Buckets)
		if err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}

// EventsByTenant returns how many events of each tenant the rows of these versions count.
func (s *Store) EventsByTenant(ctx context.Context, v *catalog.View,
	versions []record.BucketVersion) (map[string]int64, error) {
	out := map[string]int64{}
	for part := range slices.Chunk(versions, pairsAtOnce) {
		if err := s.addEvents(ctx, v, part, out); err != nil {
			return nil, fmt.Errorf("count events of view %s: %w", v.Name, err)
		}
	}
	return out, nil
}

func (s *Store) addEvents(ctx context.Context, v *catalog.View, versions []record.BucketVersion,
	out map[string]int64) error {
	rows, err := s.db.Query(readContext(ctx), fmt.Sprintf("SELECT toString(%[1]s), sum(%[2]s) FROM %[3]s WHERE "+
		"(%[4]s, %[5]s) IN (%[6]s) GROUP BY %[1]s",
		sqlschema.Quote(sqlschema.ColTenant), sqlschema.Quote(sqlschema.ColEvents),
		sqlschema.Quote(sqlschema.Table(v, s.catalog().Digest(v))),
		sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer), pairSet(versions)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var tenant string
		var events uint64
		if err := rows.Scan(&tenant, &events); err != nil {
			return err
		}
		out[tenant] += int64(events)
	}
	return rows.Err()
}
