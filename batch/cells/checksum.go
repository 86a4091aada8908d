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
//	integer, float, time   8 bytes (Int128: 16); a time is in microseconds since 1970
//	string, state          the length in 8 bytes, then the bytes
//	nullable               1 byte, which is 1 for null, then the value; zero or empty for null; a bool is 1 byte
//	sketch                 a string: ClickHouse's text of the array, [1,2,3]
//
// Publications store checksums, so the bytes of a row can never change for a table that exists.

// fixed is the SQL of a number's bytes. reinterpretAsFixedString, unlike
// reinterpretAsString, keeps trailing zero bytes.
func fixed(expr string) string { return "reinterpretAsFixedString(" + expr + ")" }

// counted is the SQL of a string after its length. The length keeps apart rows whose strings differ
// only in where one ends and the next begins.
func counted(expr string) string { return fixed("length("+expr+")") + ", " + expr }

func nullable(name, value string) string { return fixed("isNull("+name+")") + ", " + value }

// sql is the SQL of the checksum of a group of rows.
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

// Sums returns how many rows the pieces have in each bucket, and the checksum of those rows.
func Sums(c *catalog.Catalog, v *catalog.View, ver uint64, pieces []exact.BlockRows) map[int64]record.BucketVersion {
	return newLayout(c, v, ver).sums(pieces, ver)
}

func (l *layout) sums(pieces []exact.BlockRows, ver uint64) map[int64]record.BucketVersion {
	sums := map[int64]record.BucketVersion{}
	for _, x := range pieces {
		l.addSums(sums, x.Block, x.From, x.To, ver)
	}
	return sums
}

// addSums adds the rows [lo, hi) of b, which are ordered by bucket, to sums.
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
