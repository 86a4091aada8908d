package publish

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/schemas/window"
)

// randomEvents returns n events in the hours from start on, some of them copies, with some null fields.
func randomEvents(r *rand.Rand, n int, start int64, hours int) []event {
	var out []event
	for range n {
		e := event{id: fmt.Sprint("e", r.IntN(4*n)), tenant: []string{"acme", ""}[r.IntN(2)], time: start +
			r.Int64N(int64(hours)*hour),
			assigned: r.IntN(3) == 0, hash: r.Uint64N(2)}
		if len(out) > 0 && r.IntN(8) == 0 {
			e.id = out[len(out)-1].id
			e.tenant = out[len(out)-1].tenant
			e.time = out[len(out)-1].time
		}
		if r.IntN(4) > 0 {
			e.origin = pointer([]string{"ORD", "", "ATL", "\x00\n\n", "N'ULL`"}[r.IntN(5)])
		}
		if r.IntN(4) > 0 {
			e.delay = pointer([]int64{-5, 0, 1 << 62, -1 << 63, 256}[r.IntN(5)])
		}
		if r.IntN(4) > 0 {
			e.fare = pointer(float64(r.IntN(9)) - 4)
		}
		if r.IntN(4) > 0 {
			e.ok = pointer(r.IntN(2) == 0)
		}
		if r.IntN(4) > 0 {
			e.closed = pointer(e.time + r.Int64N(hour))
		}
		out = append(out, e)
	}
	return out
}

func pointer[T any](v T) *T { return &v }

// countedEvents returns the events that count: of each (tenant, id, bucket) the one of the first position (B2,
// I2), unless it and an event of its id at a lower position in a bucket beside its own both have assigned times (I3).
func (w *world) countedEvents() (out []event) {
	type place struct {
		tenant, id string
		bucket     int64
	}
	first := map[place]bool{}
	assigned := map[place]bool{}
	placeOf := func(e event) place { return place{e.tenant, e.id, window.Floor(e.time, time.Hour)} }
	for _, list := range w.landed {
		for _, e := range list {
			before := placeOf(e)
			before.bucket -= hour
			after := placeOf(e)
			after.bucket += hour
			carried := e.assigned && (assigned[before] || assigned[after])
			if !first[placeOf(e)] && !carried {
				out = append(out, e)
			}
			first[placeOf(e)] = true
			assigned[placeOf(e)] = assigned[placeOf(e)] || e.assigned
		}
	}
	return out
}

func textOf[T any](v *T) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%q", fmt.Sprint(*v))
}

func sum[T int64 | float64](events []event, read func(event) *T) (total float64, n int, least, most *T) {
	for _, e := range events {
		v := read(e)
		if v == nil {
			continue
		}
		total = total + float64(*v)
		n = n + 1
		if least == nil || *v < *least {
			least = v
		}
		if most == nil || *v > *most {
			most = v
		}
	}
	return total, n, least, most
}

func countUnique[T comparable](events []event, read func(event) *T) int {
	set := map[T]bool{}
	for _, e := range events {
		if v := read(e); v != nil {
			set[*v] = true
		}
	}
	return len(set)
}

// admittedValues returns which value of a dimension an event counts under (B7): its own if fewer than limit others of
// its tenant and bucket come first, by their first minute and then by value.
func admittedValues[T string | int64](events []event, limit int, read func(event) *T, overflow T) func(event) *T {
	type owner struct {
		tenant string
		bucket int64
	}
	type place struct {
		owner
		value T
	}
	ownerOf := func(e event) owner { return owner{e.tenant, window.Floor(e.time, time.Hour)} }
	first := map[place]int64{}
	for _, e := range events {
		if v := read(e); v != nil && *v != overflow {
			p := place{ownerOf(e), *v}
			if at, seen := first[p]; !seen || e.time < at {
				first[p] = e.time
			}
		}
	}
	before := func(a, b place) bool {
		x := window.Floor(first[a], time.Minute)
		y := window.Floor(first[b], time.Minute)
		return a.owner == b.owner && (x < y || x == y && a.value < b.value)
	}
	return func(e event) *T {
		v := read(e)
		if v == nil || *v == overflow || limit == 0 {
			return v
		}
		earlier := 0
		for p := range first {
			if before(p, place{ownerOf(e), *v}) {
				earlier++
			}
		}
		if earlier < limit {
			return v
		}
		return &overflow
	}
}

// wideRows is the naive oracle of the view wide. It shows sums of delay as floats, because they exceed
// 64 bits.
func wideRows(events []event, limit int) []string {
	groups := map[string][]event{}
	origins := admittedValues(events, limit, func(e event) *string { return e.origin }, catalog.Overflow)
	delays := admittedValues(events, limit, func(e event) *int64 { return e.delay }, int64(catalog.OverflowInt))
	for _, e := range events {
		k := fmt.Sprintf("%d %q %s %s %s", window.Floor(e.time, time.Minute), e.tenant, textOf(origins(e)),
			textOf(e.ok), textOf(delays(e)))
		groups[k] = append(groups[k], e)
	}
	var rows []string
	for k, list := range groups {
		total, delays, least, _ := sum(list, func(e event) *int64 { return e.delay })
		paid, fares, _, most := sum(list, func(e event) *float64 { return e.fare })
		_, _, _, last := sum(list, func(e event) *int64 { return e.closed })
		rows = append(rows, fmt.Sprint(k, " ", len(list), textOf(nullable(total, delays)),
			textOf(nullable(paid, fares)), textOf(nullable(paid/float64(fares), fares)), textOf(least), textOf(most),
			textOf(last),
			countUnique(list, func(e event) *string { return e.origin }),
			countUnique(list, func(e event) *float64 { return e.fare })))
	}
	slices.Sort(rows)
	return rows
}

func nullable(v float64, n int) *float64 {
	if n == 0 {
		return nil
	}
	return &v
}

// readWide reads the VIEW wide through ClickHouse.
func (w *world) readWide() (out []string) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT toUnixTimestamp64Micro(time), tenant, origin, ok, delay, n,
		toFloat64(total), paid, mean, least, most, toUnixTimestamp64Micro(last), origins, fares FROM wide`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var tenant string
		var origin *string
		var ok *bool
		var delay, least, last *int64
		var n, origins, fares uint64
		var total, paid, mean, most *float64
		if err := rows.Scan(&at, &tenant, &origin, &ok, &delay, &n, &total, &paid, &mean, &least, &most, &last,
			&origins, &fares); err != nil {
			w.t.Fatal(err)
		}
		key := fmt.Sprintf("%d %q %s %s %s", at, tenant, textOf(origin), textOf(ok), textOf(delay))
		out = append(out, fmt.Sprint(key, " ", n, textOf(total), textOf(paid), textOf(mean), textOf(least),
			textOf(most), textOf(last), int(origins), int(fares)))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// checkWide compares the VIEW with the oracle over everything that has landed.
func (w *world) checkWide(when string) {
	w.t.Helper()
	if diff := cmp.Diff(wideRows(w.countedEvents(), w.limit), w.readWide()); diff != "" {
		w.t.Fatalf("%s: rows (-oracle +VIEW): %s", when, diff)
	}
}

// checkLedger compares the ledger of the type flight with everything that has landed. Publications add
// to the ledger one after another, and the sum must be that of all events together.
func (w *world) checkLedger(p *Publisher) {
	w.t.Helper()
	want := map[string][]record.Account{}
	add := func(e event, partition int, rows, duplicates int64) {
		if want[e.tenant] == nil {
			want[e.tenant] = make([]record.Account, len(w.landed))
		}
		want[e.tenant][partition].Rows += rows
		want[e.tenant][partition].Duplicates += duplicates
	}
	for partition, list := range w.landed {
		for _, e := range list {
			add(e, partition, 1, 1)
		}
	}
	for _, e := range w.countedEvents() {
		add(e, eventbatch.TenantID.Key(e.tenant, "", e.id).Partition(len(w.landed)), 0, -1)
	}
	// The conflicts of tenants are those of buckets, which package exact compares with its oracle.
	conflicts := int64(0)
	for _, c := range p.State().Types["flight"] {
		conflicts += c.Conflicts
	}
	got := map[string][]record.Account{}
	for tenant, accounts := range p.State().Ledgers["flight"].Tenants {
		got[tenant] = slices.Clone(accounts)
		for i := range accounts {
			conflicts -= accounts[i].Conflicts
			got[tenant][i].Conflicts = 0
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || conflicts != 0 {
		w.t.Errorf("ledger (-landed +published): %s; the buckets have %d more conflicts than it", diff, conflicts)
	}
}

func (w *world) queryNumber(q string) (n uint64) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), q).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
	return n
}

func (w *world) recompute(p *Publisher) Result {
	w.t.Helper()
	r, err := p.Recompute(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newRandomWorld(t testing.TB) (*world, *rand.Rand) {
	t.Helper()
	return newWorld(t), rand.New(rand.NewPCG(1, 2))
}
