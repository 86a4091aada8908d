package exact

import (
	"cmp"
	"context"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// capped is a value of one tenant in a task: the number of its bucket in the span, and codes.
type capped struct{ bucket, tenant, value uint32 }

// admissions are the values that earlier slices of a bucket admitted (B7). Each slice waits for its turn, because the
// order of values is that of their first cells.
type admissions struct {
	turns []chan struct{} // turns[k] is closed when slice k may decide
	sets  []map[dimensionOf]*valueSet
}

// dimensionOf is a dimension of a view, by number, and a tenant.
type dimensionOf struct {
	dimension int
	tenant    string
}

// valueSet is a set of values of a dimension, of which only one field is used.
type valueSet struct {
	strings map[string]struct{}
	ints    map[int64]struct{}
}

func newAdmissions(s *span) *admissions {
	a := &admissions{turns: make([]chan struct{}, s.slices+1)}
	for k := range a.turns {
		a.turns[k] = make(chan struct{})
	}
	close(a.turns[0])
	for range s.views {
		a.sets = append(a.sets, map[dimensionOf]*valueSet{})
	}
	return a
}

// mayOverflow reports whether the span has enough rows for too many values in a bucket.
func (r *run) mayOverflow(s *span) bool {
	return r.in.Limit > 0 && s.rows > int64(r.in.Limit) && !failpoint.Off(failpoint.B7)
}

// capValues decides which values of the slice's groups are beyond the limit, and returns the views that have some.
func (r *run) capValues(ctx context.Context, s *span, k int, views []*viewTask) (over []*viewTask, err error) {
	if !r.mayOverflow(s) {
		return nil, nil
	}
	if s.admissions != nil {
		select {
		case <-s.admissions.turns[k]:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer close(s.admissions.turns[k+1])
	}
	for i, v := range views {
		var earlier map[dimensionOf]*valueSet
		if s.admissions != nil {
			earlier = s.admissions.sets[i]
		}
		if v.capValues(r.in.Limit, earlier); v.over != nil {
			over = append(over, v)
		}
	}
	return over, nil
}

// capValues sets v.over to the values beyond the limit. Of a tenant's values in a bucket those stay that come first by
// their first cell, then by value. earlier are the values of earlier slices; it is nil if there are none and never will
// be.
func (v *viewTask) capValues(limit int, earlier map[dimensionOf]*valueSet) {
	var order []int32
	for d, k := range v.coders[1:] {
		if k.fieldType == catalog.Bool || earlier == nil && k.size() <= limit {
			continue
		}
		if order == nil {
			order = v.groups.sorted()
		}
		for _, values := range v.firstCells(order, d) {
			tenant := v.coders[0].values.Strings[values[0].tenant]
			var set *valueSet
			if earlier != nil {
				key := dimensionOf{d, tenant}
				if earlier[key] == nil {
					earlier[key] = &valueSet{strings: map[string]struct{}{}, ints: map[int64]struct{}{}}
				}
				set = earlier[key]
			}
			for _, x := range k.takeOverflowing(values, set, limit) {
				v.setOver(d, capped{x.bucket, x.tenant, x.value})
			}
		}
	}
}

// seenValue is a value with the first cell in which a tenant has it, and the number of that cell's bucket.
type seenValue struct {
	capped
	cell uint32
}

// firstCells returns the values of a dimension by bucket and tenant, without null and the overflow value.
func (v *viewTask) firstCells(order []int32, dimension int) (byOwner [][]seenValue) {
	columns := [][]uint32{make([]uint32, len(order)), make([]uint32, len(order)), make([]uint32, len(order))}
	keep := make([]bool, len(order))
	overflow := v.coders[1+dimension].knownOverflow()
	for i, g := range order {
		codes := v.groups.codes[int(g)*v.groups.width:]
		columns[0][i] = v.bucketOf(codes[0])
		columns[1][i] = codes[1]
		columns[2][i] = codes[2+dimension]
		keep[i] = columns[2][i] != 0 && columns[2][i] != overflow
	}
	var values groups // They are numbered in the order in which they first appear.
	values.assign(columns, keep)
	var all []seenValue
	for i, g := range order {
		if int(values.rowGroups[i]) == len(all) {
			all = append(all, seenValue{capped{columns[0][i], columns[1][i], columns[2][i]},
				v.groups.codes[int(g)*v.groups.width]})
		}
	}
	slices.SortStableFunc(all, func(a, b seenValue) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.tenant, b.tenant))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].bucket == all[0].bucket && all[n].tenant == all[0].tenant {
			n++
		}
		byOwner = append(byOwner, all[:n])
		all = all[n:]
	}
	return byOwner
}

// bucketOf returns the number of a cell's bucket in the span.
func (v *viewTask) bucketOf(cell uint32) uint32 {
	return uint32(int64(cell) / (v.bucket.Microseconds() / v.cell))
}

// setOver marks a value of a dimension as beyond the limit.
func (v *viewTask) setOver(dimension int, x capped) {
	if v.over == nil {
		v.over = make([]map[capped]struct{}, len(v.view.Dimensions))
	}
	if v.over[dimension] == nil {
		v.over[dimension] = map[capped]struct{}{}
	}
	v.over[dimension][x] = struct{}{}
}

// size is how many values have a code.
func (k *coder) size() int { return max(len(k.values.Strings), len(k.values.Ints)) - 1 }

// knownOverflow returns the code of the overflow value, or 0 if no row has it.
func (k *coder) knownOverflow() uint32 {
	if k.fieldType != catalog.String {
		return k.ints[catalog.OverflowInt]
	}
	if len(k.slots) == 0 {
		return 0
	}
	slot, _ := k.find(catalog.Overflow)
	return uint32(*slot)
}

// takeOverflowing returns which values of a tenant have no room beside those in the set, and adds the others to the
// set. The values are ordered by first cell. Without a set there are no others.
func (k *coder) takeOverflowing(values []seenValue, set *valueSet, limit int) []seenValue {
	room := limit
	if set != nil {
		room -= len(set.strings) + len(set.ints)
		values = slices.DeleteFunc(values, func(x seenValue) bool { return k.isIn(set, x.value) })
	}
	if len(values) > room {
		slices.SortFunc(values, func(a, b seenValue) int {
			return cmp.Or(cmp.Compare(a.cell, b.cell), k.compareValues(a.value, b.value))
		})
	}
	n := min(room, len(values))
	for i := 0; set != nil && i < n; i++ {
		k.addTo(set, values[i].value)
	}
	return values[n:]
}

func (k *coder) isIn(set *valueSet, code uint32) (in bool) {
	if k.fieldType == catalog.String {
		_, in = set.strings[k.values.Strings[code]]
	} else {
		_, in = set.ints[k.values.Ints[code]]
	}
	return in
}

func (k *coder) addTo(set *valueSet, code uint32) {
	if k.fieldType == catalog.String {
		set.strings[k.values.Strings[code]] = struct{}{}
	} else {
		set.ints[k.values.Ints[code]] = struct{}{}
	}
}

func (k *coder) compareValues(a, b uint32) int {
	if k.fieldType == catalog.String {
		return cmp.Compare(k.values.Strings[a], k.values.Strings[b])
	}
	return cmp.Compare(k.values.Ints[a], k.values.Ints[b])
}

// replaceOver returns the codes of a dimension with the code of the overflow value for values that are beyond the
// limit, and notes these rows.
func (v *viewTask) replaceOver(dimension int) []uint32 {
	k := v.coders[1+dimension]
	if v.over == nil || v.over[dimension] == nil {
		return k.codes
	}
	codes := slices.Clone(k.codes)
	overflow := k.overflowCode()
	for i, value := range codes {
		x := capped{v.bucketOf(v.cells[i]), v.coders[0].codes[i], value}
		if _, over := v.over[dimension][x]; over {
			codes[i] = overflow
			v.overRows[i] = true
		}
	}
	return codes
}

// countOver counts the events of the chunk's groups that have a value beyond the limit.
func (v *viewTask) countOver() {
	if v.over == nil {
		return
	}
	for i, over := range v.overRows {
		if over && v.groups.rowGroups[i] >= 0 {
			bucket := v.origin + int64(v.bucketOf(v.cells[i]))*v.bucket.Microseconds()
			v.overflowed[bucketTenant{bucket, v.coders[0].codes[i]}]++
		}
	}
}

// bucketTenant is a bucket and the code of a tenant.
type bucketTenant struct {
	bucket int64
	tenant uint32
}

// events returns counts as a record lists them, in any order.
func (v *viewTask) events(counts map[bucketTenant]int64) (out []record.BucketEvents) {
	for key, n := range counts {
		out = append(out, record.BucketEvents{Bucket: key.bucket, Events: n,
			Tenant: v.coders[0].values.Strings[key.tenant]})
	}
	return out
}
