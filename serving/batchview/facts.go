package batchview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// content is what parts hold of one bucket and version.
type content struct {
	record.BucketVersion
	// tenant is the tenant of all rows, or empty if they are of several.
	tenant string
	// odd has a bit for each column that is odd in some row. oddities numbers them.
	odd uint64
	// states is how many bytes the states of distinct measures have.
	states uint64
}

// maxOddities is the number of bits in content.odd.
const maxOddities = 64

// oddities returns the columns that can be odd, and the SQL of content.odd. A column of numbers is odd in a row if it
// differs from the number of events. A dimension is odd if it has the overflow value. No statement asks for others.
func oddities(columns []sqlschema.Column) (names []string, sql string) {
	sql = "toUInt64(0)"
	for _, c := range columns {
		isOdd := ""
		switch {
		case len(names) == maxOddities || c.Name == sqlschema.ColVer || c.Name == sqlschema.ColEvents:
			continue
		case c.Type == "UInt64":
			isOdd = sqlschema.Quote(c.Name) + " != " + sqlschema.ColEvents
		case c.Type == "LowCardinality(Nullable(String))":
			isOdd = overflowed(c.Name, catalog.String)
		case c.Type == "Nullable(Int64)":
			isOdd = overflowed(c.Name, catalog.Int64)
		default:
			continue
		}
		sql += fmt.Sprintf(" + bitShiftLeft(toUInt64(max(%s)), %d)", isOdd, len(names))
		names = append(names, c.Name)
	}
	return names, sql
}

// stateBytes returns the SQL of content.states.
func stateBytes(columns []sqlschema.Column) string {
	sql := "toUInt64(0)"
	for _, c := range columns {
		if strings.HasSuffix(c.Name, sqlschema.StateSuffix) {
			sql += " + sum(length(" + sqlschema.Quote(c.Name) + "))"
		}
	}
	return sql
}

// facts is what a proof knows of the pinned rows of a scan, besides that they are those that were published. Each
// fact spares ClickHouse a column or a comparison for each row. Facts hold as of a listing, like the proof itself.
type facts struct {
	// known says that the listing has the rows of all pinned buckets. Otherwise nothing else is known.
	known bool
	// others are the other rows from the first pinned bucket to the end of the last, ascending.
	others []record.BucketVersion
	// whole says that the table has no rows outside of these buckets.
	whole bool
	// inside says that the table has no rows of the pinned version outside of these buckets. It is false if there are
	// several pinned versions.
	inside bool
	// tenant is the tenant of all pinned rows, or empty if they are of several.
	tenant string
	// regular has the columns that are odd in no pinned row.
	regular map[string]bool
	// states is how many bytes the states of all distinct measures of the view have, in the pinned rows.
	states int64
	// returnStates says that these are few enough to return united sets in place of sketches.
	returnStates bool
}

// facts returns what the listing knows of pinned rows. pinned must be ascending by bucket, and not empty. width is the
// width of a bucket.
func (l *listing) facts(pinned []record.BucketVersion, width int64) facts {
	if _, _, differs := l.difference(pinned); differs {
		return facts{}
	}
	byBucket := func(c content, bucket int64) int { return cmp.Compare(c.Bucket, bucket) }
	from, _ := slices.BinarySearchFunc(l.contents, pinned[0].Bucket, byBucket)
	to, _ := slices.BinarySearchFunc(l.contents, pinned[len(pinned)-1].Bucket+width, byBucket)
	f := facts{known: true, whole: to-from == len(l.contents), regular: map[string]bool{}}
	var odd uint64
	first := true
	rest := pinned
	for _, c := range l.contents[from:to] {
		for len(rest) > 0 && compareVersions(rest[0], c.BucketVersion) < 0 {
			rest = rest[1:]
		}
		if len(rest) == 0 || compareVersions(rest[0], c.BucketVersion) != 0 {
			f.others = append(f.others, c.BucketVersion)
			continue
		}
		f.states += int64(c.states)
		if odd |= c.odd; first {
			f.tenant = c.tenant
		}
		if c.tenant != f.tenant {
			f.tenant = ""
		}
		first = false
	}
	for i, name := range l.oddities {
		f.regular[name] = odd>>i&1 == 0
	}
	f.inside = l.areInside(pinned, from, to)
	return f
}

// statesRead returns how many bytes of states a scan reads, or 0 if it is not known: rows of other tenants, and rows
// that a condition excludes, may have nearly all of them.
func (f *facts) statesRead(scan *query.Scan) int64 {
	if f.tenant != scan.Tenant || len(scan.Where) > 0 {
		return 0
	}
	return f.states
}

// areInside reports whether all pinned buckets have one version, and no content outside of [from, to) has it.
func (l *listing) areInside(pinned []record.BucketVersion, from, to int) bool {
	ver := pinned[0].Ver
	hasOther := func(b record.BucketVersion) bool { return b.Ver != ver }
	has := func(c content) bool { return c.Ver == ver }
	return !slices.ContainsFunc(pinned, hasOther) && !slices.ContainsFunc(l.contents[:from], has) &&
		!slices.ContainsFunc(l.contents[to:], has)
}

// add adds what another part holds of the same bucket and version.
func (c *content) add(other content) {
	c.Rows += other.Rows
	c.Checksum += other.Checksum
	c.odd |= other.odd
	c.states += other.states
	if c.tenant != other.tenant {
		c.tenant = ""
	}
}
