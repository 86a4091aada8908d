package batchview

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// keys are what a statement groups by, and the columns that tell the groups apart.
type keys struct {
	groupBy string // groupBy is empty if all rows are one group.
	// window is the window's number. It is empty if there is one window.
	window string
	// dims are two columns for each dimension (value, is null), or one code of all of them.
	dims []string
}

// keysOf returns the keys of a scan. width is the width of a bucket, and c may be nil.
func (st *statement) keysOf(scan *query.Scan, width int64, c *codes) keys {
	if c != nil {
		return st.codedKeys(scan, width, c)
	}
	var k keys
	var by []string
	switch column := windowColumn(scan, width); {
	case !isWindowed(scan):
	case column != "":
		by = append(by, column)
		k.window = windowIndex(scan.Windows, toMicros(column))
	default:
		by = append(by, "_w")
		k.window = windowIndex(scan.Windows, cellMicros) + " AS _w"
	}
	for _, d := range scan.GroupBy {
		name := sqlschema.Quote(d.Name)
		by = append(by, name)
		if d.Type == catalog.String {
			k.dims = append(k.dims, "ifNull("+name+", '')", "isNull("+name+")")
		} else {
			k.dims = append(k.dims, "ifNull(toInt64("+name+"), 0)", "isNull("+name+")")
		}
	}
	if len(by) > 0 {
		k.groupBy = " GROUP BY " + strings.Join(by, ", ")
	}
	return k
}

// windowColumn returns the column that has one value in each window, or "" if there is none. The number of the window
// is then computed for each group, and not for each row.
func windowColumn(scan *query.Scan, bucket int64) string {
	runs := scan.Windows.Runs()
	switch {
	case len(runs) != 1:
	case runs[0].Width == scan.View.Cell.Microseconds():
		return sqlschema.ColTime
	case runs[0].Width == bucket && runs[0].Start%bucket == 0:
		return sqlschema.ColBucket
	}
	return ""
}

// codedKeys returns one key of 64 bits: the window, in microseconds or as a number, and the code of the dimensions in
// the digits that it leaves free. ClickHouse would copy several keys with strings into one string for each row.
func (st *statement) codedKeys(scan *query.Scan, width int64, c *codes) keys {
	code := st.code(scan.GroupBy[0].Name, c.values[0])
	for d, values := range c.values[1:] {
		code = fmt.Sprintf("(%s) * %d + %s", code, len(values)+otherCodes, st.code(scan.GroupBy[1+d].Name, values))
	}
	if !isWindowed(scan) {
		return keys{groupBy: " GROUP BY " + code + " AS _k", dims: []string{"toUInt32(_k)"}}
	}
	run := scan.Windows.Runs()[0]
	if column := windowColumn(scan, width); column != "" && c.number <= run.Width {
		return keys{groupBy: fmt.Sprintf(" GROUP BY %s + %s AS _k", toMicros(column), code),
			window: windowIndex(scan.Windows, "_k"),
			dims:   []string{fmt.Sprintf("toUInt32((_k - %d) %% %d)", run.Start, run.Width)}}
	}
	return keys{groupBy: fmt.Sprintf(" GROUP BY toInt64(%s) * %d + %s AS _k", windowIndex(scan.Windows, cellMicros),
		c.number, code),
		window: fmt.Sprintf("toInt32(intDiv(_k, %d))", c.number),
		dims:   []string{fmt.Sprintf("toUInt32(_k %% %d)", c.number)}}
}

// Each dimension has a code for null and one for all values that the statement does not name, after those of its
// values.
const otherCodes = 2

// code returns the expression of a value's code. ClickHouse computes it once for each entry of a dictionary. Values are
// looked up after a sign, so null can be the empty string.
func (st *statement) code(dimension string, values []string) string {
	const sign = "="
	names := make([]string, len(values)+1)
	for i, v := range values {
		names[i] = sign + v
	}
	return fmt.Sprintf("transform(ifNull(concat('%s', %s), ''), %s, range(toUInt32(%d)), toUInt32(%d))", sign,
		sqlschema.Quote(dimension), st.param(names, "Array(String)"), len(names), len(names))
}

// codes number the values of a scan's dimensions. They are hints: a row with another value is noticed.
type codes struct {
	values [][]string
	// number is how many codes the dimensions have together.
	number int64
}

// read splits the code of a group into the values of its dimensions. It reports whether the statement named them all.
func (c *codes) read(code uint32, dims []dimCell) bool {
	for d := len(dims) - 1; d >= 0; d-- {
		values := c.values[d]
		n := uint32(len(values) + otherCodes)
		place := int(code % n)
		code /= n
		dims[d] = dimCell{}
		switch {
		case place < len(values):
			dims[d].text = values[place]
		case place == len(values):
			dims[d].null = 1
		default:
			return false
		}
	}
	return true
}

// Up to how many values of a dimension, and how many bytes of them, are sent with statements.
const (
	maxValues     = 1024
	maxValueBytes = 16 << 10
)

// seen are the values of a dimension that answers had, in the order in which they were seen first.
type seen struct {
	values []string
	places map[string]struct{}
	bytes  int
	// many says that there are too many. The others are empty then.
	many bool
}

// add adds the values of a column.
func (s *seen) add(c *query.Column) {
	for i, v := range c.Strings {
		if _, found := s.places[v]; found || s.many || c.IsNull(i) {
			continue
		}
		v = strings.Clone(v)
		s.places[v] = struct{}{}
		s.values = append(s.values, v)
		s.bytes += len(v)
		if len(s.values) > maxValues || s.bytes > maxValueBytes {
			*s = seen{many: true}
		}
	}
}

// codes returns codes for the dimensions of a scan, or nil. It is nil if a code would not be faster, and if values of a
// dimension are not known yet or are too many.
func (p *proof) codes(scan *query.Scan) *codes {
	if !isCodable(scan) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &codes{number: 1}
	for _, d := range scan.GroupBy {
		s := p.seen[d.Name]
		if s == nil || s.many {
			return nil
		}
		c.values = append(c.values, s.values)
		if c.number *= int64(len(s.values) + otherCodes); c.number > math.MaxUint32 {
			return nil
		}
	}
	return c
}

// isCodable reports whether a scan has several keys, and all dimensions are strings. ClickHouse groups by one
// dictionary as fast as by a number.
func isCodable(scan *query.Scan) bool {
	other := func(d query.Dimension) bool { return d.Type != catalog.String }
	n := len(scan.GroupBy)
	return n > 0 && (n > 1 || scan.Windows.Len() > 1) && !overlaps(scan) && !slices.ContainsFunc(scan.GroupBy, other)
}

// learn remembers the values of a part's dimensions, for the next scan's codes.
func (p *proof) learn(scan *query.Scan, part *query.Part) {
	if !isCodable(scan) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, dim := range scan.GroupBy {
		s := p.seen[dim.Name]
		if s == nil {
			s = &seen{places: map[string]struct{}{}}
			p.seen[dim.Name] = s
		}
		s.add(&part.Dims[d])
	}
}
