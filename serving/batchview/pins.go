package batchview

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount/schemas/record"
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

	// versions are the same pairs, as the publication has them.
	versions []record.BucketVersion
	// rows is the number of rows in all pinned buckets.
	rows int64
}

func pinsOf(v record.ViewState, from, to int64, bucket time.Duration) *pins {
	p := &pins{width: bucket.Microseconds(), versions: v.VersionsBetween(window.Floor(from, bucket), to)}
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

// condition returns the predicate of the pinned rows.
func (p *pins) condition() string {
	last := len(p.starts) - 1
	within := rangeCondition("_bucket", p.starts[0], p.starts[last]+p.counts[last]*p.width)
	if last == 0 {
		return within + " AND _ver = " + strconv.FormatUint(p.vers[0], 10)
	}
	return within + " AND (_bucket, _ver) IN (SELECT " + micros("run.1 + "+strconv.FormatInt(p.width, 10)+" * i") +
		", run.3 FROM (SELECT arrayJoin(arrayZip(" + array(p.starts) + ", " + array(p.counts) + ", " + array(p.vers) +
		")) AS run) ARRAY JOIN range(toUInt64(run.2)) AS i)"
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
