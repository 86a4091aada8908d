package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
)

// TestCheckStored compares configurations with no data, with the data of a running server, and with that of a stopped
// one. It is not parallel: a process has one embedded ClickHouse.
func TestCheckStored(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir() + "/data"
	cfg.Log.Partitions = 1
	check := func(change func(*Config)) string {
		c := cfg
		if change != nil {
			change(&c)
		}
		found, err := CheckStored(c)
		if err != nil {
			return err.Error()
		}
		return found
	}
	if got := check(nil); got != "there is no data in "+cfg.DataDir+" yet" {
		t.Error(got)
	}
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	if got := check(nil); !strings.HasSuffix(got, "is in use by a running server and was not compared") {
		t.Error(got)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"it fits the data in " + cfg.DataDir: nil,
		"batch.bucket: the stored data has 1h, which cannot be changed; write 1h": func(c *Config) {
			c.Bucket = 30 * time.Minute
		},
		"log.partitions: the stored data has 1, which cannot be changed; write 1": func(c *Config) {
			c.Log.Partitions = 2
		},
		"events.hit.fields.page: unknown type": func(c *Config) {
			c.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "page", Type: "text"}}}}
		},
	} {
		if got := check(change); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestCatalogIsStored: the first start stores what the file declares, a start without declarations uses it, and a start
// with another file changes what only the file has changed. It is not parallel: a process has one embedded ClickHouse.
func TestCatalogIsStored(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir() + "/data"
	cfg.Log.Partitions = 1
	declare := func(types ...string) Config {
		c := cfg
		c.Events = map[string]*catalog.EventType{}
		for _, name := range types {
			c.Events[name] = &catalog.EventType{Name: name,
				Fields: []catalog.Field{{Name: "page", Type: catalog.String}}}
		}
		return c
	}
	start := func(c Config, request ...string) (generation uint64, types []string) {
		t.Helper()
		s, err := Open(t.Context(), c, Options{Roles: AllRoles})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range request {
			if _, err := s.generations.Propose(t.Context(), func(now *catalog.Catalog) (*catalog.Catalog, error) {
				next := &catalog.Catalog{Events: maps.Clone(now.Events), Views: now.Views, Bucket: now.Bucket}
				next.Events[name] = &catalog.EventType{Name: name}
				return next, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		g := s.generations.Current()
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		return g.N, slices.Sorted(maps.Keys(g.Record.Events))
	}
	for i, step := range []struct {
		cfg     Config
		request []string
		want    string
	}{
		{cfg, nil, "1 []"},
		{declare("a", "b"), nil, "2 [a b]"},
		{declare("a", "b"), []string{"c"}, "3 [a b c]"},
		{cfg, nil, "3 [a b c]"},
		{declare("b"), nil, "4 [b c]"},
	} {
		n, types := start(step.cfg, step.request...)
		if got := fmt.Sprint(n, types); got != step.want {
			t.Errorf("start %d: got %s, want %s", i, got, step.want)
		}
	}
	found, err := CheckStored(declare("b", "d"))
	if want := "a start would add events.d"; err != nil || !strings.Contains(found, want) {
		t.Errorf("got %q, %v", found, err)
	}
}
