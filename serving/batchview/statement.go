package batchview

import (
	"fmt"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
)

// statement is the SQL of a scan with its parameters. Its columns are, in order: the window, if there are several,
// those of the dimensions (keys.dims), the events, those of each measure, the name of a part of the table, and the two
// of query.Overflow, if a branch counts it. ClickHouse analyses each column of each branch, which takes longer than it
// takes to read some hundred thousand rows. So there are no columns that every row would have.
type statement struct {
	sql  string
	args []any
	// countsOverflow says that a branch counts the overflowed events. Otherwise the groups show them.
	countsOverflow bool
	// hasSketches says that a branch has sketches of distinct measures.
	hasSketches bool
	// facts are those of the pinned rows.
	facts facts
	// readsStates says that the values of sketches are the states of distinct measures, of stateBytes at most.
	readsStates bool
	stateBytes  int64
	// codes is nil unless one code stands for all dimensions.
	codes *codes
}

// build returns the statement of a scan. The pins must have at least one row.
func build(scan *query.Scan, p *pins, opts Options, f facts, sums sumColumns, codes *codes) *statement {
	if overlaps(scan) {
		return buildSets(scan, p, opts.Sketches, f)
	}
	predicate := scan.Predicate()
	st := &statement{countsOverflow: overflowHidesEvents(&predicate, f), codes: codes, facts: f}
	table := p.table(scan)
	from := " FROM " + sqlschema.Quote(table)
	inScan := st.inScan(scan, p.width, f)
	conditions := st.clause(&predicate)
	pinned := p.condition(f)
	without := st.without(scan, opts.Except)
	k := st.keysOf(scan, p.width, codes)
	var with []span
	if hasDistinct(scan) {
		with = spansOf(scan.Windows, opts.Sketches)
	}
	st.hasSketches = len(with) > 0
	if st.hasSketches && f.returnStates {
		st.readsStates = true
		st.stateBytes = f.states
	}
	groups := func(sketches sketchColumns, predicates ...string) string {
		where := append([]string{pinned, inScan, conditions.holds, without}, predicates...)
		return st.groupColumns(scan, k, sketches, sums) + from + " WHERE " + all(where) + k.groupBy
	}
	var branches []string
	// Only the windows in which there are pinned rows matter.
	whole := len(with) == 1 && with[0].from <= max(p.starts[0], scan.Windows.From) &&
		with[0].to >= min(p.end(), scan.Windows.To)
	switch {
	case whole:
		branches = append(branches, groups(st.sketches()))
	case st.hasSketches:
		hull := rangeCondition("_bucket", with[0].from-with[0].from%p.width, with[len(with)-1].to)
		branches = append(branches, groups(noSketches, "NOT "+inSpans(with)),
			groups(st.sketches(), hull, inSpans(with)))
	default:
		branches = append(branches, groups(noSketches))
	}
	zeros := newCollector(scan, 0, st).zeros()
	if st.countsOverflow {
		counts := overflowColumns(scan, inScan, conditions)
		branches = append(branches, st.noGroup(zeros, noPart, counts)+from+" WHERE "+pinned)
	}
	part, parts := partColumns(table)
	branches = append(branches, st.noGroup(zeros, part, noOverflow)+parts)
	st.sql = strings.Join(branches, "\nUNION ALL\n")
	return st
}

// always is a predicate that holds for every row.
const always = "1"

// all returns the conjunction of predicates.
func all(predicates []string) string {
	needed := slices.DeleteFunc(predicates, func(p string) bool { return p == always })
	if len(needed) == 0 {
		return always
	}
	return strings.Join(needed, " AND ")
}

// inScan returns the predicate of the pinned rows in the scan's tenant and range.
func (st *statement) inScan(scan *query.Scan, width int64, f facts) string {
	w := scan.Windows
	predicates := []string{always}
	if f.tenant == "" || f.tenant != scan.Tenant {
		predicates = append(predicates, sqlschema.ColTenant+" = "+st.param(scan.Tenant, "String"))
	}
	if w.From%width != 0 || w.To%width != 0 { // Otherwise the pinned buckets are exactly the range.
		predicates = append(predicates, rangeCondition("time", w.From, w.To))
	}
	return all(predicates)
}

// inSpans returns the predicate of the time in the spans.
func inSpans(spans []span) string {
	var parts []string
	for _, s := range spans {
		parts = append(parts, rangeCondition("time", s.from, s.to))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func hasDistinct(scan *query.Scan) bool {
	return slices.ContainsFunc(scan.Measures, func(m query.Measure) bool { return m.Kind == catalog.Distinct })
}

func (st *statement) groupColumns(scan *query.Scan, k keys, sketches sketchColumns, sums sumColumns) string {
	var columns []string
	if isWindowed(scan) {
		columns = append(columns, k.window)
	}
	columns = append(append(columns, k.dims...), "sum(_events)")
	for i, m := range scan.Measures {
		if scan.Shared(i) == i {
			columns = append(columns, st.measureColumns(m, sketches, sums)...)
		}
	}
	return st.selectColumns(columns, noPart, noOverflow)
}

// isWindowed reports whether groups have a window. A scan of one window has none but the first.
func isWindowed(scan *query.Scan) bool { return scan.Windows.Len() > 1 }

// countsEvents reports whether the number of a measure's values is the number of events in each pinned row. The
// statement has that already.
func (st *statement) countsEvents(m query.Measure) bool {
	switch m.Kind {
	case catalog.Count:
		return st.facts.regular[m.Name]
	case catalog.Sum, catalog.Avg:
		return st.facts.regular[m.Name+numberSuffix]
	}
	return false
}

// numberSuffix ends the name of the column with the number of a sum's values.
const numberSuffix = "__n"

// measureColumns returns the aggregates of one measure. measureCell.dest has the places of their values.
func (st *statement) measureColumns(m query.Measure, sketches sketchColumns, sums sumColumns) []string {
	name := func(suffix string) string { return sqlschema.Quote(m.Name + suffix) }
	count := func(suffix string) []string {
		if st.countsEvents(m) {
			return nil
		}
		return []string{"sum(" + name(suffix) + ")"}
	}
	switch m.Kind {
	case catalog.Count:
		return count("")
	case catalog.Sum, catalog.Avg:
		if m.Type == catalog.Float64 {
			return append(count(numberSuffix), floatColumns(m, sums)...)
		}
		sum := "sum(" + name("__sum") + ")"
		if m.Type.IsDecimal() {
			sum = "reinterpretAsInt128(" + sum + ")" // its units
		}
		return append(count(numberSuffix), "toInt64(bitShiftRight("+sum+", 64))", "toUInt64("+sum+")")
	case catalog.Min, catalog.Max:
		value := string(m.Kind) + "(" + name("") + ")"
		if m.Type == catalog.Timestamp {
			value = "toUnixTimestamp64Micro(" + value + ")"
		}
		if d, ok := m.Type.Decimal(); ok {
			value = fmt.Sprintf("reinterpretAsInt64(ifNull(%s, toDecimal64(0, %d)))", value, d.Scale)
		}
		return []string{"count(" + name("") + ")", "ifNull(" + value + ", 0)"}
	case catalog.Quantile:
		// The state of a sum by key is read, because the driver builds a map by reflection.
		return []string{"toString(sumMapState(" + sqlschema.Quote(m.Stored()+sqlschema.BinsSuffix) + "))"}
	}
	hashes := hashesOf(&m)
	switch sketches {
	case unitedSketches:
		return setColumns("uniqExactArrayState("+hashes+")", "groupUniqArrayArrayState("+registersOf(hashes)+")")
	case unitedStates:
		return []string{"toUInt64(0)", "toString(uniqExactArrayState(" + hashes + "))"}
	}
	if st.hasSketches {
		return []string{"uniqExactArray(" + hashes + ")", "''"}
	}
	return []string{"uniqExactArray(" + hashes + ")"}
}

// setColumns returns the number of a set's values, and its state if they are few, or that of its registers.
func setColumns(set, sketch string) []string {
	n := "finalizeAggregation(" + set + ")"
	return []string{n, fmt.Sprintf("if(%s <= %d, toString(%s), toString(%s))", n, distinct.MaxHashes, set, sketch)}
}

// hashesOf is the SQL of the hashes of a distinct measure in a row. A uniqExact state is the number of hashes, and then
// the hashes of 8 bytes each. So the number takes length % 8 bytes, and the rest can be read as an array.
// uniqExactMerge would first build a set from the state of each row.
func hashesOf(m *query.Measure) string {
	state := sqlschema.Quote(m.Name + sqlschema.StateSuffix)
	return "reinterpret(substring(" + state + ", length(" + state + ") % 8 + 1), 'Array(UInt64)')"
}

// registersOf is the SQL of the registers of hashes.
func registersOf(hashes string) string { return "arrayMap(h -> " + register + ", " + hashes + ")" }

// register is the SQL of the register of the hash h, as distinct.Register makes it. Without the bit below its highest
// one, rounding to a Float64 cannot carry, so the exponent is the place of the highest bit.
const register = "toUInt32(bitOr(bitShiftLeft(bitShiftRight(h, 50), 8), 1087 - bitShiftRight(reinterpretAsUInt64(" +
	"toFloat64(bitAnd(" + ranked + ", bitNot(bitShiftRight(" + ranked + ", 1))))), 52)))"

// ranked is the SQL of the bits of the hash h from which the rank follows.
const ranked = "bitOr(bitShiftLeft(h, 14), 8192)"

// sketchColumns says what the rows of a branch have for the sketches of distinct measures.
type sketchColumns int

const (
	noSketches sketchColumns = iota
	// unitedSketches makes the sketch of each row from its set, and unites them. A united set of at most
	// distinct.MaxHashes is returned itself in place of its sketch.
	unitedSketches
	// unitedStates returns the united sets themselves. Their sketches follow from them (parseState). ClickHouse reads
	// and unites nothing else then, but the result has 8 bytes for each hash.
	unitedStates
)

// sketches returns what branches with sketches have.
func (st *statement) sketches() sketchColumns {
	if st.readsStates {
		return unitedStates
	}
	return unitedSketches
}

// sumColumns says how sums of floats are read.
type sumColumns int

const (
	// nearSums reads near parts, and only whether there are far parts. Far values are rare, and adding
	// even empty far parts would cost half as much again as the whole scan.
	nearSums sumColumns = iota
	// allSums adds far parts as well.
	allSums
	// roundedSums reads a table from before sums of floats were exact. It adds the sums of its rows, each of
	// which was rounded, exactly. So the answer does not depend on the order in which rows are read.
	roundedSums
)

// floatColumns returns the aggregates of a sum of floats: the four words of its near part, and its far part.
// With nearSums, a far part that is not empty stands for any.
func floatColumns(m query.Measure, sums sumColumns) []string {
	near := "sum(" + sqlschema.Quote(m.Name+"__near") + ")"
	farColumn := sqlschema.Quote(m.Name + "__far")
	far := "if(max(" + farColumn + " != ''), '!', '')"
	switch sums {
	case allSums:
		far = sqlschema.MergedFar(farColumn)
	case roundedSums:
		near = sqlschema.NearSum(sqlschema.Quote(m.Name + "__sum"))
		far = sqlschema.FarSum(sqlschema.Quote(m.Name + "__sum"))
	}
	columns := []string{"toUInt64(" + near + ")"}
	for _, shift := range []string{"64", "128", "192"} {
		columns = append(columns, "toUInt64(bitShiftRight("+near+", "+shift+"))")
	}
	return append(columns, far)
}

// noPart and noOverflow take the places of columns that a branch does not have.
const noPart = "''"

var noOverflow = []string{"toUInt64(0)", "toUInt64(0)"}

// noGroup returns the columns of a branch without groups: zeros, then its own.
func (st *statement) noGroup(zeros []string, part string, overflow []string) string {
	return st.selectColumns(slices.Clone(zeros), part, overflow)
}

func (st *statement) selectColumns(columns []string, part string, overflow []string) string {
	columns = append(columns, part)
	if st.countsOverflow {
		columns = append(columns, overflow...)
	}
	return "SELECT " + strings.Join(columns, ", ")
}
