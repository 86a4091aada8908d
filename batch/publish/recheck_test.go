package publish

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"recount/batch/lake"
	"recount/batch/recheck"
	"recount/deploy/embedded/s3server"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// filteredView is a view with many operators of a filter.
func filteredView() *catalog.View {
	return &catalog.View{Name: "filtered", Event: "flight", Dimensions: []string{"subject", "source"}, Cell: 15 * 60e9,
		Where: []catalog.Filter{
			{Field: "origin", Op: catalog.NotIn, Values: []any{"ATL", "N'ULL`"}},
			{Field: "delay", Op: catalog.Ne, Values: []any{int64(256)}},
			{Field: "fare", Op: catalog.Gt, Values: []any{-3.5}},
			{Field: "closed", Op: catalog.Lt, Values: []any{epoch.UnixMicro() + 40*hour}},
			{Field: "ok", Op: catalog.Exists, Values: []any{true}},
			{Field: "delay", Op: catalog.Le, Values: []any{int64(1 << 62)}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "delays", Kind: catalog.Distinct, Field: "delay"},
			{Name: "oks", Kind: catalog.Distinct, Field: "ok"}}}
}

// serve writes the world's objects to an S3 server, from which ClickHouse reads them.
func (w *world) serve() *lake.Store {
	w.t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(w.t.TempDir()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = server.Close() })
	if err := server.Start(); err != nil {
		w.t.Fatal(err)
	}
	cfg := lake.DefaultConfig("")
	cfg.Endpoint = server.Endpoint()
	cfg.Bucket = "recount"
	cfg.Prefix = "a prefix/x"
	cfg.PathStyle = true
	cfg.CreateBucket = true
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	store, err := lake.Open(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(store.Close)
	for key, body := range w.objects {
		if err := store.Put(w.t.Context(), key, bytes.NewReader(body), int64(len(body))); err != nil {
			w.t.Fatal(err)
		}
	}
	return store
}

// TestRecheck computes everything that was published in a second way: ClickHouse reads the Parquet
// objects (A4). Then it edits and removes rows and checks that each change is found.
func TestRecheck(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView(), slimView(), filteredView())
	p := w.publisher(c, nil)
	for i := range 3 {
		events := randomEvents(rand.New(rand.NewPCG(uint64(i), 3)), 150, epoch.UnixMicro()+int64(i)*hour, 3)
		for i, over := range []string{"origin", "delay,origin", "source,subject"} {
			for j := i; j < len(events); j += 9 {
				events[j].over = &over
			}
		}
		w.land("flight", events...)
		w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 6)...)
		w.recompute(p)
	}
	cfg := recheck.DefaultConfig(c)
	cfg.Buckets = 1000
	checker := recheck.New(cfg, w.db, w.serve().Access)
	check := func() openapi.Recheck {
		t.Helper()
		got, err := checker.Check(t.Context(), p.State(), w.chains)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := check()
	if len(got.Differences) != 0 || got.Checked < 3*5 || got.Rows < 300 {
		t.Fatalf("got %+v, want no difference in at least 15 buckets and 300 rows", got)
	}
	wide := c.Views["wide"]
	slim := c.Views["slim"]
	at := func(v *catalog.View, i int) record.BucketVersion { return p.State().Views[v.Name].Buckets[i] }
	plants := []struct {
		what, sql string
		view      *catalog.View
		bucket    int // of the view's
		tenant    string
	}{
		{"edited", "UPDATE total__sum = total__sum + 1 WHERE tenant = 'acme' AND total__n > 0", wide, 1, "acme"},
		{"another distinct", "UPDATE origins__state = CAST(unhex('010700000000000000'), 'String') WHERE tenant = " +
			"'acme'", slim, 2, "acme"},
		{"removed", "DELETE WHERE tenant = ''", slim, 0, ""},
	}
	for _, plant := range plants {
		v := plant.view
		b := at(plant.view, plant.bucket)
		statement := fmt.Sprintf("ALTER TABLE %s %s AND _ver = %d AND toUnixTimestamp64Micro(_bucket) = %d "+
			"SETTINGS mutations_sync = 2", sqlschema.Quote(sqlschema.Table(v, c.Digest(v))), plant.sql, b.Ver, b.Bucket)
		if err := w.db.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", plant.what, err)
		}
	}
	got = check()
	for _, plant := range plants {
		v := plant.view
		b := at(plant.view, plant.bucket)
		if !slices.ContainsFunc(got.Differences, func(d openapi.Difference) bool {
			return d.View == v.Name && d.Bucket.UnixMicro() == b.Bucket && d.Version == b.Ver &&
				d.Tenant == plant.tenant && d.Rows > 0 && d.Published != d.Computed && d.Remedy != ""
		}) {
			t.Errorf("%s: not found in bucket %d of view %s: %+v", plant.what, plant.bucket, v.Name, got.Differences)
		}
	}
}
