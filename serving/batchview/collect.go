package batchview

import (
	"encoding/binary"
	"fmt"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/query"
)

// collector appends result rows to the columns of a part. dest are the places a row is
// scanned into, the same for every row, so that reading one allocates only its strings.
type collector struct {
	scan *query.Scan
	part *query.Part
	dest []any
	max  int

	group    uint8 // 0 in the guard's row
	window   int32
	events   uint64
	dims     []dimCell
	measures []measureCell

	rows, sum        uint64 // of the row
	allRows, allSums uint64 // of all rows so far

	over query.Overflow // of the row
}

type dimCell struct {
	text string
	num  int64
	null uint8
}

type measureCell struct {
	query.Measure
	n      uint64
	hi     int64
	lo     uint64
	float  float64
	sketch string
}

func newCollector(scan *query.Scan, limit int) *collector {
	c := &collector{scan: scan, max: limit, dims: make([]dimCell, len(scan.GroupBy)),
		measures: make([]measureCell, len(scan.Measures))}
	c.part = &query.Part{Dims: make([]query.Column, len(scan.GroupBy)),
		Measures: make([][]query.Acc, len(scan.Measures))}
	c.dest = []any{&c.group, &c.window}
	for d, dim := range scan.GroupBy {
		c.part.Dims[d].Type = dim.Type
		if dim.Type == catalog.String {
			c.dest = append(c.dest, &c.dims[d].text, &c.dims[d].null)
		} else {
			c.dest = append(c.dest, &c.dims[d].num, &c.dims[d].null)
		}
	}
	c.dest = append(c.dest, &c.events)
	for j, m := range scan.Measures {
		c.measures[j].Measure = m
		c.dest = append(c.dest, c.measures[j].dest()...)
	}
	c.dest = append(c.dest, &c.rows, &c.sum, &c.over.Events, &c.over.LeftOut)
	return c
}

// dest are the places of measureColumns.
func (m *measureCell) dest() []any {
	switch {
	case m.Kind == catalog.Count:
		return []any{&m.n}
	case m.Kind == catalog.Distinct:
		return []any{&m.n, &m.sketch}
	case m.Type == catalog.Float64:
		return []any{&m.n, &m.float}
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		return []any{&m.n, &m.hi, &m.lo}
	}
	return []any{&m.n, &m.hi}
}

// add takes the row that was scanned last.
func (c *collector) add() error {
	c.allRows = c.allRows + c.rows
	c.allSums = c.allSums + c.sum
	c.part.Overflow.Add(c.over)
	if c.group == 0 {
		return nil
	}
	if !unsure(c.scan) {
		c.overflow()
	}
	p := c.part
	if p.Rows() == c.max {
		return &LimitError{fmt.Sprintf("the query has more than %d groups; use fewer dimensions, a coarser "+
			"granularity or a shorter range", c.max)}
	}
	p.Windows = append(p.Windows, c.window)
	p.Events = append(p.Events, c.events)
	for d := range c.dims {
		col := &p.Dims[d]
		cell := &c.dims[d]
		col.Null = append(col.Null, cell.null == 1)
		if col.Type == catalog.String {
			col.Strings = append(col.Strings, cell.text)
		} else {
			col.Ints = append(col.Ints, cell.num)
		}
	}
	for j := range c.measures {
		acc, err := c.measures[j].acc()
		if err != nil {
			return err
		}
		p.Measures[j] = append(p.Measures[j], acc)
	}
	return nil
}

// proves reports whether the rows that were counted are the pinned ones (Q3).
func (c *collector) proves(p *pins) bool {
	return c.allRows == p.rows && c.allSums == p.sum || failpoint.Off(failpoint.Q3)
}

func (m *measureCell) acc() (query.Acc, error) {
	switch {
	case m.Kind == catalog.Distinct:
		registers, err := parseRegisters(m.sketch)
		return query.Acc{Exact: m.n, Registers: registers}, err
	case m.Type == catalog.Float64:
		return query.Acc{N: m.n, Float: m.float}, nil
	case m.Kind == catalog.Min || m.Kind == catalog.Max:
		return query.Acc{N: m.n, Lo: uint64(m.hi)}, nil
	}
	return query.Acc{N: m.n, Hi: m.hi, Lo: m.lo}, nil
}

// parseRegisters reads the state of groupUniqArray of UInt32, a number of registers and those: of a united
// sketch, which may hold several ranks a register. The driver would build a slice of an array by
// reflection, for many times as much.
func parseRegisters(state string) ([]uint32, error) {
	if state == "" {
		return nil, nil
	}
	raw := []byte(state)
	n, size := binary.Uvarint(raw)
	if size <= 0 || uint64(len(raw)-size) != 4*n {
		return nil, fmt.Errorf("read sketch: %d bytes do not hold the %d registers they name", len(raw), n)
	}
	out := make([]uint32, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(raw[size+4*i:])
	}
	return out, nil
}
