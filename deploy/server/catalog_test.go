package server

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/deploy/server/generations"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

// TestCatalogSpreads: another process declares an event type and views, and this one takes its events in the next
// moment (G3), counts a new view live (S7), answers by one definition while a view changes (G5), and forgets a view
// that is removed. It is not parallel: a process has one embedded ClickHouse.
func TestCatalogSpreads(t *testing.T) {
	cfg := countedConfig(t)
	cfg.Landing.Interval = time.Hour // What is live stays so.
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, s)()
	other, err := generations.Open(t.Context(), generations.Config{Bucket: cfg.Bucket}, s.engines.records)
	if err != nil {
		t.Fatal(err)
	}
	declare := func(change func(*catalog.Catalog)) {
		t.Helper()
		if _, err := other.Propose(t.Context(), func(now *catalog.Catalog) (*catalog.Catalog, error) {
			next := record.DeclarationsOf(now).Complete().Catalog(now.Bucket)
			change(next)
			return next, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	query := func(mode string) string {
		t.Helper()
		resp, err := http.Get(s.URL() + "/v1/query?view=sales&from=2024-01-01T00:00:00Z&to=2024-01-02T00:00:00Z&mode=" +
			mode)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	answers := func(mode, want string) {
		t.Helper()
		got := query(mode)
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(got, want); got = query(mode) {
			if time.Now().After(deadline) {
				t.Fatalf("mode %s: got %s, want %s", mode, got, want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	sell := func(first, end int) {
		t.Helper()
		var lines strings.Builder
		for i := first; i < end; i++ {
			fmt.Fprintf(&lines, `{"specversion":"1.0","id":"s%d","type":"sale","time":"2024-01-01T10:00:00Z","data":`+
				`{"price":%d}}`+"\n", i, i)
		}
		post(t, s, lines.String())
	}
	view := func(measure catalog.Measure) *catalog.View {
		return &catalog.View{Name: "sales", Event: "sale", Cell: time.Minute, Dimensions: []string{},
			Measures: []catalog.Measure{measure}}
	}
	declare(func(c *catalog.Catalog) { c.Events["sale"] = &catalog.EventType{Name: "sale"} })
	sell(0, 10) // No process had to restart, and this one had no time to look by itself.
	declare(func(c *catalog.Catalog) { c.Views["sales"] = view(catalog.Measure{Name: "n", Kind: catalog.Count}) })
	answers("live", `"n":10`)
	if _, err := s.publisher.Recompute(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers("merged", `"n":10`)
	declare(func(c *catalog.Catalog) {
		c.Events["sale"] = &catalog.EventType{Name: "sale",
			Fields: []catalog.Field{{Name: "price", Type: catalog.Int64}}}
		c.Views["sales"] = view(catalog.Measure{Name: "sum", Kind: catalog.Sum, Field: "price"})
	})
	sell(10, 12)
	answers("live", `"sum":`)   // Of what no publication covers yet.
	answers("merged", `"n":12`) // As the publication has it.
	if _, err := s.publisher.Recompute(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers("merged", `"sum":66`) // The field was not declared when the first events came.
	if got := s.publisher.State().Generation(); got != other.Current().N {
		t.Errorf("the publication is of generation %d, want %d", got, other.Current().N)
	}
	declare(func(c *catalog.Catalog) { delete(c.Views, "sales") })
	answers("merged", "no view is named")
	answers("live", "no view is named")
	post(t, s, `{"specversion":"1.0","id":"s13","type":"sale","time":"2024-01-01T10:00:00Z"}`)
}

// TestLostGeneration: while a publication names a generation that is missing, neither a start nor recount config apply
// gives its number again (G1). A start without any generation is refused. It is not parallel: a process has one
// embedded ClickHouse.
func TestLostGeneration(t *testing.T) {
	cfg := countedConfig(t)
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	if _, err := s.generations.Propose(t.Context(), func(now *catalog.Catalog) (*catalog.Catalog, error) {
		next := record.DeclarationsOf(now).Complete().Catalog(now.Bucket)
		next.Events["sale"] = &catalog.EventType{Name: "sale"}
		return next, nil
	}); err != nil {
		t.Fatal(err)
	}
	postSource(t, s, "shop", "1")
	for deadline := time.Now().Add(20 * time.Second); s.publisher.State().Generation() != 2; {
		if _, err := s.publisher.Recompute(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("publication %d: %v", s.publisher.State().N, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	changed := cfg
	changed.Events = maps.Clone(cfg.Events)
	changed.Events["order"] = &catalog.EventType{}
	for _, lost := range []uint64{2, 1} {
		path := filepath.Join(cfg.DataDir, "s3", "objects", "recount", record.GenerationKey(lost))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := ApplyStored(t.Context(), changed, false); !errors.Is(err, record.ErrMissing) {
			t.Errorf("without generation %d, config apply: got %v", lost, err)
		}
		s, err := Open(t.Context(), changed, Options{Roles: AllRoles})
		switch {
		case lost == 1 && !errors.Is(err, record.ErrMissing):
			t.Errorf("a start without any generation: got %v", err)
		case lost == 2 && err != nil:
			t.Errorf("a start without the newest generation: %v", err)
		case lost == 2 && s.generations.Current().N != 1:
			t.Errorf("a start has made generation %d", s.generations.Current().N)
		}
		if err == nil {
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("generation %d was made again: %v", lost, err)
		}
	}
}
