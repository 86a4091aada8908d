package cells

import (
	"context"
	"fmt"
	"strings"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// Insert adds rows of a view under a version, in one INSERT. It returns the number of rows and
// their checksum by bucket. After an error the rows may be there or not.
func (s *Store) Insert(ctx context.Context, v *catalog.View, version uint64,
	pieces []exact.BlockRows) (map[int64]record.BucketVersion, error) {
	l := newLayout(s.catalog, v, version)
	name := sqlschema.Table(v, s.catalog.Digest(v))
	batch, err := s.db.PrepareBatch(insertContext(ctx), "INSERT INTO "+sqlschema.Quote(name)+" ("+l.columnNames()+")")
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	buf := make([]byte, 0, 24*rowCount(pieces)) // Room for the widest column of most views.
	for i, c := range batch.Columns() {
		if buf, err = l.columns[i].fill(c, pieces, buf); err != nil {
			return nil, err
		}
	}
	return l.checksums(pieces, version), batch.Send()
}

// ReadBack returns how many rows the table holds of each bucket under a version, and their
// checksum. A bucket without rows is absent.
func (s *Store) ReadBack(ctx context.Context, v *catalog.View, version uint64,
	buckets []int64) (map[int64]record.BucketVersion, error) {
	name := sqlschema.Table(v, s.catalog.Digest(v))
	checksum, err := sqlschema.Checksum(sqlschema.Columns(s.catalog, v))
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(readContext(ctx), fmt.Sprintf(
		"SELECT toUnixTimestamp64Micro(%[1]s), count(), %[2]s FROM %[3]s WHERE %[4]s = %[5]d AND %[1]s IN (%[6]s) "+
			"GROUP BY %[1]s",
		sqlschema.Quote(sqlschema.ColBucket), checksum, sqlschema.Quote(name),
		sqlschema.Quote(sqlschema.ColVer), version, bucketList(buckets)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	got := map[int64]record.BucketVersion{}
	for rows.Next() {
		var n uint64
		b := record.BucketVersion{Ver: version}
		if err := rows.Scan(&b.Bucket, &n, &b.Checksum); err != nil {
			return nil, err
		}
		b.Rows = int64(n)
		got[b.Bucket] = b
	}
	return got, rows.Err()
}

func bucketList(buckets []int64) string {
	var s strings.Builder
	for i, b := range buckets {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(bucketSQL(b))
	}
	return s.String()
}

// bucketSQL is a bucket start as a constant of the column's type, so that ClickHouse uses the
// primary key.
func bucketSQL(b int64) string { return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", b) }
