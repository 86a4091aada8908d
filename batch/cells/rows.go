package cells

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// Insert adds rows of a view under a version, in one INSERT. It returns the number of rows and
// their checksum by bucket. After an error the rows may be there or not.
func (s *Store) Insert(ctx context.Context, v *catalog.View, version uint64,
	pieces []exact.BlockRows) (map[int64]record.BucketVersion, error) {
	l := newLayout(s.catalog(), v, version)
	name := sqlschema.Table(v, s.catalog().Digest(v))
	statement := "INSERT INTO " + sqlschema.Quote(name) + " (" + l.columnNames() + ")"
	insert := s.insertBlock
	if s.encodes.Load() {
		insert = s.insertBatch
	}
	// The checksums are computed while ClickHouse reads the rows.
	checksums := make(chan map[int64]record.BucketVersion, 1)
	go func() { checksums <- l.checksums(pieces, version) }()
	err := insert(ctx, l, statement, pieces)
	if errors.Is(err, clickhouse.ErrFormatNativeUnsupported) {
		s.encodes.Store(true)
		err = s.insertBatch(ctx, l, statement, pieces)
	}
	found := <-checksums
	if err != nil {
		return nil, err
	}
	return found, nil
}

// insertBlock inserts the rows as a block that the driver sends as it is.
func (s *Store) insertBlock(ctx context.Context, l *layout, statement string, pieces []exact.BlockRows) error {
	buf, _ := s.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	b := l.block(pieces, *buf)
	if err := s.db.InsertFormat(insertContext(ctx), "Native", statement, b); err != nil {
		return err // The driver may still read the block.
	}
	*buf = b.buf
	s.buffers.Put(buf)
	return nil
}

// insertBatch inserts the rows over ClickHouse's native protocol, in which the driver encodes blocks itself.
func (s *Store) insertBatch(ctx context.Context, l *layout, statement string, pieces []exact.BlockRows) error {
	batch, err := s.db.PrepareBatch(insertContext(ctx), statement)
	if err != nil {
		return err
	}
	defer batch.Close()
	buf := make([]byte, 0, 24*rowCount(pieces)) // Room for the widest column of most views.
	for i, c := range batch.Columns() {
		if buf, err = l.columns[i].fill(c, pieces, buf); err != nil {
			return err
		}
	}
	return batch.Send()
}

// ReadBack returns how many rows the table holds of each bucket under a version, and their
// checksum. A bucket without rows is absent.
func (s *Store) ReadBack(ctx context.Context, v *catalog.View, version uint64,
	buckets []int64) (map[int64]record.BucketVersion, error) {
	name := sqlschema.Table(v, s.catalog().Digest(v))
	checksum, err := sqlschema.Checksum(sqlschema.Columns(s.catalog(), v))
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
