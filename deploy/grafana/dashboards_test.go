// Package grafana has the dashboards for recount.
package grafana

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

type source struct{ Type, UID string }

// dashboard is what the tests read of a file in dashboards.
type dashboard struct {
	UID    string
	Panels []struct {
		ID                       int
		Title, Description, Type string
		Datasource               source
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct {
			RefID, Expr, RawSQL string
			Datasource          source
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("only %d dashboards: %v", len(files), err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		var d dashboard
		raw, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(raw, &d)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = d
	}
	return all
}

// TestPanels: each panel says what it shows, has a place of its own, and reads a data source that is provisioned.
func TestPanels(t *testing.T) {
	t.Parallel()
	var provisioned struct{ Datasources []source }
	raw, err := os.ReadFile("provisioning/datasources/recount.yaml")
	if err == nil {
		err = yaml.Unmarshal(raw, &provisioned)
	}
	if err != nil {
		t.Fatal(err)
	}
	known := map[source]bool{}
	for _, s := range provisioned.Datasources {
		known[s] = true
	}
	for file, d := range dashboards(t) {
		taken := map[[2]int]int{}
		for i, p := range d.Panels {
			if p.ID != i+1 {
				t.Errorf("%s: panel %q has the id %d, not %d", file, p.Title, p.ID, i+1)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if x >= 24 || taken[[2]int{x, y}] != 0 {
						t.Fatalf("%s: panel %d overlaps panel %d or the edge", file, p.ID, taken[[2]int{x, y}])
					}
					taken[[2]int{x, y}] = p.ID
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || !strings.HasSuffix(p.Description, ".") || len(p.Targets) == 0 {
				t.Errorf("%s: panel %d has no title, no sentence that describes it, or no query", file, p.ID)
			}
			for _, q := range p.Targets {
				if q.Datasource != p.Datasource || !known[q.Datasource] || (q.Expr == "") == (q.RawSQL == "") {
					t.Errorf("%s: query %s of %q has no data source or no query", file, q.RefID, p.Title)
				}
			}
		}
	}
}

// TestExpressions lets promtool parse the expressions, as rules.
func TestExpressions(t *testing.T) {
	t.Parallel()
	promtool := os.Getenv("RECOUNT_PROMTOOL")
	if promtool == "" {
		var err error
		if promtool, err = exec.LookPath("promtool"); err != nil {
			t.Skip("promtool is not installed; make alerts fetches it, and so does the Debian package prometheus")
		}
	}
	type rule struct{ Record, Expr string }
	type group struct {
		Name  string
		Rules []rule
	}
	var rules struct{ Groups []group }
	for file, d := range dashboards(t) {
		g := group{Name: d.UID}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if q.Expr != "" {
					g.Rules = append(g.Rules, rule{"panel:" + regexp.MustCompile(`\W`).ReplaceAllString(p.Title, "_") +
						":" + q.RefID, strings.ReplaceAll(q.Expr, "$__rate_interval", "1m")})
				}
			}
		}
		if len(g.Rules) == 0 {
			t.Errorf("%s asks Prometheus for nothing", file)
		}
		rules.Groups = append(rules.Groups, g)
	}
	raw, err := yaml.Marshal(rules)
	name := filepath.Join(t.TempDir(), "rules.yml")
	if err == nil {
		err = os.WriteFile(name, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", name).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
