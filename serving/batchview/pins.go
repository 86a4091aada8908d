package batchview

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/schemas/window"
)

// pins are the (bucket, ver) pairs of a publication in a range of event time. They are stored as
// runs of neighbouring buckets with one version.
type pins struct {
	// starts is the first bucket of each run, and counts is how many buckets it has.
	starts []int64
	counts []int64
	vers   []uint64
	// width is the width of a bucket, in microseconds.
	width int64

	// digest is that of the definition under which the rows were published.
	digest string
	// versions are the same pairs, as the publication has them.
	versions []record.BucketVersion
	// rows is the number of rows in all pinned buckets.
	rows int64
}

func pinsOf(v record.ViewState, from, to int64, bucket time.Duration) *pins {
	p := &pins{width: bucket.Microseconds(), digest: v.Digest,
		versions: v.VersionsBetween(window.Floor(from, bucket), to)}
	for _, b := range p.versions {
		p.rows += b.Rows
		if last := len(p.starts) - 1; last >= 0 && p.vers[last] == b.Ver &&
			p.starts[last]+p.counts[last]*p.width == b.Bucket {
			p.counts[last]++
			continue
		}
		p.starts = append(p.starts, b.Bucket)
		p.counts = append(p.counts, 1)
		p.vers = append(p.vers, b.Ver)
	}
	return p
}

// table is the table that has the pinned rows.
func (p *pins) table(scan *query.Scan) string { return sqlschema.Table(scan.View, p.digest) }

// condition returns the predicate of the pinned rows.
func (p *pins) condition(f facts) string {
	last := len(p.starts) - 1
	within := rangeCondition("_bucket", p.starts[0], p.end())
	exceptions, few := p.exceptions(f.others)
	slots := (p.end() - p.starts[0]) / p.width
	// Rows whose bucket is none can have a pinned version. Only a person writes such rows.
	stray := slices.ContainsFunc(f.others, func(b record.BucketVersion) bool {
		return (b.Bucket-p.starts[0])%p.width != 0
	})
	switch {
	case f.known && len(f.others) == 0 && f.whole:
		return always
	case f.known && len(f.others) == 0:
		return within
	case stray && few:
		return within + " AND " + exceptions
	case stray:
		return within + " AND " + p.pairs()
	case last == 0 && f.inside:
		return isVersion(p.vers[0])
	case last == 0:
		return within + " AND " + isVersion(p.vers[0])
	case f.known && few && f.whole:
		return exceptions
	case f.known && few:
		return within + " AND " + exceptions
	case slots <= slotsPerRun*int64(len(p.starts)):
		return within + " AND _ver = " + p.lookup(slots)
	}
	return within + " AND " + p.pairs()
}

// pairs returns the predicate of rows whose bucket and version are in the set of all pins.
func (p *pins) pairs() string {
	return "(_bucket, _ver) IN (SELECT " + micros("run.1 + "+strconv.FormatInt(p.width, 10)+" * i") +
		", run.3 FROM (SELECT arrayJoin(arrayZip(" + array(p.starts) + ", " + array(p.counts) + ", " + array(p.vers) +
		")) AS run) ARRAY JOIN range(toUInt64(run.2)) AS i)"
}

func isVersion(ver uint64) string { return sqlschema.ColVer + " = " + strconv.FormatUint(ver, 10) }

// maxExceptions is up to how many versions, and how many buckets of pinned versions, are excluded one by one.
const maxExceptions = 16

// exceptions returns the predicate of rows that are not of the given buckets and versions, unless there are too many.
// A version that is pinned of no bucket needs one comparison, whatever the number of its buckets.
func (p *pins) exceptions(others []record.BucketVersion) (predicate string, few bool) {
	pinned := map[uint64]bool{}
	for _, v := range p.vers {
		pinned[v] = true
	}
	versions := map[string]bool{}
	var buckets []string
	for _, b := range others {
		if !pinned[b.Ver] {
			versions[strconv.FormatUint(b.Ver, 10)] = true
			continue
		}
		bucket := micros(strconv.FormatInt(b.Bucket, 10))
		buckets = append(buckets, "NOT (_bucket = "+bucket+" AND "+isVersion(b.Ver)+")")
		if len(buckets) > maxExceptions {
			return "", false
		}
	}
	if len(versions) > 0 {
		list := strings.Join(slices.Sorted(maps.Keys(versions)), ", ")
		buckets = append(buckets, sqlschema.ColVer+" NOT IN ("+list+")")
	}
	return strings.Join(buckets, " AND "), len(versions) <= maxExceptions
}

// end returns the end of the last run.
func (p *pins) end() int64 {
	last := len(p.starts) - 1
	return p.starts[last] + p.counts[last]*p.width
}

// slotsPerRun is up to how many slots a run the string of slots is shorter than the set of pairs.
const slotsPerRun = 16

// lookup returns the expression of the version that is pinned of a row's bucket, or 0. It looks in two
// constant strings: one has a slot for each bucket of the range, with the place of a version in the other.
// A set of pairs, which a range with many gaps needs, costs ten times as much: over 60,000 buckets whose
// versions alternate, a query takes 607 ms with the set and 51 ms with the strings (BenchmarkPins).
func (p *pins) lookup(slots int64) string {
	versions := make([]byte, 8) // Place 0 is of buckets that are not pinned. No row has the version 0.
	places := map[uint64]uint32{}
	for _, v := range p.vers {
		if _, ok := places[v]; !ok {
			places[v] = uint32(len(versions) / 8)
			versions = binary.LittleEndian.AppendUint64(versions, v)
		}
	}
	width := int64(bits.Len(uint(len(places)))+7) / 8
	table := make([]byte, slots*width)
	for i, start := range p.starts {
		var place [4]byte
		binary.LittleEndian.PutUint32(place[:], places[p.vers[i]])
		for slot := (start - p.starts[0]) / p.width; slot < (start-p.starts[0])/p.width+p.counts[i]; slot++ {
			copy(table[slot*width:(slot+1)*width], place[:])
		}
	}
	// A row before the range, which another predicate removes, must not ask for the item before the first.
	slot := fmt.Sprintf("greatest(0, intDiv(toUnixTimestamp64Micro(_bucket) - (%d), %d))", p.starts[0], p.width)
	return "reinterpretAsUInt64(" + item(versions, "reinterpretAsUInt32("+item(table, slot, width)+")", 8) + ")"
}

// item returns the expression of the item with a number, in a constant string of items of a width.
func item(items []byte, number string, width int64) string {
	return fmt.Sprintf("substring(base64Decode('%s'), toInt64(1 + %d * %s), %d)",
		base64.StdEncoding.EncodeToString(items), width, number, width)
}

// rangeCondition returns the predicate from <= column < to of a DateTime64(6) column.
func rangeCondition(column string, from, to int64) string {
	return column + " >= " + micros(strconv.FormatInt(from, 10)) + " AND " + column + " < " +
		micros(strconv.FormatInt(to, 10))
}

func micros(expr string) string { return "fromUnixTimestamp64Micro(toInt64(" + expr + "), 'UTC')" }

// array returns a constant array. ClickHouse parses it from one string, because a list of literals
// becomes one syntax node for each, which takes 10 times as long and counts for max_ast_elements.
func array[T int64 | uint64](values []T) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", v)
	}
	element := "UInt64"
	if _, signed := any(values).([]int64); signed {
		element = "Int64"
	}
	return "CAST('[" + b.String() + "]', 'Array(" + element + ")')"
}
