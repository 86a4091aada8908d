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

// TestLostGeneration: where the newest generations are gone that a publication or a message of the log names, neither
// a start nor recount config apply gives their numbers again (G1), and both say what named them. An operator can give
// them up. It is not parallel: a process has one embedded ClickHouse.
func TestLostGeneration(t *testing.T) {
	for name, published := range map[string]bool{"publication ": true, "message 1 of partition 0": false} {
		t.Run(name, func(t *testing.T) {
			cfg := countedConfig(t)
			cfg.Log.Partitions = 1
			loseGeneration(t, cfg, published)
			changed := cfg
			changed.Events = maps.Clone(cfg.Events)
			changed.Events["order"] = &catalog.EventType{}
			key := filepath.Join(cfg.DataDir, "s3", "objects", "recount", record.GenerationKey(2))
			refused := func(did string, err error) {
				t.Helper()
				for _, want := range []string{name, " names generation 2 of the catalog", record.GenerationKey(2),
					"--replace-catalog"} {
					if !errors.Is(err, record.ErrMissing) || !strings.Contains(err.Error(), want) {
						t.Errorf("%s: got %v, want %s", did, err, want)
					}
				}
				if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
					t.Fatalf("%s: generation 2 was made again: %v", did, err)
				}
			}
			_, err := ApplyStored(t.Context(), changed, false)
			refused("config apply", err)
			undeclared := cfg
			undeclared.Events = nil
			undeclared.Views = nil
			for _, c := range []Config{undeclared, cfg, changed} {
				_, err = Open(t.Context(), c, Options{Roles: AllRoles})
				refused("start", err)
			}
			if err := os.Remove(strings.Replace(key, record.GenerationKey(2), record.GenerationKey(1), 1)); err != nil {
				t.Fatal(err)
			}
			if _, err = Open(t.Context(), changed, Options{Roles: AllRoles}); err == nil ||
				!strings.Contains(err.Error(), record.GenerationKey(1)) {
				t.Errorf("a start without any generation: got %v", err)
			}
			s, err := Open(t.Context(), changed, Options{Roles: AllRoles, Replace: Replace{Catalog: true}})
			if err != nil {
				t.Fatal(err)
			}
			if g := s.generations.Current(); g.N != 3 || g.Catalog.Events["order"] == nil {
				t.Errorf("the file became generation %d", g.N)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// counts reports whether a publication counts an event and names generation 2.
func counts(s *record.State) bool {
	return s.Generation() == 2 && s.Publication.Events > 0
}

// loseGeneration makes generation 2 of the catalog, one event that names it, and a publication that does, with its
// Iceberg table. It removes the generation, and returns its file.
func loseGeneration(t *testing.T, cfg Config, published bool) (lost []byte) {
	t.Helper()
	cfg.Landing.Interval = time.Hour
	if published {
		cfg.Landing.Interval = time.Second
	}
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
	for deadline := time.Now().Add(20 * time.Second); published && !counts(s.publisher.State()); {
		if _, err := s.publisher.Recompute(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("publication %d: %v", s.publisher.State().N, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := s.tables.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "s3/objects/recount/iceberg")); published && err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.DataDir, "s3", "objects", "recount", record.GenerationKey(2))
	lost, err = os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return lost
}
