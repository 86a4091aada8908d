package recheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// randomEvents returns events in four hours with copies, assigned times that cross buckets, overflowed
// dimensions, odd strings, extreme values and nulls.
func randomEvents(r *rand.Rand, n int) []event {
	origins := []string{"ORD", "", "ATL", "\x00\n\n", `N'ULL\`, "x", "日本語"}
	delays := []int64{-5, 0, 7, math.MaxInt64, math.MinInt64}
	fares := []float64{-4, -3, 0, 0.1, 1e16, -1e300, 5e-324, math.Copysign(0, -1)}
	taxes := []int64{0, 1, 2, -12_500, -12_501, 99_999_999_999_999_999, -99_999_999_999_999_999}
	events := make([]event, n)
	for i := range events {
		events[i] = event{id: fmt.Sprint(r.IntN(n)), tenant: []string{"acme", ""}[r.IntN(2)],
			time: start + r.Int64N(4*hour), assigned: r.IntN(2) == 0,
			origin: nullable(r, origins), ok: nullable(r, []bool{false, true}), delay: nullable(r, delays),
			fare: nullable(r, fares), closed: nullable(r, []int64{0, start, start + hour}), tax: nullable(r, taxes)}
		if r.IntN(8) == 0 {
			events[i].over = &[]string{"origin", "delay", "origin,delay"}[r.IntN(3)]
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

// TestAgrees checks random events in several segments: the two computations must give the same rows, whatever the
// limit of values (B7) and the names of fields are.
func TestAgrees(t *testing.T) {
	t.Parallel()
	t.Run("no limit", func(t *testing.T) {
		t.Parallel()
		checkAgreement(t, withTaxes(testCatalog(wideView(), slimView())), 0)
	})
	t.Run("a limit and other names", func(t *testing.T) {
		t.Parallel()
		checkAgreement(t, rename(withTaxes(testCatalog(wideView(), slimView()))), 2)
	})
}

// rename gives fields and measures the names that the statement could give to its own columns.
func rename(c *catalog.Catalog) *catalog.Catalog {
	fields := map[string]string{"closed": "d1", "delay": "cell", "tax": "v2", "fare": "first",
		"ok": "side", "origin": "value"}
	measures := map[string]string{"n": "v1", "least": "v0", "most": "v", "last": "d0", "mean": "owner"}
	rename := func(name *string, names map[string]string) {
		if other, ok := names[*name]; ok {
			*name = other
		}
	}
	for i := range c.Events["flight"].Fields {
		rename(&c.Events["flight"].Fields[i].Name, fields)
	}
	for _, v := range c.Views {
		for i := range v.Dimensions {
			rename(&v.Dimensions[i], fields)
		}
		for i := range v.Where {
			rename(&v.Where[i].Field, fields)
		}
		for i := range v.Measures {
			rename(&v.Measures[i].Name, measures)
			rename(&v.Measures[i].Field, fields)
		}
	}
	return c
}

func checkAgreement(t *testing.T, c *catalog.Catalog, limit int) {
	w := newWorld(t, c)
	w.limit = limit
	r := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		w.land("flight", randomEvents(r, 80)...)
	}
	w.publish() // Rows of an older version, which do not count.
	w.land("flight", randomEvents(r, 80)...)
	// 0 and -0 are one distinct value.
	w.land("flight", event{id: "zero", time: start, fare: pointer(0.0)},
		event{id: "minus zero", time: start, fare: pointer(math.Copysign(0, -1))})
	state := w.publish()
	w.publish() // Rows of a newer version, which do not count either.
	got := w.check(state, nil)
	rows := int64(0)
	for _, v := range state.Views {
		for _, b := range v.Buckets {
			rows += b.Rows
		}
	}
	want := openapi.Recheck{Publication: state.N, Checked: 3 * 4, Rows: rows, Differences: []openapi.Difference{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got): %s", diff)
	}
	if rows < 200 {
		t.Errorf("%d rows were compared, too few to say much", rows)
	}
	state.Publication.Limit = 1
	if got := w.check(state, nil); len(got.Differences) == 0 {
		t.Error("rows of another limit are not found")
	}
}

// plant is a wrong version of the rows of the view wide and the difference it must be named as.
type plant struct {
	name    string
	replace string // changes of the columns, as SELECT * REPLACE (…) has them
	where   string // rows that are kept
	extra   string // SELECT * REPLACE (…) that makes one more row of the row of tenant acme
	want    openapi.Difference
}

// The row of tenant acme at 03:01 has origin ORD, ok true and delay 5, of two events with fares 1.5 and 2.5.
const (
	acmeTime   = "2024-01-02 03:01:00.000000"
	acmeDims   = "('ORD',true,5)"
	acmeValues = "(2,2,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')"
)

// acme returns the difference in the row of tenant acme with other published values.
func acme(published string) openapi.Difference {
	return openapi.Difference{Tenant: "acme", Time: acmeTime, Dimensions: acmeDims, Published: published,
		Computed: acmeValues, Rows: 1}
}

var plants = []plant{
	{name: "a missing row", where: "tenant != 'acme'", want: acme("no row")},
	{name: "an extra row", extra: "'nobody' AS tenant", want: openapi.Difference{Tenant: "nobody", Time: acmeTime,
		Dimensions: acmeDims, Published: acmeValues, Computed: "no row", Rows: 1}},
	{name: "a doubled row", extra: "tenant AS tenant", want: acme(acmeValues)},
	{name: "another time", extra: "addMinutes(time, 1) AS time", want: openapi.Difference{Tenant: "acme",
		Time: "2024-01-02 03:02:00.000000", Dimensions: acmeDims, Published: acmeValues, Computed: "no row", Rows: 1}},
	{name: "events", replace: "_events + 1 AS _events",
		want: acme("(3,2,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "count", replace: "n + 1 AS n",
		want: acme("(2,3,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "sum of integers", replace: "total__sum + toInt128('18446744073709551616') AS total__sum",
		want: acme("(2,2,18446744073709551626,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "values of a sum", replace: "total__n - 1 AS total__n",
		want: acme("(2,2,10,1,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "sum of floats", replace: "paid__near + bitShiftLeft(toInt256(1), 114) AS paid__near",
		want: acme("(2,2,10,2,4.5,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "sum of an average", replace: "mean__near - bitShiftLeft(toInt256(1), 115) AS mean__near",
		want: acme("(2,2,10,2,4,2,3,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "values of an average", replace: "mean__n + 1 AS mean__n",
		want: acme("(2,2,10,2,4,2,4,3,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "min", replace: "least - 1 AS least",
		want: acme("(2,2,10,2,4,2,4,2,4,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "no min", replace: "NULL AS least",
		want: acme("(2,2,10,2,4,2,4,2,NULL,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "max", replace: "most + 1 AS most",
		want: acme("(2,2,10,2,4,2,4,2,5,3.5,'2024-01-02 03:00:00.000000',1,2,'{4129:1,4177:1}')")},
	{name: "max of times", replace: "addMicroseconds(last, 1) AS last",
		want: acme("(2,2,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000001',1,2,'{4129:1,4177:1}')")},
	{name: "distinct", replace: "unhex('020100000000000000ff00000000000000') AS origins__state",
		want: acme("(2,2,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',2,2,'{4129:1,4177:1}')")},
	{name: "quantile", replace: "CAST(map(4129, 2, 4177, 1), 'Map(Int16, UInt64)') AS waits__bins",
		want: acme("(2,2,10,2,4,2,4,2,5,2.5,'2024-01-02 03:00:00.000000',1,2,'{4129:2,4177:1}')")},
}

// TestNamesEachDifference publishes one wrong row of each kind and checks that it alone is named.
func TestNamesEachDifference(t *testing.T) {
	t.Parallel()
	c := testCatalog(wideView())
	w := newWorld(t, c)
	acme := event{id: "a", tenant: "acme", time: start + 60e6, origin: pointer("ORD"), ok: pointer(true),
		delay: pointer(int64(5)), fare: pointer(1.5), closed: pointer(start)}
	again := acme
	again.id = "b"
	again.fare = pointer(2.5)
	again.closed = nil
	w.land("flight", acme, again, acme, event{id: "c", tenant: "b", time: start + 60e6},
		event{id: "d", tenant: "b", time: start + 120e6, fare: pointer(0.25)})
	w.land("flight", again)
	state := w.publish()
	if got := w.check(state, nil); len(got.Differences) != 0 || got.Rows != 3 {
		t.Fatalf("before anything is planted: %+v, want no difference in 3 rows", got)
	}
	good := state.Views["wide"].Buckets[0]
	table := sqlschema.Quote(sqlschema.Table(c.Views["wide"], c.Digest(c.Views["wide"])))
	for i, p := range plants {
		version := uint64(100 + i)
		wrong := planted(state, "wide", good.Bucket, version)
		for _, statement := range p.statements(table, good.Ver, version) {
			if err := w.db.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %s: %v", p.name, statement, err)
			}
		}
		want := p.want
		want.View = "wide"
		want.Bucket = time.UnixMicro(start).UTC()
		want.Version = version
		want.Remedy = remedy
		got := w.check(wrong, nil)
		if diff := cmp.Diff([]openapi.Difference{want}, got.Differences); diff != "" || got.Differing() != 1 {
			t.Errorf("%s: %d rows differ; differences (-want +got): %s", p.name, got.Differing(), diff)
		}
	}
	if got := w.check(state, nil); len(got.Differences) != 0 {
		t.Errorf("the good version again: %+v, want no difference", got)
	}
}

// statements insert the planted version: all rows or some, the row of tenant acme changed, one row more.
func (p plant) statements(table string, good, version uint64) []string {
	insert := func(replace, where string) string {
		return fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (%[2]d AS _ver%[3]s) FROM (SELECT * FROM %[1]s "+
			"WHERE _ver = %[4]d AND %[5]s)", table, version, replace, good, where)
	}
	switch {
	case p.replace != "":
		return []string{insert("", "tenant != 'acme'"), insert(", "+p.replace, "tenant = 'acme'")}
	case p.extra != "":
		return []string{insert("", "true"), insert(", "+p.extra, "tenant = 'acme'")}
	}
	return []string{insert("", p.where)}
}

// planted returns the state with another version of a view's bucket.
func planted(state *record.State, view string, bucket int64, version uint64) *record.State {
	wrong := *state
	wrong.Views = maps.Clone(state.Views)
	v := wrong.Views[view]
	v.Buckets = slices.Clone(v.Buckets)
	for i := range v.Buckets {
		if v.Buckets[i].Bucket == bucket {
			v.Buckets[i].Ver = version
		}
	}
	wrong.Views[view] = v
	return &wrong
}

// TestSumsOfFloatsAreCompared checks that the two computations agree on every bit of a sum, and that the last bit
// counts, of large and small values too.
func TestSumsOfFloatsAreCompared(t *testing.T) {
	t.Parallel()
	c := testCatalog(wideView())
	w := newWorld(t, c)
	fares := []float64{1e16, 1, -1e16, 0.1, 0.2, 1e-300, 5e-324, 1e300, -1e300, 1e308, 12.34}
	var events []event
	for i := range 200 {
		events = append(events, event{id: fmt.Sprint(i), time: start, fare: &fares[i%len(fares)]})
	}
	w.land("flight", events...)
	state := w.publish()
	if got := w.check(state, nil); len(got.Differences) != 0 {
		t.Errorf("nothing is wrong: %+v", got)
	}
	table := sqlschema.Quote(sqlschema.Table(c.Views["wide"], c.Digest(c.Views["wide"])))
	for version, change := range map[uint64]string{100: "paid__near + 1 AS paid__near",
		101: "concat(substring(paid__far, 1, 1), char(1), substring(paid__far, 3)) AS paid__far"} {
		if err := w.db.Exec(t.Context(), fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (%[2]d AS _ver, %[3]s) "+
			"FROM (SELECT * FROM %[1]s WHERE _ver = 1)", table, version, change)); err != nil {
			t.Fatal(err)
		}
		if got := w.check(planted(state, "wide", start, version), nil); len(got.Differences) != 1 {
			t.Errorf("%s: %+v, want 1 difference", change, got)
		}
	}
}

const sampledBuckets = 3

// withoutRows lands events in sampledBuckets buckets, the first of which is in more objects than the others. It
// publishes versions that have no rows, so that every checked bucket differs and the differences name the sample.
func withoutRows(w *world) *record.State {
	for i := range int64(sampledBuckets) {
		var events []event
		for j := range 9 {
			events = append(events, event{id: fmt.Sprint(i, j), time: start + i*hour + int64(j)*60e6,
				delay: pointer(int64(7)), fare: pointer(1.0), closed: pointer(start)})
		}
		w.land("flight", events...)
	}
	for i := range 6 { // More objects for the first bucket.
		w.land("flight", event{id: fmt.Sprint("more ", i), time: start})
	}
	state := w.publish()
	for view := range state.Views {
		for i := range int64(sampledBuckets) {
			state = planted(state, view, start+i*hour, 100)
		}
	}
	return state
}

// TestSamplesWithinBounds checks that a run samples as many buckets as it may, and that each bucket may be sampled.
func TestSamplesWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testCatalog(wideView()))
	state := withoutRows(w)
	sampled := map[time.Time]int{}
	for range 12 { // Less than once in 100,000 runs, some bucket is in no sample.
		got := w.check(state, func(cfg *Config) { cfg.Buckets = 2 })
		seen := map[time.Time]bool{}
		for _, d := range got.Differences {
			seen[d.Bucket] = true
		}
		if len(seen) != 2 || got.Checked != 2 {
			t.Fatalf("sampled %v and compared %d buckets of the view, want 2", seen, got.Checked)
		}
		for b := range seen {
			sampled[b]++
		}
	}
	if len(sampled) != sampledBuckets {
		t.Errorf("12 samples of 2 buckets were all among %v, want all %d buckets", sampled, sampledBuckets)
	}
}

// TestLeavesOutConversions: a bucket is left out if it holds a field of the view in another type, or among the
// undeclared fields of an event. Other undeclared fields do not matter.
func TestLeavesOutConversions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testCatalog(wideView()))
	declared := w.catalog.Events["flight"]
	var retyped, before catalog.EventType
	for _, f := range declared.Fields {
		if f.Name == "delay" {
			f.Type = catalog.String
		} else {
			before.Fields = append(before.Fields, f)
		}
		retyped.Fields = append(retyped.Fields, f)
	}
	before.Name = "flight"
	retyped.Name = "flight"
	w.landOne(declared, start, "")
	w.landOne(&retyped, start+hour, "")
	w.landOne(&before, start+2*hour, `{"data":{"delay":5}}`)
	w.landOne(&before, start+3*hour, `{"data":{"delays":5}}`)
	got := w.check(w.publish(), func(cfg *Config) {
		cfg.Schemas = map[string][]*catalog.EventType{"flight": {declared, &retyped, &before}}
	})
	if got.Checked != 2 || got.LeftOut != 2 || len(got.Differences) != 0 {
		t.Errorf("got %+v, want two buckets compared and two left out", got)
	}
}

// TestBoundsObjectsAndNames checks that a bucket in too many objects is left out, and that a result names a few
// rows of a bucket and counts all.
func TestBoundsObjectsAndNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testCatalog(wideView(), slimView()))
	got := w.check(withoutRows(w), func(cfg *Config) { cfg.Objects = 3 })
	if got.LeftOut != 1 || got.Checked != 2*(sampledBuckets-1) {
		t.Errorf("got %d left out and %d compared, want the bucket in many objects left out", got.LeftOut, got.Checked)
	}
	type viewBucket struct {
		view  string
		start time.Time
	}
	shown := map[viewBucket]int{}
	for _, d := range got.Differences {
		if d.Bucket.UnixMicro() == start {
			t.Errorf("a bucket that was left out is named: %+v", d)
		}
		if shown[viewBucket{d.View, d.Bucket}]++; d.View == "wide" && d.Rows != 9 {
			t.Errorf("a difference says that %d rows of the bucket differ, want 9", d.Rows)
		}
	}
	for b, n := range shown {
		if want := map[string]int{"wide": maxShown, "slim": 1}[b.view]; n != want {
			t.Errorf("view %s: %d rows are named, want %d", b.view, n, want)
		}
	}
	if rows := got.Differing(); rows != (9+1)*(sampledBuckets-1) {
		t.Errorf("%d rows differ, want %d", rows, (9+1)*(sampledBuckets-1))
	}
}

// TestLooksAtPublishedEventsOnly lands events beyond H, dead letters and events of a type without views, and
// publishes a view under another definition. None of them may be compared.
func TestLooksAtPublishedEventsOnly(t *testing.T) {
	t.Parallel()
	letters := &catalog.View{Name: "letters", Event: deadletter.Type, Cell: time.Hour,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}
	c := testCatalog(wideView(), slimView(), letters)
	c.Events[deadletter.Type] = deadletter.EventType()
	w := newWorld(t, c)
	r := rand.New(rand.NewPCG(1, 2))
	w.land("flight", randomEvents(r, 40)...)
	w.land("bare", randomEvents(r, 10)...)
	w.land(deadletter.Type, randomEvents(r, 10)...)
	state := w.publish()
	w.land("flight", randomEvents(r, 40)...)
	slim := state.Views["slim"]
	slim.Digest = "another"
	state.Views["slim"] = slim
	got := w.check(state, func(cfg *Config) { cfg.Buckets = 4 }) // As many as the view has.
	if len(got.Differences) != 0 || got.Checked != 4 {
		t.Errorf("got %+v, want no difference in 4 buckets of the view wide", got)
	}
	wide := state.Views["wide"]
	wide.Fill = &record.Fill{From: wide.Buckets[1].Bucket, Buckets: 1, Rows: 1}
	wide.Buckets = wide.Buckets[1:]
	state.Views["wide"] = wide
	got = w.check(state, func(cfg *Config) { cfg.Buckets = 4 })
	if len(got.Differences) != 0 || got.Checked != 3 {
		t.Errorf("the view is not filled down to one bucket: got %+v, want no difference in the 3 others", got)
	}
	delete(state.Views, "wide")
	if got := w.check(state, nil); got.Checked != 0 || len(got.Differences) != 0 {
		t.Errorf("no view is published: got %+v, want nothing compared", got)
	}
}

// TestFails checks the errors about a lake that cannot be reached and an object that is lost.
func TestFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testCatalog(wideView()))
	w.land("flight", event{id: "a", time: start})
	state := w.publish()
	unreachable := errors.New("no keys")
	checker := New(DefaultConfig(w.catalog), w.db, func(context.Context) (lake.Access, error) {
		return lake.Access{}, unreachable
	})
	if _, err := checker.Check(t.Context(), state, w.chains); !errors.Is(err, unreachable) {
		t.Errorf("without keys to the lake: got %v, want %v", err, unreachable)
	}
	for key := range w.bodies {
		if err := w.store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := New(DefaultConfig(w.catalog), w.db, w.store.Access).Check(t.Context(), state, w.chains)
	if err == nil || !strings.Contains(err.Error(), "view wide, bucket 2024-01-02T03:00:00Z") {
		t.Errorf("a lost object: got %v, want an error that names the view and the bucket", err)
	}
}

// TestKeepsKeysOutOfTheStatement checks that the keys to the store are parameters, because servers log statements.
func TestKeepsKeysOutOfTheStatement(t *testing.T) {
	t.Parallel()
	c := testCatalog(wideView())
	q := &statement{catalog: c, view: c.Views["wide"], objects: []string{"a", "b"}, beside: []string{"c"},
		access: lake.Access{URL: "http://lake/", AccessKey: "access-key", SecretKey: "secret-key",
			Token: "session-token"}}
	for _, secret := range []string{"access-key", "secret-key", "session-token"} {
		if strings.Contains(q.text(), secret) {
			t.Errorf("the statement contains %s", secret)
		}
		if !slices.Contains(slices.Collect(maps.Values(q.parameters())), secret) {
			t.Errorf("the parameters lack %s", secret)
		}
	}
}
