package cells

import (
	"strings"

	"github.com/cespare/xxhash/v2"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// The checksum of a bucket is the wrapping sum, over its rows, of XXH64 with seed 0
// of the row's bytes (B5). It does not depend on the order of rows. The bytes are
// the columns of the table but _ver, in its order, numbers little endian:
//
//	integer, float, time   8 bytes (Int128: 16), a time in microseconds since 1970
//	string, state          its length in 8 bytes, then its bytes
//	nullable               1 byte, 1 where null, then the value, zero or empty where null; a bool is 1 byte
//	sketch                 as string: ClickHouse's text of the array, [1,2,3]
//
// Checksums are stored in publications, so this can never change for a table that exists.

// fixed is the SQL of a number's bytes. reinterpretAsFixedString, unlike
// reinterpretAsString, keeps trailing zero bytes.
func fixed(expr string) string { return "reinterpretAsFixedString(" + expr + ")" }

// counted is the SQL of a string with its length in front, so that no two rows have the same bytes.
func counted(expr string) string { return fixed("length("+expr+")") + ", " + expr }

func nullable(name, value string) string { return fixed("isNull("+name+")") + ", " + value }

// sql is the checksum of a group of rows in ClickHouse.
func (l *layout) sql() string {
	var parts []string
	for _, c := range l.columns {
		if c.sql != "" {
			parts = append(parts, c.sql)
		}
	}
	return "sum(xxHash64(concat(" + strings.Join(parts, ", ") + ")))"
}

// names lists the columns for an INSERT.
func (l *layout) names() string {
	var names []string
	for _, c := range l.columns {
		names = append(names, sqlschema.Quote(c.name))
	}
	return strings.Join(names, ", ")
}

// Sums are how many rows the pieces have in each bucket, and their checksum.
func Sums(c *catalog.Catalog, v *catalog.View, ver uint64, pieces []exact.Piece) map[int64]record.BucketVersion {
	return newLayout(c, v, ver).sums(pieces, ver)
}

func (l *layout) sums(pieces []exact.Piece, ver uint64) map[int64]record.BucketVersion {
	sums := map[int64]record.BucketVersion{}
	for _, x := range pieces {
		l.addSums(sums, x.Block, x.Lo, x.Hi, ver)
	}
	return sums
}

// addSums adds the rows [lo, hi), which are ordered by bucket.
func (l *layout) addSums(sums map[int64]record.BucketVersion, b *exact.Block, lo, hi int, ver uint64) {
	var appends []func([]byte, int) []byte
	for _, c := range l.columns {
		if c.bytes != nil {
			appends = append(appends, c.bytes(b))
		}
	}
	var buf []byte
	v := record.BucketVersion{Bucket: -1}
	for row := lo; row < hi; row++ {
		if v.Bucket != b.Buckets[row] {
			if row > lo {
				sums[v.Bucket] = v
			}
			v = sums[b.Buckets[row]]
			v.Bucket = b.Buckets[row]
			v.Ver = ver
		}
		buf = buf[:0]
		for _, a := range appends {
			buf = a(buf, row)
		}
		v.Rows++
		v.Checksum += xxhash.Sum64(buf)
	}
	if hi > lo {
		sums[v.Bucket] = v
	}
}
