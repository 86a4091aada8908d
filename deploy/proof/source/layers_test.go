package source

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says which other layers each layer may import. Only deploy wires all of them.
var mayImport = map[string][]string{
	"schemas": {},
	"speed":   {"schemas"},
	"batch":   {"schemas"},
	"serving": {"schemas"},
	"jobs":    {"schemas", "batch"},
	"deploy":  {"schemas", "speed", "batch", "serving", "jobs"},
}

// importers says which packages alone may import a dependency, by the prefix of its path.
// An empty list means that no package may. Tests may import what they like.
var importers = map[string][]string{
	"github.com/apache/arrow/go/v15/parquet": {},
	"github.com/aws/aws-sdk-go-v2/service":   {"batch/lake"},
	"github.com/ClickHouse/clickhouse-go": {
		"batch/cells", "batch/recheck", "serving/batchview",
		"deploy/dist", "deploy/embedded/chdb", "deploy/embedded/chdb/chdbtest", "deploy/recount/demo", "deploy/server",
	},
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto": {"deploy/embedded/chdb"},
	"github.com/ebitengine/purego":                     {"deploy/embedded/chdb"},
	"github.com/failsafe-go/failsafe-go":               {"deploy/client"},
	"github.com/nats-io/nats-server":                   {"deploy/embedded/natsserver"},
	"github.com/nats-io/nats.go":                       {"speed/eventlog"},
	"github.com/parquet-go/parquet-go": {
		"batch/object", "deploy/client/eventfile/table", "deploy/recount/demo", "serving/encode",
	},
	"github.com/rclone/gofakes3": {"deploy/embedded/s3server"},
	"github.com/robfig/cron":     {"jobs"},
	"github.com/twmb/avro":       {"batch/iceberg"},
}

// TestLayers fails when a layer imports one beside it. Layers meet in deploy alone.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		layer, _, _ := strings.Cut(p.path(), "/")
		for _, imported := range p.Imports {
			rest, ours := strings.CutPrefix(imported, "recount/")
			other, _, _ := strings.Cut(rest, "/")
			if ours && other != layer && !slices.Contains(mayImport[layer], other) {
				t.Errorf("%s imports %s: %s may import %v only", p.path(), imported, layer, mayImport[layer])
			}
		}
	}
}

// TestImporters fails when a package imports a dependency that another one keeps to itself.
func TestImporters(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range listPackages(t) {
		for _, imported := range p.Imports {
			for dependency, allowed := range importers {
				if !strings.HasPrefix(imported, dependency) {
					continue
				}
				used[dependency] = true
				if !slices.Contains(allowed, p.path()) {
					t.Errorf("%s imports %s; only %v may", p.path(), imported, allowed)
				}
			}
		}
	}
	for dependency, allowed := range importers {
		if len(allowed) > 0 && !used[dependency] {
			t.Errorf("no package imports %s: take it out of the list", dependency)
		}
	}
}

// TestNothingShippedImportsProof keeps simulation, torture and their tools out of the binary.
func TestNothingShippedImportsProof(t *testing.T) {
	t.Parallel()
	const proof = "recount/deploy/proof/"
	for _, p := range listPackages(t) {
		if strings.HasPrefix(p.ImportPath, proof) {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, proof) {
				t.Errorf("%s imports %s: only packages below deploy/proof may", p.path(), imported)
			}
		}
	}
}

// listedPackage is what `go list` says of a package, without its tests.
type listedPackage struct {
	ImportPath string
	Imports    []string
}

// path returns the package's folder in the repository.
func (p listedPackage) path() string { return strings.TrimPrefix(p.ImportPath, "recount/") }

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "recount/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listedPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var p listedPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}
