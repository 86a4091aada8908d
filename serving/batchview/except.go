package batchview

import (
	"fmt"
	"strconv"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// Except are groups that a scan leaves out, which need not be groups of the scan itself.
type Except struct {
	// By are the dimensions that tell the groups apart.
	By []query.Dimension
	// Groups is a part by the windows of the scan and By, without measures.
	Groups *query.Part
}

// Up to how many groups, and how many bytes of their keys, are sent with a statement. Together with what it takes to
// write the keys in a URL, that is less than the 1 MiB that ClickHouse servers allow.
const (
	maxExcept      = 10_000
	maxExceptBytes = 256 << 10
)

// check returns a *LimitError if the groups are too many to be sent.
func (e *Except) check() error {
	if e == nil {
		return nil
	}
	n := e.Groups.Rows()
	bytes := 0
	if n <= maxExcept {
		for _, key := range e.keys() {
			bytes += len(key)
		}
	}
	if n > maxExcept || bytes > maxExceptBytes {
		return &LimitError{fmt.Sprintf("distinct counts of the others are counted without the groups of the rows, "+
			"which may be %d with %d KiB of dimensions; use a lower limit, or leave out others or distinct measures",
			maxExcept, maxExceptBytes>>10)}
	}
	return nil
}

// keys returns a text for each group: the number of the window, and then each dimension as a minus sign if it is
// missing, and otherwise as its length in bytes, a colon and its value. So no two groups have one text.
func (e *Except) keys() []string {
	keys := make([]string, e.Groups.Rows())
	for row, w := range e.Groups.Windows {
		key := strconv.AppendInt(nil, int64(w), 10)
		for d := range e.By {
			key = append(key, ' ')
			c := &e.Groups.Dims[d]
			switch {
			case c.IsNull(row):
				key = append(key, '-')
			case c.Strings != nil:
				key = fmt.Appendf(key, "%d:%s", len(c.Strings[row]), c.Strings[row])
			default:
				value := strconv.FormatInt(c.Ints[row], 10)
				key = fmt.Appendf(key, "%d:%s", len(value), value)
			}
		}
		keys[row] = string(key)
	}
	return keys
}

// without returns the predicate of the rows that are in none of the groups. It compares the texts of Except.keys, which
// ClickHouse makes of a row, because a list of tuples with nulls has no parameter.
func (st *statement) without(scan *query.Scan, e *Except) string {
	if e == nil || e.Groups.Rows() == 0 {
		return always
	}
	key := "toString(" + windowIndex(scan.Windows, cellMicros) + ")"
	for _, d := range e.By {
		value := "toString(" + sqlschema.Quote(d.Name) + ")"
		if d.Type != catalog.String {
			value = "toString(toInt64(" + sqlschema.Quote(d.Name) + "))"
		}
		key += ", ' ', ifNull(concat(toString(length(" + value + ")), ':', " + value + "), '-')"
	}
	return "NOT " + st.inTexts("concat("+key+")", e.keys())
}
