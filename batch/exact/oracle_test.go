package exact

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/record"
	"recount/schemas/window"
)

// oracle is the naive definition: it applies B2 and I3 with maps of events, then computes one group
// after another. It returns the rows as sorted text, and the counts.
func oracle(events []event, buckets []int64, targets []Target, limit int, lost func(event) bool) (rows []string,
	counts []record.BucketCount) {
	kept, counts := naiveKept(events, buckets)
	for _, t := range targets {
		for _, b := range t.Buckets {
			rows = append(rows, naiveRows(t.View, b, kept[b], limit)...)
			rows = append(rows, naiveUnconverted(t.View, b, kept[b], lost)...)
		}
	}
	slices.Sort(rows)
	return rows, counts
}

// naiveKept returns the events of each bucket that are no copies, and the counts.
func naiveKept(events []event, buckets []int64) (kept map[int64][]event, counts []record.BucketCount) {
	type place struct {
		id     string
		bucket int64
	}
	placeOf := func(e event) place { return place{e.tenant + "/" + e.id, window.Floor(e.time, time.Hour)} }
	before := func(a, b event) bool { return a.seq < b.seq || a.seq == b.seq && a.index < b.index }
	first := map[place]event{}
	firstAssigned := map[place]event{}
	for _, e := range events {
		if winner, ok := first[placeOf(e)]; !ok || before(e, winner) {
			first[placeOf(e)] = e
		}
		if winner, ok := firstAssigned[placeOf(e)]; e.assigned && (!ok || before(e, winner)) {
			firstAssigned[placeOf(e)] = e
		}
	}
	kept = map[int64][]event{}
	for _, b := range buckets {
		n := record.BucketCount{Bucket: b}
		for _, e := range events {
			if placeOf(e).bucket != b {
				continue
			}
			n.Rows++
			winner := first[placeOf(e)]
			copyOf := e.seq != winner.seq || e.index != winner.index
			for _, beside := range []int64{b - time.Hour.Microseconds(), b + time.Hour.Microseconds()} {
				other, ok := firstAssigned[place{placeOf(e).id, beside}]
				if !copyOf && ok && e.assigned && before(other, e) {
					copyOf = true
					winner = other
				}
			}
			if !copyOf {
				kept[b] = append(kept[b], e)
				continue
			}
			n.Duplicates++
			n.Conflicts += boolInt(winner.hash != e.hash && winner.ofValues == e.ofValues)
		}
		counts = append(counts, n)
	}
	return kept, counts
}

// oracleAccounts computes the accounts by their meaning: what the buckets hold with the fresh events,
// less what they hold without them, and all that whole buckets hold. Copies share tenant and partition, so each owner
// has an oracle of its own.
func oracleAccounts(events []event, fresh func(event) bool, partitions int,
	buckets []int64, whole map[int64]bool) map[Owner]record.Account {
	out := map[Owner]record.Account{}
	for _, tenant := range []string{"a", "b"} {
		for p := range partitions {
			var all, old []event
			for _, e := range events {
				if e.tenant != tenant || e.key().Partition(partitions) != p {
					continue
				}
				all = append(all, e)
				if !fresh(e) {
					old = append(old, e)
				}
			}
			var account record.Account
			_, with := oracle(all, buckets, nil, 0, nil)
			_, without := oracle(old, buckets, nil, 0, nil)
			for i, b := range buckets {
				if whole[b] {
					without[i] = record.BucketCount{}
				}
				account.Rows += with[i].Rows - without[i].Rows
				account.Duplicates += with[i].Duplicates - without[i].Duplicates
				account.Conflicts += with[i].Conflicts - without[i].Conflicts
			}
			if account != (record.Account{}) {
				out[Owner{tenant, p}] = account
			}
		}
	}
	return out
}

// naiveUnconverted counts the events of a bucket that count and of which i, which both views read, is lost.
func naiveUnconverted(v *catalog.View, bucket int64, events []event, lost func(event) bool) (rows []string) {
	for _, tenant := range []string{"a", "b"} {
		n := 0
		for _, e := range events {
			if e.tenant == tenant && lost(e) {
				n++
			}
		}
		if n > 0 {
			rows = append(rows, fmt.Sprint("unconverted ", v.Name, bucket, tenant, " ", n))
		}
	}
	return rows
}

// naiveRows computes the rows of one bucket of a view from the events that count.
func naiveRows(v *catalog.View, bucket int64, all []event, limit int) (rows []string) {
	events := slices.DeleteFunc(slices.Clone(all), func(e event) bool {
		return v.Name == "narrow" && (e.s != nil && (*e.s == "x" || *e.s == "y") || e.i == nil || *e.i < -5)
	})
	groups := map[string][]event{}
	overflowed := map[string]int{}
	admitted := map[string]map[any]bool{}
	for _, d := range v.Dimensions {
		for _, e := range events {
			if admitted[d+e.tenant] == nil {
				admitted[d+e.tenant] = naiveAdmitted(v, d, events, e.tenant, limit)
			}
		}
	}
	for _, e := range events {
		key := fmt.Sprintf("%s %d %d %q", v.Name, bucket, window.Floor(e.time, v.Cell), e.tenant)
		over := false
		for _, d := range v.Dimensions {
			value := field(e, d)
			if !admitted[d+e.tenant][value] {
				over = true
				value = map[string]any{"s": catalog.Overflow, "i": int64(catalog.OverflowInt)}[d]
			}
			key += " " + textValue(value)
		}
		groups[key] = append(groups[key], e)
		if over {
			overflowed[e.tenant]++
		}
	}
	for tenant, n := range overflowed {
		rows = append(rows, fmt.Sprint("overflowed ", v.Name, bucket, tenant, " ", n))
	}
	for key, list := range groups {
		row := fmt.Sprintf("%s %d", key, len(list))
		for _, m := range v.Measures {
			row += " " + naiveMeasure(m, list)
		}
		rows = append(rows, row)
	}
	return rows
}

// naiveAdmitted returns the values of a dimension that count as themselves among the events of a view in a bucket (B7):
// those that always do, and so many of the tenant's others that come first.
func naiveAdmitted(v *catalog.View, name string, events []event, tenant string, limit int) map[any]bool {
	admitted := map[any]bool{}
	for _, value := range []any{nil, true, false, catalog.Overflow, int64(catalog.OverflowInt)} {
		admitted[value] = true
	}
	always := len(admitted)
	others := slices.DeleteFunc(slices.Clone(events), func(e event) bool {
		return e.tenant != tenant || admitted[field(e, name)]
	})
	slices.SortFunc(others, func(a, b event) int {
		return cmp.Or(cmp.Compare(window.Floor(a.time, v.Cell), window.Floor(b.time, v.Cell)),
			int(compareAny(field(a, name), field(b, name))))
	})
	for _, e := range others {
		if limit == 0 || len(admitted) < always+limit {
			admitted[field(e, name)] = true
		}
	}
	return admitted
}

func field(e event, name string) any {
	switch {
	case name == "s" && e.s != nil:
		return *e.s
	case name == "i" && e.i != nil:
		return *e.i
	case name == "f" && e.f != nil:
		return *e.f
	case name == "b" && e.b != nil:
		return *e.b
	case name == "t" && e.t != nil:
		return *e.t
	case name == "d" && e.d != nil:
		return *e.d
	}
	return nil
}

func textValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(boolInt(v))
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// naiveMeasure computes a measure of a group. Sums of floats are rounded once, whatever the order of the events.
func naiveMeasure(measure catalog.Measure, events []event) string {
	var values []any
	for _, e := range events {
		if v := field(e, measure.Field); v != nil {
			values = append(values, v)
		}
	}
	switch measure.Kind {
	case catalog.Count:
		return "count"
	case catalog.Distinct:
		return naiveDistinct(values)
	case catalog.Quantile:
		return naiveBins(values)
	case catalog.Min, catalog.Max:
		if len(values) == 0 {
			return "n0"
		}
		best := slices.MaxFunc(values,
			func(a, b any) int { return int(sign(measure.Kind == catalog.Max) * compareAny(a, b)) })
		if f, ok := best.(float64); ok {
			best = f + 0 // Whether 0 or -0 comes first depends on the order, so both are written as 0.
		}
		return fmt.Sprintf("n%d %v", len(values), best)
	}
	sum := new(big.Int)
	float := new(big.Float).SetPrec(2400)
	for _, v := range values {
		if i, ok := v.(int64); ok {
			sum.Add(sum, big.NewInt(i))
		} else {
			float.Add(float, big.NewFloat(v.(float64)))
		}
	}
	if measure.Field == "f" {
		rounded, _ := float.Float64()
		return fmt.Sprintf("n%d %v", len(values), rounded+0) // An infinity means beyond the range.
	}
	return fmt.Sprintf("n%d %v", len(values), sum)
}

// naiveBins counts values by bin.
func naiveBins(values []any) string {
	bins := map[int16]int{}
	for _, v := range values {
		if i, ok := v.(int64); ok {
			bins[quantile.KeyOfInt(i)]++
		} else {
			bins[quantile.KeyOfFloat(v.(float64))]++
		}
	}
	text := fmt.Sprint("n", len(values))
	for _, key := range slices.Sorted(maps.Keys(bins)) {
		text += fmt.Sprintf(" %d:%d", key, bins[key])
	}
	return text
}

func naiveDistinct(values []any) string {
	var hashes []uint64
	for _, v := range values {
		switch v := v.(type) {
		case string:
			hashes = append(hashes, distinct.HashString(v))
		case float64:
			hashes = append(hashes, distinct.HashFloat64(v))
		case int64:
			hashes = append(hashes, distinct.HashInt64(v))
		case bool:
			hashes = append(hashes, distinct.HashInt64(boolInt(v)))
		}
	}
	slices.Sort(hashes)
	return fmt.Sprint(slices.Compact(hashes))
}

func sign(positive bool) float64 { return float64(2*boolInt(positive) - 1) }

func compareAny(a, b any) float64 {
	if x, ok := a.(string); ok {
		return float64(cmp.Compare(x, b.(string)))
	}
	if x, ok := a.(int64); ok {
		return sign(x > b.(int64)) * float64(boolInt(x != b.(int64)))
	}
	return sign(a.(float64) > b.(float64)) * float64(boolInt(a != b))
}

// textRows returns the block's rows in the text form of the oracle.
func textRows(b *Block) (rows []string) {
	for r := range b.Rows() {
		var s strings.Builder
		fmt.Fprintf(&s, "%s %d %d %q", b.View.Name, b.Buckets[r], b.Times[r], b.Tenants.Value(r))
		for _, d := range b.Dims {
			switch {
			case d.IsNull(r):
				s.WriteString(" null")
			case d.Type == catalog.String:
				fmt.Fprintf(&s, " %q", d.Value(r))
			default:
				fmt.Fprintf(&s, " %d", d.Ints[r])
			}
		}
		fmt.Fprintf(&s, " %d", b.Events[r])
		for i := range b.Measures {
			s.WriteString(" " + textMeasure(&b.Measures[i], r))
		}
		rows = append(rows, s.String())
	}
	return rows
}

func textMeasure(m *Measure, r int) string {
	float := m.Type == catalog.Float64
	switch {
	case m.Kind == catalog.Count:
		return "count"
	case m.Kind == catalog.Distinct:
		return fmt.Sprint(m.Hashes[m.Starts[r]:m.Starts[r+1]])
	case m.Kind == catalog.Quantile:
		text := fmt.Sprint("n", m.N[r])
		for i := m.Starts[r]; i < m.Starts[r+1]; i++ {
			text += fmt.Sprintf(" %d:%d", m.Keys[i], m.Counts[i])
		}
		return text
	case (m.Kind == catalog.Min || m.Kind == catalog.Max) && m.N[r] == 0:
		return "n0"
	case float && (m.Kind == catalog.Sum || m.Kind == catalog.Avg):
		sum := floatsum.Sum{Near: m.Near[r], Far: m.Far[r]}
		rounded, _ := sum.Float64()
		return fmt.Sprintf("n%d %v", m.N[r], rounded)
	case float:
		return fmt.Sprintf("n%d %v", m.N[r], m.Floats[r]+0)
	case m.Kind == catalog.Min || m.Kind == catalog.Max:
		return fmt.Sprintf("n%d %v", m.N[r], m.Ints[r])
	}
	sum := new(big.Int).Lsh(big.NewInt(m.Hi[r]), 64)
	return fmt.Sprintf("n%d %v", m.N[r], sum.Add(sum, new(big.Int).SetUint64(m.Lo[r])))
}
