package cells

import (
	"strings"

	"github.com/cespare/xxhash/v2"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// The checksum of a bucket is the sum, with wrap-around, of a hash of each of its rows (B5). It
// does not depend on the order of the rows. The hash is XXH64 with seed 0 over the row's bytes:
// the columns of the table in their order, without _ver, numbers in little endian.
//
//	integer, float, time   8 bytes (Int128: 16, Int256: 32); a time is in microseconds since 1970
//	decimal                its units: 8 bytes of a Decimal(18, s), 16 of a Decimal(38, s)
//	string, state          the length in 8 bytes, then the bytes
//	nullable               1 byte, which is 1 for null, then the value; zero or empty for null; a bool is 1 byte
//	bins                   a string: ClickHouse's text of the map, {-1:2,7:1}, with ascending keys
//	sketch                 a string: ClickHouse's text of the array, [1,2,3]; older tables alone have sketches
//
// Publications store checksums, so the bytes of a row can never change for a table that exists.
// sqlschema.Checksum is the same in SQL.

// columnNames lists the columns for an INSERT.
func (l *layout) columnNames() string {
	var names []string
	for _, c := range l.columns {
		names = append(names, sqlschema.Quote(c.name))
	}
	return strings.Join(names, ", ")
}

// Checksums returns how many rows the pieces have in each bucket, and the checksum of those rows.
func Checksums(c *catalog.Catalog, v *catalog.View, version uint64,
	pieces []exact.BlockRows) map[int64]record.BucketVersion {
	return newLayout(c, v, version).checksums(pieces, version)
}

func (l *layout) checksums(pieces []exact.BlockRows, version uint64) map[int64]record.BucketVersion {
	checksums := map[int64]record.BucketVersion{}
	for _, x := range pieces {
		l.addChecksums(checksums, x.Block, x.From, x.To, version)
	}
	return checksums
}

// addChecksums adds the rows [from, to) of b, which are ordered by bucket, to checksums.
func (l *layout) addChecksums(checksums map[int64]record.BucketVersion, b *exact.Block, from, to int,
	version uint64) {
	var appends []func([]byte, int) []byte
	for _, c := range l.columns {
		if c.bytes != nil {
			appends = append(appends, c.bytes(b))
		}
	}
	var buf []byte
	bucket := record.BucketVersion{Bucket: -1}
	for row := from; row < to; row++ {
		if bucket.Bucket != b.Buckets[row] {
			if row > from {
				checksums[bucket.Bucket] = bucket
			}
			bucket = checksums[b.Buckets[row]]
			bucket.Bucket = b.Buckets[row]
			bucket.Ver = version
		}
		buf = buf[:0]
		for _, a := range appends {
			buf = a(buf, row)
		}
		bucket.Rows++
		bucket.Checksum += xxhash.Sum64(buf)
	}
	if to > from {
		checksums[bucket.Bucket] = bucket
	}
}
