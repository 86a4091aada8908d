package main

import (
	"flag"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var seed = flag.Uint64("torture-seed", 0, "seed of TestTorture; 0 draws one")

// TestMain lets the test binary be the engines of its own worlds.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == engineArg {
		os.Exit(runEngine(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestTorture plays every round once but those that are too long for the gate. `make torture` goes on for longer.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and starves real servers for about a minute; left out by -short")
	}
	if raceDetector {
		t.Skip("the servers are not built with the race detector; an ordinary run of the tests plays the rounds")
	}
	if *seed == 0 {
		*seed = rand.Uint64N(1 << 32)
	}
	h, err := newHarness(t.Context(), *seed, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	h.short = true
	long := []string{"trimmed", "split", "cluster"}
	t.Logf("the rounds %v take half a minute each; make torture plays them", long)
	kept := slices.DeleteFunc(slices.Clone(rounds), func(r round) bool { return slices.Contains(long, r.name) })
	if h.run(t.Context(), kept, 0) {
		t.Errorf("failed; reproduce with -torture-seed=%d, or make torture SEED=%d", *seed, *seed)
	}
	h.report.print(os.Stdout)
}

var pointCall = regexp.MustCompile(`\b(?:failpoint|points)\.Point\("([^"]+)"\)`)

// TestEveryPointIsKilledAt compares the points in the source with those the harness
// kills at, so that a new one cannot be forgotten.
func TestEveryPointIsKilledAt(t *testing.T) {
	t.Parallel()
	root, err := checkout()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return errorOr(err, filepath.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, filepath.Join("schemas", "failpoint")) {
			return nil
		}
		raw, err := os.ReadFile(path)
		for _, m := range pointCall.FindAllStringSubmatch(string(raw), -1) {
			found = append(found, m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	if diff := cmp.Diff(slices.Compact(found), slices.Sorted(maps.Keys(passes))); diff != "" {
		t.Errorf("points of the source (-) and of the harness (+) differ; add them to passes:\n%s", diff)
	}
	got := len(killPoints()) + len(lostLogPoints)
	want := len(passes)
	if got != want {
		t.Errorf("%d points have their turn, there are %d", got, want)
	}
}

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// TestMissedPointsAreNamed: a run that never killed at a failpoint says at which.
func TestMissedPointsAreNamed(t *testing.T) {
	t.Parallel()
	r := newReport(1)
	for name := range passes {
		if name != "log.seal.after" {
			r.killedAt(name)
		}
	}
	if got := r.missed(); !slices.Equal(got, []string{"log.seal.after"}) {
		t.Errorf("got %v", got)
	}
}
