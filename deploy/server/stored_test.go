package server

import (
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
