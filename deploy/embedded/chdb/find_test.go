package chdb_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/embedded/chdb"
)

// findEnv makes this test binary print what Find finds.
const findEnv = "CHDB_TEST_FIND"

// TestFindInstalled installs a copy of this test binary with and without a library. A symbolic link leads to it, as
// from a folder of PATH. Nothing is a checkout there.
func TestFindInstalled(t *testing.T) {
	t.Parallel()
	for library, found := range map[string]bool{
		"bin/libchdb.so": true, "lib/recount/libchdb.so": true, "lib/libchdb.so": false,
	} {
		root, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(root, "bin", "recount")
		install(t, os.Args[0], program)
		install(t, "find.go", filepath.Join(root, library))
		link := filepath.Join(root, "link")
		if err := os.Symlink(program, link); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), link)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), findEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := filepath.Join(root, library)
		if !found {
			want = "looked for " + filepath.Join(root, "bin", "libchdb.so") + ", " +
				filepath.Join(root, "lib", "recount", "libchdb.so") + ", "
		}
		if !strings.Contains(string(out), want) || !found && !strings.Contains(string(out), "clickhouse.url") {
			t.Errorf("%s: found %s, want %s", library, out, want)
		}
	}
}

// install copies a program.
func install(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		t.Fatal(err)
	}
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestVersion compares Version with the package that `make setup` installs.
func TestVersion(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../npm/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		OptionalDependencies map[string]string `json:"optionalDependencies"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	if got := manifest.OptionalDependencies["@chdb/lib-linux-x64-gnu"]; got != chdb.Version {
		t.Errorf("package.json has version %q of the engine, and chdb.Version is %s", got, chdb.Version)
	}
}
