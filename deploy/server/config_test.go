package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/batch/deadletters"
	"recount/batch/publish"
	"recount/deploy/embedded/chdb"
	"recount/deploy/server/quota"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/serving/api"
	"recount/speed/eventlog"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

func load(t *testing.T, yaml string, settings map[string]string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recount.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, settings)
}

const valid = `
listen: 127.0.0.1:9000
landing: {cut_interval: 5s, cut_bytes: 32MiB}
accept: {past: 720h}
events:
  flight.departed:
    fields: {origin: string, delay: int64, at: timestamp}
views:
  departures:
    event: flight.departed
    dimensions: [origin]
    where:
      - {field: delay, op: ge, value: 0}
      - {field: at, op: lt, value: 2030-01-01T00:00:00Z}
    measures:
      flights: {count: {}}
      worst: {max: delay}
jobs:
  recompute: {schedule: "@every 10s"}
`

func TestLoad(t *testing.T) {
	t.Parallel()
	c, err := load(t, valid,
		map[string]string{"log.partitions": "8", "speed.memory": "1GiB", "jobs.collect.schedule": "@daily",
			"data-dir": "/x"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:9000" || c.Landing.Interval != 5*time.Second || c.Landing.Bytes != 32<<20 ||
		c.Ingest.Past != 720*time.Hour {
		t.Errorf("from the file: %+v", c)
	}
	if c.Log.Partitions != 8 || c.Speed.Memory != 1<<30 || c.DataDir != "/x" || c.Jobs.Collect != "@daily" {
		t.Errorf("from settings: %+v", c)
	}
	if c.Jobs.Recompute != "@every 10s" || c.Jobs.Expire == "" || c.Bucket != time.Hour {
		t.Errorf("defaults: %+v", c)
	}
	cat, err := c.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	v := cat.Views["departures"]
	if v.Cell != catalog.DefaultCell || v.Where[0].Values[0] != int64(0) ||
		v.Where[1].Values[0] != time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
		t.Errorf("view: %+v", v)
	}
	if m, _ := v.Measure("worst"); m != (catalog.Measure{Name: "worst", Kind: catalog.Max, Field: "delay"}) {
		t.Errorf("measure: %+v", m)
	}
}

// TestTimesOfFilters reads times that RFC 3339 permits. YAML has times of its own, but none of these.
func TestTimesOfFilters(t *testing.T) {
	t.Parallel()
	micros := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for text, want := range map[string]int64{"2030-01-01t00:00:00z": micros, `"2030-01-01t00:00:00z"`: micros,
		"2029-12-31T23:59:60Z": micros - 1, "2030-01-01T05:29:60+05:30": micros - 1} {
		c, err := load(t, strings.Replace(valid, "value: 2030-01-01T00:00:00Z", "value: "+text, 1), nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		cat, err := c.Catalog()
		if err != nil || cat.Views["departures"].Where[1].Values[0] != want {
			t.Errorf("%s: got %+v, %v, want %d", text, cat, err, want)
		}
	}
}

// TestValuesAreReadAgain lists times in a filter. Each call of Catalog reads them.
func TestValuesAreReadAgain(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"in", "not_in"} {
		c, err := load(t, strings.Replace(valid, "{field: at, op: lt, value: 2030-01-01T00:00:00Z}",
			"{field: at, op: "+op+", values: [2030-01-01T00:00:00Z, \"2030-01-01T01:00:00+01:00\"]}", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			cat, err := c.Catalog()
			if err != nil {
				t.Fatal(err)
			}
			micros := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
			if got := cat.Views["departures"].Where[1].Values; !reflect.DeepEqual(got, []any{micros, micros}) {
				t.Errorf("%s: got %v", op, got)
			}
		}
	}
}

// TestMistakesNameTheirLine checks that every mistake names its place and what to write.
func TestMistakesNameTheirLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"listen: 127.0.0.1:9000", "listen: 0.0.0.0:9000", "recount.yaml:2: listen: \"0.0.0.0:9000\" is not a " +
			"loopback address"},
		{"listen:", "lisen:", "recount.yaml:2: lisen: unknown key"},
		{"cut_interval: 5s", "cut_interval: soon", "recount.yaml:3: landing.cut_interval: \"soon\" is not a duration"},
		{"32MiB", "many", "recount.yaml:3: landing.cut_bytes: \"many\" is not a size"},
		{"720h", "forever", "recount.yaml:4: accept.past: \"forever\" is neither a duration"},
		{"accept: {past: 720h}", "dead_letters: {keep: 1ms}", "recount.yaml:4: dead_letters.keep: use at least 1s"},
		{"delay: int64", "delay: number", "recount.yaml:7: events.flight.departed.fields.delay: unknown type"},
		{"event: flight.departed", "event: flight.left", "recount.yaml:10: views.departures.event"},
		{"[origin]", "[gate]", "recount.yaml:11: views.departures.dimensions.gate"},
		{"events:", "events:\n  recount.mine: {fields: {a: string}}",
			"recount.yaml:6: events.recount.mine: names that begin with recount."},
		{"value: 0", "value: none", "recount.yaml:13: views.departures.where.0: value: the text \"none\" is not int64"},
		{"{max: delay}", "{max: origin}", "recount.yaml:17: views.departures.measures.worst: max needs"},
		{"{max: delay}", "{max: delay, min: delay}",
			"recount.yaml:17: views.departures.measures.worst: a measure is one of"},
		{"value: 0", "value: .inf", "recount.yaml:13: views.departures.where.0: value: +Inf is not int64"},
		{"departures:", "recount_published:", "recount.yaml:9: views.recount_published: the name is kept for"},
		{"departures:", "recount_migrations:", "recount.yaml:9: views.recount_migrations: the name is kept for"},
		{"jobs:", "---\njobs:", "recount.yaml:18: a second document begins with this line"},
		{"jobs:", "---\n# empty\n---\njobs:", "a second document begins with this line"},
		{"@every 10s", "@every now", "recount.yaml:19: jobs.recompute.schedule"},
		{"recompute:", "recomputing:", "recount.yaml:19: jobs.recomputing: unknown key; remove it or " +
			"correct its spelling; jobs has recompute, collect"},
	} {
		_, err := load(t, strings.Replace(valid, c.old, c.new, 1), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s: got %v, want one that says %q", c.old, c.new, err, c.want)
		}
	}
	if _, err := load(t, valid, map[string]string{"log.partitions": "many"}); err == nil ||
		!strings.Contains(err.Error(), "--log.partitions (or RECOUNT_LOG_PARTITIONS)") {
		t.Errorf("a bad flag: got %v", err)
	}
	if _, err := Load("/nonexistent.yaml", nil); err == nil {
		t.Error("a missing file was accepted")
	}
}

// TestEverySettingIsNamed: each scalar of the configuration has help, a flag and a
// variable of its own.
func TestEverySettingIsNamed(t *testing.T) {
	t.Parallel()
	flags := map[string]bool{}
	envs := map[string]bool{}
	for _, s := range defaults().Settings() {
		if s.Help == "" || flags[s.Flag()] || envs[s.Env()] {
			t.Errorf("%s: help %q, flag %s, variable %s", s.Key(), s.Help, s.Flag(), s.Env())
		}
		flags[s.Flag()] = true
		envs[s.Env()] = true
	}
	if !flags["landing.cut-interval"] || !envs["RECOUNT_LANDING_CUT_INTERVAL"] || !flags["jobs.recompute.schedule"] {
		t.Errorf("got %v", flags)
	}
}

func TestTenantsAndLimits(t *testing.T) {
	t.Parallel()
	c, err := load(t, valid+`
limits: {events_per_second: 1000, bytes_per_second: 1MiB}
tenants:
  acme: {events_per_second: 5000, queries_per_second: 0.5, buckets_per_minute: 50000}
  free: {events_per_second: 0, buckets_per_minute: 0}
auth: {keys_file: keys.json}
admin: {listen: 10.0.0.1:9001}
`, map[string]string{"listen": "0.0.0.0:80"})
	if err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]quota.Rates{
		"":     {Events: 1000, Bytes: 1 << 20, Buckets: quota.DefaultBuckets},
		"acme": {Events: 5000, Bytes: 1 << 20, Queries: 0.5, Buckets: 50_000},
		"free": {Bytes: 1 << 20},
	} {
		got, own := c.Limits.Tenants[tenant]
		if !own {
			got = c.Limits.Default
		}
		if got != want {
			t.Errorf("%q: got %+v, want %+v", tenant, got, want)
		}
	}
	for yaml, says := range map[string]string{
		"tenants: {Acme: {events_per_second: 1}}":              "tenants.Acme: tenant \"Acme\": use a-z",
		"tenants: {a: {events_per_second: -1}}":                "tenants.a.events_per_second: use 0 for no limit",
		"limits: {queries_per_second: -1}":                     "limits.queries_per_second: use 0 for no limit",
		"admin: {listen: 10.0.0.1:9001}":                       "admin.listen: \"10.0.0.1:9001\" is not a loopback",
		"tls: {cert_file: a.pem}":                              "tls: name both",
		"auth: {keys_file: k}\nadmin: {listen: x}":             "admin.listen",
		"object_store: {listen: 10.0.0.1:9001}":                "object_store.listen: \"10.0.0.1:9001\" is not a loop",
		"object_store: {listen: 127.0.0.1:x y}":                "object_store.listen: \"127.0.0.1:x y\" has no port",
		"object_store: {listen: 127.0.0.1:9000}":               "object_store.listen: 127.0.0.1:9000 and listen, 127.0",
		"object_store: {url: \"s3://b\", listen: 127.0.0.1:9}": "object_store.listen: it is an address of the embedded",
	} {
		if _, err := load(t, valid+yaml+"\n", nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", yaml, err, says)
		}
	}
}

func defaults() *Config {
	c := DefaultConfig()
	return &c
}

// TestOneTruth: the configuration has the components' defaults, and the files that assemble it state no number.
func TestOneTruth(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for name, same := range map[string]struct{ got, want any }{
		"http":         {c.HTTP, DefaultHTTPConfig()},
		"clickhouse":   {c.ClickHouse.Config, chdb.DefaultConfig("")},
		"ingest":       {c.Ingest, ingest.DefaultConfig()},
		"dead_letters": {c.DeadLetters, deadletters.DefaultConfig()},
		"speed":        {c.Speed, realtime.DefaultConfig("")},
		"landing":      {c.Landing, position.DefaultCutRule()},
		"bucket":       {c.Bucket, catalog.DefaultBucket},
		"query":        {c.Query, api.DefaultConfig()},
		"limits":       {c.Limits, quota.Config{Default: quota.DefaultRates()}},
		"jobs":         {c.Jobs, jobs.DefaultConfig()},
	} {
		if !reflect.DeepEqual(same.got, same.want) {
			t.Errorf("%s: got %+v, the component has %+v", name, same.got, same.want)
		}
	}
	log := eventlog.DefaultConfig(nil)
	log.URL = Embedded
	batch := publish.DefaultConfig(nil, 0)
	batch.Now = nil // Functions do not compare.
	c.Batch.Now = nil
	if !reflect.DeepEqual(c.Log, log) || !reflect.DeepEqual(c.Batch, batch) {
		t.Errorf("got %+v and %+v, the components have %+v and %+v", c.Log, c.Batch, log, batch)
	}
	for _, file := range []string{"config.go", "load.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if x, ok := n.(*ast.BasicLit); ok && (x.Kind == token.INT || x.Kind == token.FLOAT) && len(x.Value) > 1 {
				t.Errorf("%s states %s: a default or bound belongs to the component it configures", file, x.Value)
			}
			return true
		})
	}
}

// TestMistakesAreInOrder has mistakes on lines of one and of two digits, and values of a wrong shape. No message
// names a Go type.
func TestMistakesAreInOrder(t *testing.T) {
	t.Parallel()
	_, err := load(t, strings.Repeat("\n", 8)+"lisen: 1\nlanding: 7\nviews: [a]\n", nil)
	if err == nil {
		t.Fatal("the mistakes were accepted")
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		_, rest, _ := strings.Cut(line, ".yaml:")
		number, message, _ := strings.Cut(rest, ":")
		lines = append(lines, number)
		if strings.Contains(message, "server.") || strings.Contains(message, "!!") {
			t.Errorf("the message speaks of Go or YAML types: %s", message)
		}
	}
	if want := []string{"9", "10", "11"}; !slices.Equal(lines, want) {
		t.Errorf("got lines %v, want %v: %v", lines, want, err)
	}
}
