package server

import (
	"regexp"
	"strings"
	"testing"
)

// TestBounds sets each bound and the value just beyond it. A configuration that passes the check has to
// start, and a refused setting is named as the configuration names it.
func TestBounds(t *testing.T) {
	t.Parallel()
	for setting, c := range map[string]struct{ good, bad []string }{
		"ingest.max-body":     {[]string{"256KiB", "1GiB"}, []string{"1KiB", "255KiB", "2GiB"}},
		"ingest.max-events":   {[]string{"1", "1048576"}, []string{"0", "5000000"}},
		"ingest.max-wait":     {[]string{"1ms", "1m"}, []string{"0s", "2m"}},
		"query.timeout":       {[]string{"1s"}, []string{"500ms", "0s"}},
		"query.concurrent":    {[]string{"1"}, []string{"0"}},
		"speed.dedup-entries": {[]string{"1000", "8589934592"}, []string{"1", "8589934596", "99999999999"}},
		"speed.memory":        {[]string{"16MiB"}, []string{"1MiB"}},
		"limits.cardinality":  {[]string{"0", "1099511627776"}, []string{"-1", "1099511627777"}},
		"clickhouse.memory":   {[]string{"256MiB"}, []string{"255MiB"}},
		"batch.memory":        {[]string{"64MiB"}, []string{"1MiB"}},
		"data-dir":            {[]string{"/a b"}, []string{"", "/a{b}"}},
		"object-store.url": {[]string{"s3://bucket/a?endpoint=http://127.0.0.1:9000"},
			[]string{"s3://bucket?endpont=x", "s3://user:password@bucket", "file:///a"}},
		"clickhouse.url": {[]string{"clickhouse://user@host:9000/recount?read_timeout=5s"},
			[]string{"clickhouse://host:9000/recount?read_timeout=often", "mysql://host"}},
		"log.url":              {[]string{"nats://host:4222"}, []string{"host:4222"}},
		"landing.cut-interval": {[]string{"50ms", "24h"}, []string{"1ms", "25h"}},
	} {
		for _, text := range c.good {
			if _, err := Load("", map[string]string{setting: text}); err != nil {
				t.Errorf("%s=%s: %v", setting, text, err)
			}
		}
		own := regexp.MustCompile("^(" + strings.ReplaceAll(setting, "-", "_") + ": [^\n]+(\n|$))+$")
		for _, text := range c.bad {
			if _, err := Load("", map[string]string{setting: text}); err == nil || !own.MatchString(err.Error()) {
				t.Errorf("%s=%s: %v", setting, text, err)
			}
		}
	}
}
