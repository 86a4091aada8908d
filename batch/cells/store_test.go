package cells

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/batch/exact"
	"recount/schemas/catalog"
	"recount/schemas/floatsum"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// TestRoundTrip inserts random groups with odd strings, nulls and extreme values, and compares the rows of
// the table with the oracle's and their checksums with the written ones (B5).
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	for version := range uint64(5) {
		groups := aggregate(randomEvents(rand.New(rand.NewPCG(version, 7)), 150, 3))
		wrote := w.insert(s, version, groups)
		if diff := cmp.Diff(texts((*group).text, groups), w.readTable(c, version)); diff != "" {
			t.Errorf("version %d: rows (-oracle +table): %s", version, diff)
		}
		if diff := cmp.Diff(wrote, w.readBack(s, version, wrote)); diff != "" {
			t.Errorf("version %d: checksums (-written +read): %s", version, diff)
		}
		rows := int64(0)
		for _, b := range wrote {
			rows += b.Rows
		}
		if rows != int64(len(groups)) {
			t.Errorf("version %d: Insert says it wrote %d rows, want %d", version, rows, len(groups))
		}
	}
}

// TestExtremes inserts the smallest and the largest value of every column.
func TestExtremes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	largest := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	smallest := new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 127))
	var groups []*group
	for i, total := range []*big.Int{largest, smallest, big.NewInt(0), big.NewInt(-1)} {
		float := []float64{math.Inf(1), math.Inf(-1), math.MaxFloat64, math.Copysign(0, -1)}[i]
		paid := []floatsum.Sum{{Near: floatsum.Near{3: 1<<63 - 1}, Far: floatsum.Far{{Number: 0, Hi: -1 << 63}}},
			{Near: floatsum.Near{3: 1 << 63}, Far: floatsum.Far{{Number: 127, Hi: 1<<63 - 1, Lo: 1<<64 - 1}}},
			{Near: floatsum.Near{1, 2, 3, 4}}, {}}[i]
		delay := []int64{math.MaxInt64, math.MinInt64, 0, -1}[i]
		at := []int64{0, time.Date(2261, 12, 31, 23, 0, 0, 0, time.UTC).UnixMicro(), start, start}[i]
		closed := []int64{0, at + hour - 1, start, start}[i]
		groups = append(groups, &group{bucket: at, time: at, tenant: oddStrings[i],
			origin: &oddStrings[len(oddStrings)-1-i], delay: &delay, events: make([]event, 1+i), total: total, n: 1,
			paid: paid, paidN: 1, most: &float, last: &closed, names: oddStrings[:i*4]})
	}
	wrote := w.insert(s, math.MaxUint64, groups)
	if diff := cmp.Diff(texts((*group).text, groups), w.readTable(c, math.MaxUint64)); diff != "" {
		t.Errorf("rows (-written +table): %s", diff)
	}
	if diff := cmp.Diff(wrote, w.readBack(s, math.MaxUint64, wrote)); diff != "" {
		t.Errorf("checksums (-written +read): %s", diff)
	}
}

// TestManyStrings inserts so many strings that the keys of a dictionary need 1, 2 and 4 bytes.
func TestManyStrings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	for _, strings := range []int{1, 254, 255, 256, 257, 70_000} {
		var groups []*group
		for i := range strings {
			origin := fmt.Sprintf("origin %d of %d", i, strings)
			groups = append(groups, &group{bucket: start, time: start, tenant: "t", origin: &origin,
				events: make([]event, 1), total: new(big.Int)})
		}
		version := uint64(strings)
		wrote := w.insert(s, version, groups)
		if diff := cmp.Diff(wrote, w.readBack(s, version, wrote)); diff != "" {
			t.Errorf("%d strings: checksums (-written +read): %s", strings, diff)
		}
		if n := w.number("SELECT uniqExact(origin) FROM %s WHERE _ver = %d", table(c), version); n != version {
			t.Errorf("%d strings: the table has %d", strings, n)
		}
	}
}

// TestPartsAddUp writes groups in several INSERTs of parts of blocks. The checksums must add up to those of one
// INSERT, whatever the order of the rows.
func TestPartsAddUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	groups := aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 100, 2))
	b := blockOf(groups)
	third := b.Rows() / 3
	all := w.insert(s, 1, groups)
	sum := map[int64]record.BucketVersion{}
	for _, rows := range [][]exact.BlockRows{
		{{Block: b, From: 2 * third, To: b.Rows()}, {Block: b, From: 0, To: 1}},
		{{Block: b, From: 1, To: third}}, {{Block: b, From: third, To: 2 * third}},
	} {
		part, err := s.Insert(t.Context(), c.Views["wide"], 1<<40, rows)
		if err != nil {
			t.Fatal(err)
		}
		for bucket, v := range part {
			v.Rows += sum[bucket].Rows
			v.Checksum += sum[bucket].Checksum
			sum[bucket] = v
		}
	}
	if diff := cmp.Diff(sum, w.readBack(s, 1<<40, all)); diff != "" {
		t.Errorf("checksums (-sum of the parts +read): %s", diff)
	}
	for bucket, want := range all {
		if got := sum[bucket]; got.Rows != want.Rows || got.Checksum != want.Checksum || got.Ver == want.Ver {
			t.Errorf("bucket %d: parts add up to %+v, want %+v under the other version", bucket, got, want)
		}
	}
	computed := Checksums(c, c.Views["wide"], 1, []exact.BlockRows{{Block: b, To: b.Rows()}})
	if diff := cmp.Diff(all, computed); diff != "" {
		t.Errorf("checksums (-Insert +Checksums): %s", diff)
	}
}

// wrongValues gives for each column of the table expressions that change it in some row. ok holds for one row
// and is null in the others, as most columns are.
var wrongValues = map[string][]string{
	"_bucket":    {"if(ok, addHours(_bucket, 1), _bucket)"},
	"_ver":       {"if(ok, 999, %d)"},
	"tenant":     {"if(ok, 'acmf', tenant)", "if(ok, '', tenant)"},
	"time":       {"if(ok, addMicroseconds(time, 1), time)"},
	"origin":     {"if(ok, 'ATL', origin)", "if(ok, NULL, origin)", "ifNull(origin, '')"},
	"ok":         {"if(ok, false, ok)", "if(ok, NULL, ok)", "ifNull(ok, false)"},
	"delay":      {"if(ok, 6, delay)", "if(ok, NULL, delay)", "ifNull(delay, 0)"},
	"_events":    {"if(ok, 2, _events)"},
	"n":          {"if(ok, 2, n)"},
	"total__sum": {"if(ok, 6, total__sum)", "if(ok, 5 + toInt128('18446744073709551616'), total__sum)"},
	"total__n":   {"if(ok, 0, total__n)"},
	"paid__near": {"if(ok, paid__near + 1, paid__near)", "if(ok, -paid__near, paid__near)"},
	"paid__far":  {"if(ok, concat(paid__far, repeat('\\0', 17)), paid__far)"},
	"paid__n":    {"if(ok, 2, paid__n)"},
	"mean__sum":  {"if(ok, 4, mean__sum)"},
	"mean__n":    {"if(ok, 2, mean__n)"},
	"least":      {"if(ok, 4, least)", "if(ok, NULL, least)", "ifNull(least, 0)"},
	"most":       {"if(ok, 1.6, most)", "if(ok, NULL, most)", "ifNull(most, 0)"},
	"last": {"if(ok, addMicroseconds(last, 1), last)", "if(ok, NULL, last)",
		"ifNull(last, fromUnixTimestamp64Micro(0))"},
	"taxes__sum":     {"if(ok, taxes__sum + toDecimal128('0.001', 3), taxes__sum)", "if(ok, -taxes__sum, taxes__sum)"},
	"taxes__n":       {"if(ok, 2, taxes__n)"},
	"usual_tax__sum": {"if(ok, toDecimal128('18446744073709551628.5', 3), usual_tax__sum)"},
	"usual_tax__n":   {"if(ok, 2, usual_tax__n)"},
	"least_tax": {"if(isNull(least_tax), toDecimal64(0, 3), least_tax)", "if(ok, NULL, least_tax)",
		"least_tax + toDecimal64('0.001', 3)"},
	"fares__bins": {"if(ok, mapFromArrays([toInt16(4130)], [toUInt64(1)]), fares__bins)",
		"if(ok, map(), fares__bins)"},
	"delays__bins":     {"if(ok, mapApply((k, n) -> (k, n + 1), delays__bins), delays__bins)"},
	"tax_levels__bins": {"if(ok, tax_levels__bins, mapFromArrays([toInt16(0)], [toUInt64(1)]))"},
	"origins__state":   {`if(ok, concat(origins__state, '\0'), origins__state)`, "if(ok, '', origins__state)"},
}

// TestWrongRowsAreNoticed changes one value of one row in every column of the table, and drops and doubles a
// row. Each must change what ReadVersions returns.
func TestWrongRowsAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	origin := "ORD"
	yes := true
	delay := int64(5)
	fare := 1.5
	tax := int64(12_500)
	full := event{tenant: "acme", time: start, origin: &origin, ok: &yes, delay: &delay, fare: &fare, closed: &start,
		tax: &tax}
	wrote := w.insert(s, 0, aggregate([]event{full, {tenant: "acme", time: start}, {time: start + minute}}))
	want := wrote[start]
	version := uint64(0)
	copyRows := func(replace, where string) record.BucketVersion {
		t.Helper()
		w.exec("INSERT INTO %[1]s SELECT * REPLACE (%[2]s) FROM (SELECT * FROM %[1]s WHERE _ver = 0 AND %[3]s)",
			table(c), replace, where)
		got := w.readBack(s, version, wrote)[start]
		got.Ver = 0
		return got
	}
	for column, expressions := range wrongValues {
		for _, expression := range expressions {
			version++
			replace := fmt.Sprintf("%d AS _ver, %s AS %s", version, expression, column)
			if column == "_ver" {
				replace = fmt.Sprintf(expression, version) + " AS _ver"
			}
			got := copyRows(replace, "true")
			if got == want {
				t.Errorf("column %s with %s: the change is not noticed", column, expression)
			}
			if got.Rows != want.Rows && column != "_bucket" && column != "_ver" {
				t.Errorf("column %s with %s: got %d rows, want %d, one of them wrong", column, expression, got.Rows,
					want.Rows)
			}
		}
	}
	version++
	if got := copyRows(fmt.Sprintf("%d AS _ver", version), "true"); got != want {
		t.Errorf("rows that were not changed: got %+v, want %+v", got, want)
	}
	if got := copyRows(fmt.Sprintf("%d AS _ver", version), "ok"); got == want {
		t.Error("a doubled row is not noticed")
	}
	version++
	if got := copyRows(fmt.Sprintf("%d AS _ver", version), "isNull(ok)"); got == want {
		t.Error("a lost row is not noticed")
	}
	for _, column := range newLayout(c, c.Views["wide"], 0).columns {
		if wrongValues[column.name] == nil {
			t.Errorf("no wrong value for column %s", column.name)
		}
	}
}

// TestReadVersions asks for so many versions that one statement cannot hold them, most of them without rows.
func TestReadVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	want := w.insert(s, 3, aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 40, 4)))
	w.insert(s, 4, aggregate(randomEvents(rand.New(rand.NewPCG(3, 4)), 40, 4)))
	var versions []record.BucketVersion
	for i := range int64(pairsAtOnce + 500) {
		bucket := start + (i-pairsAtOnce)*hour // The buckets with rows are in the second statement.
		versions = append(versions, record.BucketVersion{Bucket: bucket, Ver: 3})
	}
	got, err := s.ReadVersions(t.Context(), c.Views["wide"], versions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-written +read): %s", diff)
	}
	got, err = s.ReadVersions(t.Context(), c.Views["wide"], []record.BucketVersion{{Bucket: start, Ver: 5}})
	if err != nil || len(got) != 0 {
		t.Errorf("a version that was never written: got %v, %v; want nothing", got, err)
	}
	w.exec("DROP TABLE %s", table(c))
	if got, err = s.ReadVersions(t.Context(), c.Views["wide"], versions); err != nil || len(got) != 0 {
		t.Errorf("without a table: got %v, %v; want nothing", got, err)
	}
}

// TestCountsEvents counts the events of a publication by view and tenant. A view with a filter and one that was
// redefined are left out.
func TestCountsEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	filtered := wideView()
	filtered.Name = "filtered"
	filtered.Where = []catalog.Filter{{Field: "ok", Op: catalog.Exists, Values: []any{true}}}
	redefined := wideView()
	redefined.Name = "redefined"
	c := testCatalog(wideView(), filtered, redefined)
	s := w.prepared(c)
	events := randomEvents(rand.New(rand.NewPCG(1, 2)), 200, 3)
	wrote := w.insert(s, 1, aggregate(events))
	w.insert(s, 2, aggregate(randomEvents(rand.New(rand.NewPCG(3, 4)), 50, 3))) // They are not published.
	want := map[string]int64{}
	for _, e := range events {
		want[e.tenant]++
	}
	published := record.ViewState{Digest: c.Digest(c.Views["wide"])}
	for _, v := range wrote {
		published.Buckets = append(published.Buckets, v)
	}
	state := &record.State{Views: map[string]record.ViewState{"wide": published,
		"filtered":  {Digest: c.Digest(filtered), Buckets: published.Buckets},
		"redefined": {Digest: "another", Buckets: published.Buckets},
		"removed":   {Digest: "any", Buckets: published.Buckets}}}
	got, err := s.EventsByView(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]map[string]int64{"wide": want}, got); diff != "" {
		t.Errorf("events by view and tenant (-events +rows): %s", diff)
	}
}

// versions lists the versions below a limit, by bucket, then version.
func (w *world) versions(s *Store, table string, below uint64) (out []record.BucketVersion) {
	w.t.Helper()
	for v, err := range s.Versions(w.t.Context(), table, below) {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b record.BucketVersion) int {
		return strings.Compare(fmt.Sprint(a.Bucket, a.Ver), fmt.Sprint(b.Bucket, b.Ver))
	})
	return out
}

// TestDeleteVersions lists versions and deletes two of them, and leaves everything else.
func TestDeleteVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	name := sqlschema.Table(c.Views["wide"], c.Digest(c.Views["wide"]))
	groups := aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 60, 3))
	for version := range uint64(4) {
		w.insert(s, version, groups)
	}
	var want []record.BucketVersion
	for bucket := start; bucket < start+3*hour; bucket += hour {
		rows := int64(0)
		for _, g := range groups {
			if g.bucket == bucket {
				rows++
			}
		}
		for version := range uint64(3) {
			want = append(want, record.BucketVersion{Bucket: bucket, Ver: version, Rows: rows})
		}
	}
	if diff := cmp.Diff(want, w.versions(s, name, 3)); diff != "" {
		t.Errorf("versions below 3 (-written +listed): %s", diff)
	}
	deleted := []record.BucketVersion{want[0], want[4], {Bucket: 7, Ver: 7}}
	if err := s.DeleteVersions(t.Context(), name, deleted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Concat(want[1:4], want[5:]), w.versions(s, name, 3)); diff != "" {
		t.Errorf("versions after two were deleted (-want +listed): %s", diff)
	}
}

// TestDropTable drops a table only if no version at or above the limit has rows in it.
func TestDropTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := testCatalog(wideView())
	s := w.prepared(c)
	name := sqlschema.Table(c.Views["wide"], c.Digest(c.Views["wide"]))
	groups := aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 30, 2))
	for version := range uint64(4) {
		w.insert(s, version, groups)
	}
	rows, dropped, err := s.DropTable(t.Context(), name, 3)
	if err != nil || dropped || int(rows) != 3*len(groups) {
		t.Errorf("a table with newer rows: %d rows deleted, dropped %t, %v; want %d rows and the table left", rows,
			dropped, err, 3*len(groups))
	}
	if n := w.number("SELECT count() FROM %s", table(c)); n != uint64(len(groups)) {
		t.Errorf("%d rows are left, want the %d of version 3", n, len(groups))
	}
	w.exec("CREATE TABLE cells_foreign (x UInt8) ENGINE = MergeTree ORDER BY x")
	if tables, err := s.Tables(t.Context()); err != nil || !slices.Equal(tables, []string{name}) {
		t.Errorf("tables are %v, %v; want %s alone", tables, err, name)
	}
	rows, dropped, err = s.DropTable(t.Context(), name, 4)
	if err != nil || !dropped || int(rows) != len(groups) {
		t.Errorf("a table without newer rows: %d rows deleted, dropped %t, %v; want %d rows and the table gone", rows,
			dropped, err, len(groups))
	}
	if tables, err := s.Tables(t.Context()); err != nil || len(tables) != 0 {
		t.Errorf("tables are %v, %v; want none", tables, err)
	}
}

// TestMigrate applies the migrations once, applies one again whose record is lost, and refuses an edited one.
func TestMigrate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.prepared(testCatalog(wideView()))
	migrations, err := sqlschema.Migrations()
	if err != nil || len(migrations) == 0 {
		t.Fatalf("%d migrations, %v", len(migrations), err)
	}
	applied := func() map[string]string {
		t.Helper()
		got, err := s.appliedMigrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := map[string]string{}
	for _, m := range migrations {
		want[m.Name] = m.SHA256
	}
	if diff := cmp.Diff(want, applied()); diff != "" {
		t.Errorf("applied migrations (-declared +recorded): %s", diff)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if n := w.number("SELECT count() FROM %s", MigrationsTable); n != uint64(len(migrations)) {
		t.Errorf("%d records of %d migrations", n, len(migrations))
	}
	w.exec("ALTER TABLE %s DELETE WHERE true SETTINGS mutations_sync = 2", MigrationsTable)
	if err := s.Prepare(t.Context()); err != nil {
		t.Errorf("after the records were lost: %v", err)
	}
	if diff := cmp.Diff(want, applied()); diff != "" {
		t.Errorf("after the records were lost: applied migrations (-declared +recorded): %s", diff)
	}
	w.exec("ALTER TABLE %s UPDATE sha256 = 'edited' WHERE true SETTINGS mutations_sync = 2", MigrationsTable)
	err = s.Prepare(t.Context())
	if err == nil || !strings.Contains(err.Error(), migrations[0].Name) || !strings.Contains(err.Error(), "edited") ||
		!strings.Contains(err.Error(), "restore the file") {
		t.Errorf("an edited migration: got %v, want an error that names it and says what to do", err)
	}
}
