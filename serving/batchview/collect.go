package batchview

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/query"
)

// collector appends result rows to the columns of a part.
type collector struct {
	scan *query.Scan
	part *query.Part
	// dest holds pointers to the fields below, into which each row is scanned. They are the same for
	// all rows, so reading a row allocates only its strings.
	dest []any
	// maxGroups is how many rows the part may have.
	maxGroups int
	// held is how many bytes of the scan's share the part has.
	held int64

	// window is that of the current row. It stays the first one if there are no others.
	window int32
	code   uint32
	// events are those of the current row. Each row of the table has some, so a row without events is no group.
	events   uint64
	dims     []dimCell
	measures []measureCell

	// partName is the part of the current row, or empty. parts are the table's parts so far.
	partName string
	parts    []string

	// sums makes the sums of floats.
	sums floatsum.Slab
	// hasFar says that some sum of floats has a far part. With nearSums it is missing then.
	hasFar bool

	// overflow counts the overflowed events of the current row.
	overflow query.Overflow
	st       *statement
	// union makes the registers of states. It is nil until there is one.
	union *distinct.Union
}

type dimCell struct {
	text string
	num  int64
	null uint8
}

type measureCell struct {
	query.Measure
	// first is the measure whose accumulators these are: itself, but for a further rank of a quantile.
	first int
	// countsEvents says that n has no column, because it is the number of events.
	countsEvents bool
	n            uint64
	hi           int64
	lo           uint64
	float        float64
	near         floatsum.Near
	far          string
	// set is the state of a set, or of its registers. It is empty where nobody asked for it.
	set  string
	bins string
}

func newCollector(scan *query.Scan, limit int, st *statement) *collector {
	c := &collector{scan: scan, maxGroups: limit, st: st, dims: make([]dimCell, len(scan.GroupBy)),
		measures: make([]measureCell, len(scan.Measures))}
	c.part = &query.Part{Dims: make([]query.Column, len(scan.GroupBy)),
		Measures: make([][]query.Acc, len(scan.Measures))}
	if isWindowed(scan) {
		c.dest = append(c.dest, &c.window)
	}
	if st.codes != nil {
		c.dest = append(c.dest, &c.code)
	}
	for d, dim := range scan.GroupBy {
		c.part.Dims[d].Type = dim.Type
		if st.codes != nil {
			continue
		}
		if dim.Type == catalog.String {
			c.dest = append(c.dest, &c.dims[d].text, &c.dims[d].null)
		} else {
			c.dest = append(c.dest, &c.dims[d].num, &c.dims[d].null)
		}
	}
	c.dest = append(c.dest, &c.events)
	for j, m := range scan.Measures {
		c.measures[j].Measure = m
		c.measures[j].countsEvents = st.countsEvents(m)
		c.measures[j].first = scan.Shared(j)
		if c.measures[j].first == j {
			c.dest = append(c.dest, c.measures[j].dest(st.hasSketches)...)
		}
	}
	c.dest = append(c.dest, &c.partName)
	if st.countsOverflow {
		c.dest = append(c.dest, &c.overflow.Events, &c.overflow.LeftOut)
	}
	return c
}

// zeros returns the SQL of values for the columns before the name of a part, in a row that is no group. ClickHouse
// converts them to the types of the columns.
func (c *collector) zeros() []string {
	var out []string
	for _, place := range c.dest {
		text, isText := place.(*string)
		switch {
		case text == &c.partName && isText:
			return out
		case isText:
			out = append(out, "''")
		default:
			out = append(out, "0")
		}
	}
	return out
}

// dest returns pointers to the fields that measureColumns selects.
func (m *measureCell) dest(hasSketches bool) []any {
	var out []any
	if m.Kind == catalog.Quantile {
		return append(out, &m.bins)
	}
	if !m.countsEvents {
		out = append(out, &m.n)
	}
	switch {
	case m.Kind == catalog.Count:
		return out
	case m.Kind == catalog.Distinct && hasSketches:
		return append(out, &m.set)
	case m.Kind == catalog.Distinct:
		return out
	case m.SumsFloats():
		return append(out, &m.near[0], &m.near[1], &m.near[2], &m.near[3], &m.far)
	case m.Type == catalog.Float64:
		return append(out, &m.float)
	case m.Kind == catalog.Sum || m.Kind == catalog.Avg:
		return append(out, &m.hi, &m.lo)
	}
	return append(out, &m.hi)
}

// add appends the row that was scanned last.
func (c *collector) add(ctx context.Context) error {
	if c.partName != "" {
		c.parts = append(c.parts, c.partName)
	}
	c.part.Overflow.Add(c.overflow)
	if c.events == 0 {
		return nil
	}
	if c.st.codes != nil && !c.st.codes.read(c.code, c.dims) {
		return errNewValue
	}
	if !c.st.countsOverflow {
		c.addOverflow()
	}
	p := c.part
	if p.Rows() == c.maxGroups {
		return &LimitError{fmt.Sprintf("the query has more than %d groups; use fewer dimensions, a coarser "+
			"granularity or a shorter range", c.maxGroups)}
	}
	bytes := rowBytes(c.scan)
	for d := range c.dims {
		bytes += int64(len(c.dims[d].text))
	}
	for j := range c.measures {
		if set := len(c.measures[j].set); set > 0 {
			bytes += int64(distinct.SetBytes + min(set, distinct.MaxRegisterBytes))
		}
		bytes += int64(len(c.measures[j].far) + len(c.measures[j].bins))
	}
	if err := c.scan.Memory.Grow(ctx, bytes); err != nil {
		return err
	}
	c.held += bytes
	p.Windows = append(p.Windows, c.window)
	p.Events = append(p.Events, c.events)
	for d := range c.dims {
		column := &p.Dims[d]
		cell := &c.dims[d]
		column.Null = append(column.Null, cell.null == 1)
		if column.Type == catalog.String {
			column.Strings = append(column.Strings, cell.text)
		} else {
			column.Ints = append(column.Ints, cell.num)
		}
	}
	for j := range c.measures {
		if first := c.measures[j].first; first < j {
			p.Measures[j] = p.Measures[first]
			continue
		}
		accumulator, err := c.accumulator(&c.measures[j])
		if err != nil {
			return err
		}
		p.Measures[j] = append(p.Measures[j], accumulator)
	}
	return nil
}

func (c *collector) accumulator(m *measureCell) (query.Acc, error) {
	if m.countsEvents {
		m.n = c.events
	}
	switch {
	case m.SumsFloats():
		sum := c.sums.New()
		sum.Near = m.near
		c.hasFar = c.hasFar || m.far != ""
		if len(m.far) < floatsum.BinBytes {
			return query.Acc{N: m.n, Sum: sum}, nil
		}
		far, err := floatsum.ParseFar(m.far)
		sum.Far = far
		return query.Acc{N: m.n, Sum: sum}, err
	case m.Kind == catalog.Quantile:
		return parseBins(m.bins)
	case m.Kind == catalog.Distinct && m.set == "":
		return query.Acc{Exact: m.n}, nil
	case m.Kind == catalog.Distinct && (c.st.readsStates || m.n <= distinct.MaxHashes):
		return c.parseState(m.set)
	case m.Kind == catalog.Distinct:
		registers, err := parseRegisters(m.set)
		return query.Acc{Exact: m.n, Set: distinct.SetOfRegisters(registers)}, err
	case m.Type == catalog.Float64:
		return query.Acc{N: m.n, Float: m.float}, nil
	case m.Kind == catalog.Min || m.Kind == catalog.Max:
		return query.Acc{N: m.n, Lo: uint64(m.hi)}, nil
	}
	return query.Acc{N: m.n, Hi: m.hi, Lo: m.lo}, nil
}

// parseState reads a state of uniqExact of UInt64: the number of hashes, then the hashes (distinct.AppendState).
func (c *collector) parseState(state string) (query.Acc, error) {
	n, size := binary.Uvarint([]byte(state[:min(len(state), binary.MaxVarintLen64)]))
	if rest := uint64(len(state) - size); size <= 0 || rest%8 != 0 || rest/8 != n {
		return query.Acc{}, fmt.Errorf("read state: it should have %d hashes, which is not what fits in its %d bytes",
			n, len(state))
	}
	if n <= distinct.MaxHashes {
		return query.Acc{Exact: n, Set: distinct.SetOfHashes(state[size:])}, nil
	}
	if c.union == nil {
		c.union = &distinct.Union{}
	}
	c.union.Reset()
	for at := size; at < len(state); at += 8 {
		c.union.Raise(distinct.Register(binary.LittleEndian.Uint64([]byte(state[at : at+8]))))
	}
	return query.Acc{Exact: n, Set: distinct.SetOfRegisters(c.union.AppendRegisters(nil))}, nil
}

// parseRegisters reads a state of groupUniqArray of UInt32: the number of registers, then the
// registers. They are of united sketches, so one register may occur with several ranks. A state is
// read because the driver builds the slice of an array by reflection, which costs many times more.
func parseRegisters(state string) ([]uint32, error) {
	raw := []byte(state)
	n, size := binary.Uvarint(raw)
	if size <= 0 || uint64(len(raw)-size) != 4*n {
		return nil, fmt.Errorf("read sketch: it should have %d registers, which is not what fits in its %d bytes",
			n, len(raw))
	}
	out := make([]uint32, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(raw[size+4*i:])
	}
	return out, nil
}

// parseBins reads a state of sumMap of Map(Int16, UInt64): the number of bins, then the key and the number of values of
// each, in any order.
func parseBins(state string) (query.Acc, error) {
	raw := []byte(state)
	n, size := binary.Uvarint(raw)
	if rest := len(raw) - size; size <= 0 || rest%quantile.BinBytes != 0 || uint64(rest/quantile.BinBytes) != n {
		return query.Acc{}, fmt.Errorf("read bins: there should be %d, which is not what fits in %d bytes", n, len(raw))
	}
	bins := make([]bin, n)
	for i := range bins {
		at := raw[size+quantile.BinBytes*i:]
		bins[i] = bin{int16(binary.LittleEndian.Uint16(at)), binary.LittleEndian.Uint64(at[2:])}
	}
	slices.SortFunc(bins, func(a, b bin) int { return cmp.Compare(a.key, b.key) })
	var a query.Acc
	for _, b := range bins {
		if a.Bins == nil {
			a.Bins = &quantile.Sketch{}
		}
		a.N += b.n
		a.Bins.Add(b.key, b.n)
	}
	return a, nil
}

// bin is an entry of a state of sumMap.
type bin struct {
	key int16
	n   uint64
}
