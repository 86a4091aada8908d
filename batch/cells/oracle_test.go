package cells

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/floatsum"
	"recount/schemas/quantile"
	"recount/schemas/window"
)

const (
	minute = int64(60_000_000)
	hour   = 60 * minute
)

// start is the first bucket of the tests.
var start = time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC).UnixMicro()

// event is an event that counts, so a test has no duplicates. A nil field is null.
type event struct {
	tenant string
	time   int64
	origin *string
	ok     *bool
	delay  *int64
	fare   *float64
	closed *int64 // a timestamp
	tax    *int64 // units of a decimal(17,3)
}

// wideView has a dimension of every type and a measure of every kind.
func wideView() *catalog.View {
	return &catalog.View{Name: "wide", Event: "flight", Dimensions: []string{"origin", "ok", "delay"},
		Cell: time.Minute, Measures: []catalog.Measure{
			{Name: "n", Kind: catalog.Count},
			{Name: "total", Kind: catalog.Sum, Field: "delay"},
			{Name: "paid", Kind: catalog.Sum, Field: "fare"},
			{Name: "mean", Kind: catalog.Avg, Field: "delay"},
			{Name: "least", Kind: catalog.Min, Field: "delay"},
			{Name: "most", Kind: catalog.Max, Field: "fare"},
			{Name: "last", Kind: catalog.Max, Field: "closed"},
			{Name: "origins", Kind: catalog.Distinct, Field: "origin"},
			{Name: "taxes", Kind: catalog.Sum, Field: "tax"},
			{Name: "usual_tax", Kind: catalog.Avg, Field: "tax"},
			{Name: "least_tax", Kind: catalog.Min, Field: "tax"},
			{Name: "fares", Kind: catalog.Quantile, Field: "fare"},
			{Name: "delays", Kind: catalog.Quantile, Field: "delay"},
			{Name: "tax_levels", Kind: catalog.Quantile, Field: "tax"},
		}}
}

// testCatalog declares the views and the event type flight.
func testCatalog(views ...*catalog.View) *catalog.Catalog {
	c := &catalog.Catalog{Bucket: time.Hour, Views: map[string]*catalog.View{},
		Events: map[string]*catalog.EventType{"flight": {Name: "flight", Fields: []catalog.Field{
			{Name: "closed", Type: catalog.Timestamp}, {Name: "delay", Type: catalog.Int64},
			{Name: "fare", Type: catalog.Float64}, {Name: "ok", Type: catalog.Bool},
			{Name: "origin", Type: catalog.String}, {Name: "tax", Type: "decimal(17,3)"}}}}}
	for _, v := range views {
		c.Views[v.Name] = v
	}
	return c
}

// oddStrings are strings that a careless encoding or a careless statement changes.
var oddStrings = []string{"", "ORD", "\x00", "a\x00b", "\n\n", "N'ULL`", `\`, `\N`, `\'`, "null", "it's", `"quoted"`,
	"日本語", "\xff\xfe not UTF-8", "🛫", " ", "%s", "{x:String}", strings.Repeat("long ", 20_000)}

// randomEvents returns n events in the hours from start on, with odd and extreme values and nulls.
func randomEvents(r *rand.Rand, n, hours int) []event {
	delays := []int64{0, 1, -5, 256, math.MaxInt64, math.MinInt64}
	fares := []float64{0, 1.5, -2, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1)}
	taxes := []int64{0, 1, -12_500, 99_999_999_999_999_999, -99_999_999_999_999_999}
	closed := []int64{0, start, time.Date(2261, 12, 31, 23, 59, 59, 999_999_000, time.UTC).UnixMicro()}
	events := make([]event, n)
	for i := range events {
		events[i] = event{
			tenant: oddStrings[r.IntN(4)], time: start + r.Int64N(int64(hours)*hour),
			origin: nullable(r, oddStrings), ok: nullable(r, []bool{false, true}), delay: nullable(r, delays),
			fare: nullable(r, fares), closed: nullable(r, closed), tax: nullable(r, taxes),
		}
	}
	return events
}

// nullable returns one of the values, or nil in one of four cases.
func nullable[T any](r *rand.Rand, values []T) *T {
	if r.IntN(4) == 0 {
		return nil
	}
	return &values[r.IntN(len(values))]
}

// group is a row of the view wide with the events it counts.
type group struct {
	bucket, time int64
	tenant       string
	origin       *string
	ok           *bool
	delay        *int64
	events       []event

	total *big.Int     // sum of delay
	n     int          // non-null delays
	paid  floatsum.Sum // of fare
	paidN int
	most  *float64
	last  *int64
	names []string // origins

	taxes    big.Int // sum of tax
	taxN     int
	leastTax *int64
}

// aggregate is the naive definition of the view wide: a group for each cell, tenant and value of
// the dimensions. Groups are ordered by cell.
func aggregate(events []event) []*group {
	groups := map[string]*group{}
	for _, e := range events {
		cell := window.Floor(e.time, time.Minute)
		key := fmt.Sprintf("%d %q %s %s %s", cell, e.tenant, show(e.origin), show(e.ok), show(e.delay))
		g := groups[key]
		if g == nil {
			g = &group{bucket: window.Floor(e.time, time.Hour), time: cell, tenant: e.tenant, origin: e.origin,
				ok: e.ok, delay: e.delay, total: new(big.Int)}
			groups[key] = g
		}
		g.add(e)
	}
	var out []*group
	for _, g := range groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.key(), b.key()))
	})
	return out
}

func (g *group) add(e event) {
	g.events = append(g.events, e)
	if e.delay != nil {
		g.total.Add(g.total, big.NewInt(*e.delay))
		g.n++
	}
	if e.fare != nil {
		g.paid.Add(*e.fare)
		g.paidN++
		if g.most == nil || *e.fare > *g.most {
			g.most = e.fare
		}
	}
	if e.tax != nil {
		g.taxes.Add(&g.taxes, big.NewInt(*e.tax))
		g.taxN++
		if g.leastTax == nil || *e.tax < *g.leastTax {
			g.leastTax = e.tax
		}
	}
	if e.closed != nil && (g.last == nil || *e.closed > *g.last) {
		g.last = e.closed
	}
	if e.origin != nil && !slices.Contains(g.names, *e.origin) {
		g.names = append(g.names, *e.origin)
	}
}

// hashes are the hashes of the group's distinct origins, ascending.
func (g *group) hashes() []uint64 {
	var out []uint64
	for _, s := range g.names {
		out = append(out, distinct.HashString(s))
	}
	slices.Sort(out)
	return out
}

// key is the group's cell, tenant and dimensions as text.
func (g *group) key() string {
	return fmt.Sprintf("%d %q %s %s %s", g.time, g.tenant, show(g.origin), show(g.ok), show(g.delay))
}

// text is the group as a row of the table.
func (g *group) text() string {
	return fmt.Sprint(g.bucket, " ", g.key(), " ", len(g.events), " ", len(g.events), " ", g.total, " ", g.n, " ",
		exactText(g.paid), " ", g.paidN, " ", g.total, " ", g.n, " ", show(g.delay), " ", showFloat(g.most), " ",
		show(g.last), " ", len(g.names), " ", fmt.Sprintf("%X", distinct.AppendState(nil, g.hashes())), " ",
		thousandths(&g.taxes), " ", g.taxN, " ", thousandths(&g.taxes), " ", g.taxN, " ", g.leastTaxText(),
		" ", binText(g.fareKeys()), " ", binText(g.keysOf(delayOf)), " ", binText(g.keysOf(taxOf)))
}

func delayOf(e event) *int64 { return e.delay }
func taxOf(e event) *int64   { return e.tax }

// fareKeys are the keys of the bins of the group's fares, ascending, each as often as there are fares.
func (g *group) fareKeys() (keys []int16) {
	for _, e := range g.events {
		if e.fare != nil {
			keys = append(keys, quantile.KeyOfFloat(*e.fare))
		}
	}
	slices.Sort(keys)
	return keys
}

// keysOf is the same for a field of integers.
func (g *group) keysOf(field func(event) *int64) (keys []int16) {
	for _, e := range g.events {
		if v := field(e); v != nil {
			keys = append(keys, quantile.KeyOfInt(*v))
		}
	}
	slices.Sort(keys)
	return keys
}

// binText counts keys as ClickHouse shows a map.
func binText(keys []int16) string {
	var parts []string
	for i := 0; i < len(keys); {
		n := 0
		for n < len(keys)-i && keys[i+n] == keys[i] {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d:%d", keys[i], n))
		i += n
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// quantilesText is what the SQL VIEW shows of p50 and p99 of the fare, of p95 of the delay, and of p99 of the tax.
func (g *group) quantilesText() string {
	words := []string{"null", "null", "null", "null"}
	fares := g.fareKeys()
	delays := g.keysOf(delayOf)
	taxes := g.keysOf(taxOf)
	if n := len(fares); n > 0 {
		words[0] = float(quantile.FloatBinOf(fares[(n+1)/2-1]).Value)
		words[1] = float(quantile.FloatBinOf(fares[(99*n+99)/100-1]).Value)
	}
	if n := len(delays); n > 0 {
		words[2] = show(&[]int64{quantile.IntBinOf(delays[(95*n+99)/100-1]).Value}[0])
	}
	if n := len(taxes); n > 0 {
		words[3] = thousandths(big.NewInt(quantile.IntBinOf(taxes[(99*n+99)/100-1]).Value))
	}
	return strings.Join(words, " ")
}

// thousandths shows units of a decimal with three digits after the point.
func thousandths(units *big.Int) string {
	return new(big.Rat).SetFrac(units, big.NewInt(1000)).FloatString(3)
}

func (g *group) leastTaxText() string {
	if g.leastTax == nil {
		return "null"
	}
	return thousandths(big.NewInt(*g.leastTax))
}

// viewText is the group as a row of the SQL VIEW.
func (g *group) viewText() string {
	total := "null"
	mean := "null"
	if g.n > 0 {
		total = strconv.Quote(g.total.String())
		sum, _ := new(big.Float).SetInt(g.total).Float64()
		mean = float(sum / float64(g.n))
	}
	paid := "null"
	if v, fits := g.paid.Float64(); g.paidN > 0 && fits {
		paid = rounded(v)
	}
	return fmt.Sprint(g.key(), " ", len(g.events), " ", total, " ", paid, " ", mean, " ", g.total, " ", g.n, " ",
		show(g.delay), " ", showFloat(g.most), " ", show(g.last), " ", len(g.names), " ", g.taxText(), " ",
		g.quantilesText())
}

// taxText is what the SQL VIEW shows of the tax: sum, average and minimum.
func (g *group) taxText() string {
	if g.taxN == 0 {
		return "null null null"
	}
	sum, _ := new(big.Rat).SetFrac(&g.taxes, big.NewInt(1000)).Float64()
	return fmt.Sprint(thousandths(&g.taxes), " ", rounded(sum/float64(g.taxN)), " ", g.leastTaxText())
}

func show[T any](v *T) string {
	if v == nil {
		return "null"
	}
	return strconv.Quote(fmt.Sprint(*v))
}

func showFloat(v *float64) string {
	if v == nil {
		return "null"
	}
	return float(*v)
}

// exactText shows the near part of a sum as an integer, and its far part in hexadecimal.
func exactText(s floatsum.Sum) string {
	near := new(big.Int).SetUint64(s.Near[3])
	for i := range 3 {
		near.Add(near.Lsh(near, 64), new(big.Int).SetUint64(s.Near[2-i]))
	}
	if int64(s.Near[3]) < 0 {
		near.Sub(near, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	return fmt.Sprintf("%s %X", near, s.Far.Append(nil))
}

// rounded shows a sum as far as the SQL VIEW promises it.
func rounded(v float64) string { return strconv.FormatFloat(v, 'e', 12, 64) }

// float shows every bit of a float, so that 0 and -0 differ.
func float(v float64) string { return fmt.Sprintf("%016x", math.Float64bits(v)) }

// blockOf returns the groups as a block of the view wide.
func blockOf(groups []*group) *exact.Block {
	v := wideView()
	b := &exact.Block{View: v,
		Dims: []exact.Dimension{{Type: catalog.String}, {Type: catalog.Bool}, {Type: catalog.Int64}}}
	types := map[string]catalog.FieldType{"fare": catalog.Float64, "closed": catalog.Timestamp,
		"origin": catalog.String, "tax": "decimal(17,3)"}
	for _, m := range v.Measures {
		t, ok := types[m.Field]
		if !ok {
			t = catalog.Int64
		}
		b.Measures = append(b.Measures, exact.Measure{Measure: m, Type: t})
	}
	for _, i := range []int{7, 11, 12, 13} {
		b.Measures[i].Starts = []int{0}
	}
	for _, g := range groups {
		b.Buckets = append(b.Buckets, g.bucket)
		b.Times = append(b.Times, g.time)
		appendWord(&b.Tenants, &g.tenant)
		b.Events = append(b.Events, uint64(len(g.events)))
		appendDims(b.Dims, g)
		appendMeasures(b.Measures, g)
	}
	return b
}

// appendWord adds a row to a column of strings. nil is null.
func appendWord(s *exact.Strings, word *string) {
	if s.Words == nil {
		s.Words = []string{""}
	}
	if word == nil {
		s.Codes = append(s.Codes, 0)
		return
	}
	code := slices.Index(s.Words[1:], *word) + 1
	if code == 0 {
		code = len(s.Words)
		s.Words = append(s.Words, *word)
	}
	s.Codes = append(s.Codes, uint32(code))
}

func appendDims(dims []exact.Dimension, g *group) {
	appendWord(&dims[0].Strings, g.origin)
	dims[1].Ints = append(dims[1].Ints, boolInt(orZero(g.ok)))
	dims[1].Null = append(dims[1].Null, g.ok == nil)
	dims[2].Ints = append(dims[2].Ints, orZero(g.delay))
	dims[2].Null = append(dims[2].Null, g.delay == nil)
}

func appendMeasures(m []exact.Measure, g *group) {
	low := new(big.Int).And(g.total, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	high := new(big.Int).Rsh(g.total, 64).Int64()
	for _, i := range []int{1, 3} { // total and mean
		m[i].N = append(m[i].N, uint64(g.n))
		m[i].Lo = append(m[i].Lo, low)
		m[i].Hi = append(m[i].Hi, high)
	}
	for _, i := range []int{8, 9} { // taxes and usual_tax
		m[i].N = append(m[i].N, uint64(g.taxN))
		m[i].Lo = append(m[i].Lo, new(big.Int).And(&g.taxes, new(big.Int).SetUint64(math.MaxUint64)).Uint64())
		m[i].Hi = append(m[i].Hi, new(big.Int).Rsh(&g.taxes, 64).Int64())
	}
	m[10].N = append(m[10].N, uint64(g.taxN))
	m[10].Ints = append(m[10].Ints, orZero(g.leastTax))
	m[2].N = append(m[2].N, uint64(g.paidN))
	if row := len(m[2].Near); len(g.paid.Far) > 0 {
		if m[2].Far == nil {
			m[2].Far = map[int]floatsum.Far{}
		}
		m[2].Far[row] = g.paid.Far
	}
	m[2].Near = append(m[2].Near, g.paid.Near)
	m[4].N = append(m[4].N, uint64(g.n))
	m[4].Ints = append(m[4].Ints, orZero(g.delay))
	m[5].N = append(m[5].N, uint64(g.paidN))
	m[5].Floats = append(m[5].Floats, orZero(g.most))
	m[6].N = append(m[6].N, uint64(boolInt(g.last != nil)))
	m[6].Ints = append(m[6].Ints, orZero(g.last))
	m[7].Hashes = append(m[7].Hashes, g.hashes()...)
	m[7].Starts = append(m[7].Starts, len(m[7].Hashes))
	for i, keys := range [][]int16{g.fareKeys(), g.keysOf(delayOf), g.keysOf(taxOf)} {
		m := &m[11+i]
		m.N = append(m.N, uint64(len(keys)))
		for i, key := range keys {
			if i == 0 || key != keys[i-1] {
				m.Keys = append(m.Keys, key)
				m.Counts = append(m.Counts, 0)
			}
			m.Counts[len(m.Counts)-1]++
		}
		m.Starts = append(m.Starts, len(m.Keys))
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func orZero[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}
