package cells

import (
	"context"
	"errors"
	"fmt"

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

// bucketSQL is a bucket start as a constant of the column's type, so that ClickHouse uses the
// primary key.
func bucketSQL(b int64) string { return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", b) }
