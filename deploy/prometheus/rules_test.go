// Package prometheus has the recording and alert rules for recount.
package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// promtool is Prometheus' own checker: that of RECOUNT_PROMTOOL, or the one in PATH.
func promtool(t *testing.T) string {
	t.Helper()
	if name := os.Getenv("RECOUNT_PROMTOOL"); name != "" {
		return name
	}
	name, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; make alerts fetches it, and so does the Debian package prometheus")
	}
	return name
}

// TestRules runs promtool over the rules and over their unit tests.
func TestRules(t *testing.T) {
	t.Parallel()
	name := promtool(t)
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "rules.yml"},
		{"test", "rules", "rules_test.yml"}, {"check", "config", "--syntax-only", "prometheus.yml"}} {
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestEveryDocumentedAlert: each metric that OPERATIONS.md says to alert on is in an alert, and each alert has a unit
// test and says what to do.
func TestEveryDocumentedAlert(t *testing.T) {
	t.Parallel()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Record      string
				Expr        string
				Annotations map[string]string
			}
		}
	}
	raw := read(t, "rules.yml")
	if err := yaml.Unmarshal([]byte(raw), &rules); err != nil {
		t.Fatal(err)
	}
	tests := read(t, "rules_test.yml")
	var expressions strings.Builder
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			expressions.WriteString(r.Expr + "\n")
			if r.Alert == "" {
				continue
			}
			if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
				t.Errorf("%s has no unit test that fires", r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("%s does not say what is wrong or what to do", r.Alert)
			}
		}
	}
	_, table, ok := strings.Cut(read(t, "../OPERATIONS.md"), "| alert on |")
	if !ok {
		t.Fatal("OPERATIONS.md has no table of alerts")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	names := 0
	for line := range strings.Lines(table) {
		condition, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, metric := range regexp.MustCompile(`recount_[a-z_]+`).FindAllString(condition, -1) {
			names++
			if !strings.Contains(expressions.String(), metric) {
				t.Errorf("OPERATIONS.md says to alert on %s, and no rule does", metric)
			}
		}
	}
	if names < 12 {
		t.Errorf("only %d metrics were found in the table", names)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
