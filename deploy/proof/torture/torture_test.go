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

// TestMain runs an engine when the harness has started this test binary as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == engineArg {
		os.Exit(runEngine(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestTorture plays every round once, without the long ones. `make torture` plays all.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("breaks real servers for about a minute; skipped with -short")
	}
	if raceDetector {
		t.Skip("the servers are built without the race detector; a run of the tests without -race plays the rounds")
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
	t.Logf("without the rounds %v, which take half a minute each; make torture plays them", long)
	kept := slices.DeleteFunc(slices.Clone(rounds), func(r round) bool { return slices.Contains(long, r.name) })
	if h.run(t.Context(), kept, 0) {
		t.Errorf("a round failed; reproduce it with -torture-seed=%d or make torture SEED=%d", *seed, *seed)
	}
	h.report.print(os.Stdout)
}

var (
	pointPattern = regexp.MustCompile(`\b(?:failpoint|points)\.Point\("([^"]+)"\)`)
	// A durable.File names the beginning of its failpoints; package durable has the steps.
	filePattern = regexp.MustCompile(`\bdurable\.File\{[^}]*\bPoints: "([^"]+)"`)
	stepPattern = regexp.MustCompile(`\bf\.reach\("([^"]+)"\)`)
)

// TestEveryPointIsKilledAt compares the failpoints in the source with those at which the harness
// kills, so that a new failpoint cannot be forgotten.
func TestEveryPointIsKilledAt(t *testing.T) {
	t.Parallel()
	root, err := checkoutDir()
	if err != nil {
		t.Fatal(err)
	}
	var found, files, steps []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return errorOr(err, filepath.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, filepath.Join("schemas", "failpoint")) {
			return nil
		}
		raw, err := os.ReadFile(path)
		found = append(found, submatches(pointPattern, raw)...)
		files = append(files, submatches(filePattern, raw)...)
		steps = append(steps, submatches(stepPattern, raw)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, step := range steps {
			found = append(found, file+"."+step)
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(slices.Compact(found), slices.Sorted(maps.Keys(passes))); diff != "" {
		t.Errorf("failpoints of the source (-) and of the harness (+) differ; correct the map passes:\n%s", diff)
	}
	got := len(killPoints()) + len(lostLogPoints)
	want := len(passes)
	if got != want {
		t.Errorf("the rounds kill at %d failpoints, want %d", got, want)
	}
}

// submatches returns what the group of the pattern matches in the text.
func submatches(pattern *regexp.Regexp, text []byte) (all []string) {
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// TestMissedPointsAreNamed checks that the report names the failpoints at which no server was killed.
func TestMissedPointsAreNamed(t *testing.T) {
	t.Parallel()
	r := newReport(1)
	for name := range passes {
		if name != "log.seal.after" {
			r.killedAt(name)
		}
	}
	if got := r.missedPoints(); !slices.Equal(got, []string{"log.seal.after"}) {
		t.Errorf("missed points: got %v, want log.seal.after", got)
	}
}
