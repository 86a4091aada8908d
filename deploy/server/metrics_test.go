package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"recount/deploy/server/keys"
	"recount/jobs"
	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/speed/realtime"
)

// recorder is a registry that gives every vector of metrics an element when it is registered. Gather
// leaves out a vector without elements.
type recorder struct {
	*prometheus.Registry
	t *testing.T
}

func (r recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r recorder) Register(c prometheus.Collector) error {
	if err := r.Registry.Register(c); err != nil {
		return err
	}
	var err error
	switch v := c.(type) {
	case *prometheus.CounterVec:
		_, err = v.GetMetricWithLabelValues(labelValues(c)...)
	case *prometheus.GaugeVec:
		_, err = v.GetMetricWithLabelValues(labelValues(c)...)
	case *prometheus.HistogramVec:
		_, err = v.GetMetricWithLabelValues(labelValues(c)...)
	}
	return err
}

var variableLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)

// labelValues returns a value for each label of a vector.
func labelValues(c prometheus.Collector) []string {
	descriptions := make(chan *prometheus.Desc, 1)
	c.Describe(descriptions)
	return strings.Split(variableLabels.FindStringSubmatch((<-descriptions).String())[1], ",")
}

// TestMetricNames checks the metrics of all roles before and after one run of each job. It is not parallel: a process
// has one embedded ClickHouse.
func TestMetricNames(t *testing.T) {
	registry := recorder{prometheus.NewRegistry(), t}
	s := startGuarded(t, registry)
	names := map[string]bool{}
	lintMetrics(t, registry, names)
	for _, job := range jobs.Names() {
		if _, err := s.scheduler.Start(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	lintMetrics(t, registry, names)
	if len(names) < 80 {
		t.Errorf("only %d metrics were gathered", len(names))
	}
	wantDocumentedMetrics(t, names)
	wantRuledMetrics(t, registry)
	wantDashboardMetrics(t, registry)
}

// startGuarded runs a server with keys until the test ends. Its real-time views have consumed one event.
func startGuarded(t *testing.T, registry Registry) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Jobs = jobs.Config{}
	cfg.Auth.KeysFile = filepath.Join(t.TempDir(), "keys.json")
	key, secret := keys.New("acme", access.Ingest, time.Now(), time.Time{})
	raw, err := keys.Encode([]keys.Key{key})
	if err == nil {
		err = os.WriteFile(cfg.Auth.KeysFile, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "page", Type: catalog.String,
		Coerce: true}}}}
	cfg.Views = map[string]*catalog.View{"hits": {Event: "hit", Dimensions: []string{"page"},
		Measures: []catalog.Measure{{Name: "hits", Kind: catalog.Count}}}}
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	sendEvent(t, s, secret)
	return s
}

// lintMetrics checks what is gathered with Prometheus' own linter, and with what it does not look at: the names of
// gauges that hold a time, and the form of HELP. It adds the names to names.
func lintMetrics(t *testing.T, registry prometheus.Gatherer, names map[string]bool) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := families[:0]
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "recount_") {
			continue
		}
		ours = append(ours, f)
		names[f.GetName()] = true
		lintName(t, f.GetName(), f.GetHelp())
		for _, m := range f.GetMetric() {
			if v := m.GetGauge().GetValue(); v > year2001 && strings.HasSuffix(f.GetName(), "_seconds") &&
				!strings.HasSuffix(f.GetName(), "_timestamp_seconds") {
				t.Errorf("%s: %v seconds are a point in time; the name of such a gauge ends in _timestamp_seconds",
					f.GetName(), v)
			}
		}
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// sendEvent sends one event and waits until the real-time views have consumed it.
func sendEvent(t *testing.T, s *Server, key string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/events",
		strings.NewReader(`{"specversion":"1.0","type":"hit","source":"/a","id":"1","data":{"page":7}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %s", res.Status)
	}
	consumed := func(p realtime.PartitionStatus) bool { return p.Events > 0 }
	for !slices.ContainsFunc(s.views.Status(), consumed) {
		time.Sleep(time.Millisecond)
	}
}

// wantDocumentedMetrics fails for a metric that the documents name and nothing registers.
func wantDocumentedMetrics(t *testing.T, names map[string]bool) {
	t.Helper()
	for _, file := range []string{"../OPERATIONS.md", "../../README.md", "../../jobs/DESIGN.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\brecount_[a-z_]+`).FindAllString(string(text), -1) {
			if !names[name] {
				t.Errorf("%s names the metric %s, which does not exist", file, name)
			}
		}
	}
}

var selector = regexp.MustCompile(`\b(recount_[a-z_]+)(?:\{(\w+)="([^"]*)"\})?`)

// wantRuledMetrics fails for a series that a rule of Prometheus reads and a server with its jobs done does not have.
func wantRuledMetrics(t *testing.T, registry prometheus.Gatherer) {
	t.Helper()
	rules, err := os.ReadFile("../prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	has := seriesOf(t, registry)
	found := selector.FindAllString(string(rules), -1)
	for _, series := range found {
		if !has[series] {
			t.Errorf("a rule reads %s, which does not exist", series)
		}
	}
	if len(found) < 12 {
		t.Errorf("only %d series were found in the rules", len(found))
	}
}

// year2001 is a Unix time. No duration here is as long.
const year2001 = 1e9

var sentence = regexp.MustCompile(`^[A-Z0-9][^.]*( [^ .]+){2}.*\.$`)

func lintName(t *testing.T, name, help string) {
	t.Helper()
	if !sentence.MatchString(help) {
		t.Errorf("%s: HELP is not a sentence: %q", name, help)
	}
	if strings.Contains(help, "Unix time") != strings.HasSuffix(name, "_timestamp_seconds") {
		t.Errorf("%s: the name of a gauge ends in _timestamp_seconds if, and only if, its HELP says \"Unix time\": %q",
			name, help)
	}
}
