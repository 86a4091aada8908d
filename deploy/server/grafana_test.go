package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
)

// board is what these tests read of a dashboard for Grafana. A variable's query is a text for ClickHouse and an
// object for Prometheus.
type board struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr, RawSQL, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
}

func readDashboard(t *testing.T, name string) (d board) {
	t.Helper()
	raw, err := os.ReadFile("../grafana/dashboards/" + name)
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seriesOf returns which series a registry has: names, and names with a label, or with a label and its value. Those of
// a histogram have the names that Prometheus gives them.
func seriesOf(t *testing.T, registry prometheus.Gatherer) map[string]bool {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, f := range families {
		names := []string{f.GetName()}
		if f.GetType().String() == "HISTOGRAM" {
			has[f.GetName()+"_bucket{le}"] = true
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for _, name := range names {
			has[name] = true
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					label := l.GetName()
					if label == "job" { // Prometheus has a label of this name, and renames ours.
						label = "exported_job"
					}
					has[name+"{"+label+"}"] = true
					has[fmt.Sprintf("%s{%s=%q}", name, label, l.GetValue())] = true
				}
			}
		}
	}
	return has
}

var (
	metric  = regexp.MustCompile(`\b((?:recount|process|go)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher = regexp.MustCompile(`(\w+)(=~|!=|!~|=)"([^"]*)"`)
	labels  = regexp.MustCompile(`\bby \(([^)]*)\)|\{\{(\w+)\}\}`)
)

// wantDashboardMetrics fails for a series, a label or a value of a label that a dashboard asks Prometheus for, and that
// a server with its jobs done does not have.
func wantDashboardMetrics(t *testing.T, registry prometheus.Gatherer) {
	t.Helper()
	has := seriesOf(t, registry)
	series := 0
	for _, file := range []string{"operations.json", "product.json"} {
		for _, p := range readDashboard(t, file).Panels {
			for _, q := range p.Targets {
				found := metric.FindAllStringSubmatch(q.Expr, -1)
				series += len(found)
				for _, name := range unknown(has, q.Expr+q.LegendFormat, found) {
					t.Errorf("%s: %q reads %s, which does not exist", file, p.Title, name)
				}
			}
		}
	}
	if series < 60 {
		t.Errorf("only %d series were found in the dashboards", series)
	}
}

// unknown lists what an expression names and a server does not have. The label instance is Prometheus' own. It also
// renames the label job, because each target has one.
func unknown(has map[string]bool, expr string, found [][]string) (missing []string) {
	someHas := func(label string) bool {
		return label == "instance" || slices.ContainsFunc(found, func(m []string) bool {
			return has[m[1]+"{"+label+"}"]
		})
	}
	for _, m := range found {
		if !has[m[1]] {
			missing = append(missing, m[1])
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "instance" && (l[2] != "=" || !has[fmt.Sprintf("%s{%s=%q}", m[1], l[1], l[3])]) {
				missing = append(missing, m[1]+"{"+l[0]+"}")
			}
		}
	}
	for _, l := range labels.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(l[1]+l[2], ",") {
			if name = strings.TrimSpace(name); len(found) > 0 && !someHas(name) {
				missing = append(missing, "the label "+name)
			}
		}
	}
	return missing
}

// grafanaMacros are the macros of Grafana's ClickHouse data source that the dashboards use, as it expands them for the
// time from 09:00 to 12:00 with an interval of ten minutes.
var grafanaMacros = map[*regexp.Regexp]string{
	regexp.MustCompile(`\$__timeFilter\((\w+)\)`):   "$1 >= toDateTime(1704099600) AND $1 <= toDateTime(1704110400)",
	regexp.MustCompile(`\$__timeInterval\((\w+)\)`): "toStartOfInterval(toDateTime($1), INTERVAL 600 second)",
	regexp.MustCompile(`\$__interval_s`):            "600",
}

func expanded(sql string, variables map[string]string) string {
	for macro, text := range grafanaMacros {
		sql = macro.ReplaceAllString(sql, text)
	}
	for name, value := range variables {
		sql = strings.ReplaceAll(sql, "${"+name+"}", value)
	}
	return sql
}

// statement runs a statement at ClickHouse's interface, and returns its rows with tabs and spaces as one space.
func statement(t *testing.T, s *Server, sql string) string {
	t.Helper()
	status, body := ask(t, s.SQLURL()+"/?query="+url.QueryEscape(sql))
	if status != 200 || strings.Contains(sql, "$") {
		t.Fatalf("%s: %d %s", sql, status, body)
	}
	return strings.ReplaceAll(strings.TrimSpace(body), "\t", " ")
}

// TestDashboardStatements counts three events that are published and one that is not, chooses the view as Grafana's
// lists do, and asks what each panel asks. It is not parallel: a process has one embedded ClickHouse.
func TestDashboardStatements(t *testing.T) {
	cfg := countedConfig(t)
	cfg.SQLDoor.Listen = "127.0.0.1:0"
	cfg.Views["hits"].Measures = append(cfg.Views["hits"].Measures,
		catalog.Measure{Name: "took", Kind: catalog.Sum, Field: "ms"})
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	hit := func(id, at, page, user string) {
		post(t, s, fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":"hit","source":"/","time":"2024-01-01T%sZ","data":`+
			`{"page":%q,"user":%q,"price":0.5,"ms":7}}`+"\n", id, at, page, user))
	}
	hit("1", "10:00:00", "/a", "ann")
	hit("2", "10:01:00", "/a", "ann")
	hit("3", "10:20:00", "/b", "bob")
	hit("4", "13:00:00", "/late", "eve")
	for statement(t, s, "SELECT sum(hits) FROM hits") != "4" { // The deadline is the test's.
		if _, err := s.scheduler.Start(t.Context(), "recompute"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	hit("5", "10:21:00", "/b", "bob")
	for statement(t, s, "SELECT sum(hits) FROM hits_live") != "1" {
		time.Sleep(time.Millisecond)
	}
	d := readDashboard(t, "product.json")
	lists := map[string]string{"view": "hits\nminutes", "measure": "hits\ntook", "distinct": "users",
		"dimension": "page"}
	chosen := map[string]string{}
	for _, v := range d.Templating.List {
		got := statement(t, s, expanded(v.Query.(string), chosen))
		if got != lists[v.Name] {
			t.Errorf("the list %s has %q, want %q", v.Name, got, lists[v.Name])
		}
		chosen[v.Name], _, _ = strings.Cut(got, "\n")
	}
	wantPanels(t, s, d, chosen)
	chosen["measure"] = "spent"
	if got := statement(t, s, expanded(d.Panels[1].Targets[0].RawSQL, chosen)); got != "2" {
		t.Errorf("the sum of spent is %s, want 2", got)
	}
}

// wantPanels runs the statement of each panel and compares the rows.
func wantPanels(t *testing.T, s *Server, d board, chosen map[string]string) {
	t.Helper()
	want := map[string]string{
		"${measure}":                      "4",
		"Not yet published":               "1",
		"Different values of ${distinct}": "2",
		"${measure}: published and live": "2024-01-01 10:00:00 published 2|" +
			"2024-01-01 10:20:00 live 1|2024-01-01 10:20:00 published 1",
		"${measure} a second": "2024-01-01 10:00:00 0.0033333333333333335|" +
			"2024-01-01 10:20:00 0.0033333333333333335",
		"Different ${distinct} over time":                  "2024-01-01 10:00:00 1|2024-01-01 10:20:00 1",
		"Largest values of ${dimension}":                   "/a 2 0.5|/b 2 0.5",
		"Different ${distinct} by ${dimension}":            "/a 1|/b 1",
		"${measure} of the largest values of ${dimension}": "2024-01-01 10:00:00 /a 2|2024-01-01 10:20:00 /b 2",
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			if q.RawSQL == "" {
				continue
			}
			rows, known := want[p.Title]
			got := strings.ReplaceAll(statement(t, s, expanded(q.RawSQL, chosen)), "\n", "|")
			if !known || got != rows {
				t.Errorf("%s: got %q, want %q", p.Title, got, rows)
			}
			delete(want, p.Title)
		}
	}
	if len(want) > 0 {
		t.Errorf("no panel is called %q", slices.Sorted(maps.Keys(want)))
	}
}
