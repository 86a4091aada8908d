package merge

import (
	"cmp"
	"math/bits"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// sorter orders the rows of groups by the keys of a query.
type sorter struct {
	scan    *query.Scan
	g       *groups
	columns []column
	words   [][]uint64
	// bits is how many bits of the last word are used.
	bits int
}

// order returns the numbers of the rows of a page in order, and how many rows all pages have: the first q.PerWindow of
// each window.
func order(scan *query.Scan, q *query.Query, g *groups, columns []column) (rows []int32, all int) {
	s := &sorter{scan: scan, g: g, columns: columns}
	for _, o := range q.OrderBy {
		s.push(s.key(o))
	}
	rest := []string{"time"}
	for _, d := range scan.GroupBy {
		rest = append(rest, d.Name)
	}
	for _, name := range rest {
		if slices.ContainsFunc(q.OrderBy, func(o query.Order) bool { return o.By == name }) {
			continue
		}
		s.push(s.key(query.Order{By: name}))
	}
	entries := s.entries()
	if q.PerWindow > 0 {
		entries = s.firstOfWindows(entries, q.PerWindow)
	}
	all = len(entries)
	rows = s.first(entries, q.Skip()+q.Limit)
	return rows[min(q.Skip(), len(rows)):], all
}

// push appends a key to the last word if it fits, so that most orders compare one number per row.
func (s *sorter) push(k sortKey) {
	width := bits.Len64(k.max)
	if width == 0 {
		return
	}
	if len(s.words) == 0 || s.bits+width > 64 {
		s.words = append(s.words, k.rank)
		s.bits = width
		return
	}
	last := s.words[len(s.words)-1]
	for i, r := range k.rank {
		last[i] = last[i]<<width | r
	}
	s.bits += width
}

// entry is a row with its first word, so that most comparisons read no other memory.
type entry struct {
	word uint64
	row  int32
}

func (s *sorter) compare(a, b entry) int {
	if a.word != b.word || len(s.words) < 2 {
		return cmp.Compare(a.word, b.word)
	}
	for _, w := range s.words[1:] {
		if c := cmp.Compare(w[a.row], w[b.row]); c != 0 {
			return c
		}
	}
	return 0
}

func (s *sorter) entries() []entry {
	entries := make([]entry, s.g.len())
	for i := range entries {
		entries[i].row = int32(i)
		if len(s.words) > 0 {
			entries[i].word = s.words[0][i]
		}
	}
	return entries
}

// first returns the rows of the first entries, in order.
func (s *sorter) first(entries []entry, limit int) []int32 {
	if limit < len(entries) {
		entries = smallest(entries, limit, s.compare)
	}
	if len(s.words) == 1 && len(entries) > radixRows {
		entries = radixSort(entries, s.bits)
	} else {
		slices.SortFunc(entries, s.compare)
	}
	rows := make([]int32, len(entries))
	for i, e := range entries {
		rows[i] = e.row
	}
	return rows
}

// firstOfWindows returns the first entries of each window, in no order.
func (s *sorter) firstOfWindows(entries []entry, limit int) []entry {
	windows := s.scan.Windows.Len()
	ends := make([]int32, windows+1) // of the windows before each
	for _, w := range s.g.window {
		ends[w+1]++
	}
	for w := range windows {
		ends[w+1] += ends[w]
	}
	byWindow := make([]entry, len(entries))
	next := slices.Clone(ends)
	for _, e := range entries {
		w := s.g.window[e.row]
		byWindow[next[w]] = e
		next[w]++
	}
	kept := entries[:0]
	for w := range windows {
		all := byWindow[ends[w]:ends[w+1]]
		if limit < len(all) {
			all = smallest(all, limit, s.compare)
		}
		kept = append(kept, all...)
	}
	return kept
}

func (s *sorter) key(o query.Order) sortKey {
	if o.By == "time" {
		values := make([]uint64, s.g.len())
		for i, w := range s.g.window {
			values[i] = uint64(w)
		}
		return newKey(values, nil, o.Desc)
	}
	for d := range s.scan.GroupBy {
		if s.scan.GroupBy[d].Name == o.By {
			return s.dimKey(d, o.Desc)
		}
	}
	for i := range s.columns {
		if s.columns[i].Name == o.By {
			return s.measureKey(&s.columns[i], o.Desc)
		}
	}
	return sortKey{rank: make([]uint64, s.g.len())}
}

func (s *sorter) dimKey(d int, desc bool) sortKey {
	values := make([]uint64, s.g.len())
	null := make([]bool, s.g.len())
	if s.scan.GroupBy[d].Type == catalog.String {
		s.stringRanks(d, values, null)
		return newKey(values, null, desc)
	}
	for i := range values {
		c, row := s.g.dim(d, i)
		if null[i] = c.IsNull(row); !null[i] {
			values[i] = ordinal(c.Ints[row])
		}
	}
	return newKey(values, null, desc)
}

// stringRanks numbers the distinct strings of a dimension, and then replaces the numbers by the
// ranks of the strings. So each distinct string is sorted once, and rows compare numbers.
func (s *sorter) stringRanks(d int, values []uint64, null []bool) {
	number := map[string]uint64{}
	var unique []string
	for i := range values {
		c, row := s.g.dim(d, i)
		if null[i] = c.IsNull(row); null[i] {
			continue
		}
		n, ok := number[c.Strings[row]]
		if !ok {
			n = uint64(len(unique))
			number[c.Strings[row]] = n
			unique = append(unique, c.Strings[row])
		}
		values[i] = n
	}
	ranks := make([]uint64, len(unique))
	slices.Sort(unique)
	for r, v := range unique {
		ranks[number[v]] = uint64(r)
	}
	for i, n := range values {
		if !null[i] {
			values[i] = ranks[n]
		}
	}
}

// wideRanks replaces sums of 128 bits by their ranks, as stringRanks does with strings.
func (s *sorter) wideRanks(c *column, values []uint64, null []bool) {
	sums := make([]value, len(values))
	var rows []int
	for i := range sums {
		sums[i], _ = c.mergedValue(s.g, i)
		if null[i] = sums[i].null; !null[i] {
			rows = append(rows, i)
		}
	}
	compare := func(a, b value) int { return a.wide().Compare(b.wide()) }
	slices.SortFunc(rows, func(a, b int) int { return compare(sums[a], sums[b]) })
	rank := uint64(0)
	for k, i := range rows {
		if k > 0 && compare(sums[rows[k-1]], sums[i]) != 0 {
			rank++
		}
		values[i] = rank
	}
}

func (s *sorter) measureKey(c *column, desc bool) sortKey {
	values := make([]uint64, s.g.len())
	null := make([]bool, s.g.len())
	float := c.ResultType() == catalog.Float64
	if c.Kind == catalog.Sum && c.Type.IsDecimal() {
		s.wideRanks(c, values, null)
		return newKey(values, null, desc)
	}
	for i := range values {
		v, _ := c.mergedValue(s.g, i)
		if null[i] = v.null; v.null {
			continue
		}
		if values[i] = ordinal(v.i); float {
			values[i] = floatOrdinal(v.f)
		}
	}
	return newKey(values, null, desc)
}
