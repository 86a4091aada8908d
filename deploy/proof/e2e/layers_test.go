package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says which other layers each layer may import; deploy wires them all.
var mayImport = map[string][]string{
	"schemas": {},
	"speed":   {"schemas"},
	"batch":   {"schemas"},
	"serving": {"schemas"},
	"jobs":    {"schemas", "batch"},
	"deploy":  {"schemas", "speed", "batch", "serving", "jobs"},
}

// onlyImporter says which package alone may import a dependency of the name. Tests may.
var onlyImporter = map[string]string{
	"github.com/nats-io/nats.go":                       "recount/speed/eventlog",
	"github.com/nats-io/nats-server":                   "recount/deploy/embedded/natsserver",
	"github.com/aws/aws-sdk-go-v2/service/s3":          "recount/batch/lake",
	"github.com/rclone/gofakes3":                       "recount/deploy/embedded/s3server",
	"github.com/ebitengine/purego":                     "recount/deploy/embedded/chdb",
	"github.com/robfig/cron":                           "recount/jobs",
	"github.com/apache/arrow/go/v15/parquet":           "nobody",
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto": "recount/deploy/embedded/chdb",
}

// TestLayers fails when a layer imports one beside it, so that what meets where
// is decided in deploy alone.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		layer, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, "recount/"), "/")
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, "recount/"); ours {
				other, _, _ := strings.Cut(rest, "/")
				if other != layer && !slices.Contains(mayImport[layer], other) {
					t.Errorf("%s imports %s: %s may import %v only", p.ImportPath, imp, layer, mayImport[layer])
				}
			}
			for dep, only := range onlyImporter {
				if strings.HasPrefix(imp, dep) && p.ImportPath != only {
					t.Errorf("%s imports %s; only %s may", p.ImportPath, imp, only)
				}
			}
		}
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "recount/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}
