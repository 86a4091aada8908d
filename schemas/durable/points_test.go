//go:build failpoints

package durable

import (
	"path/filepath"
	"slices"
	"testing"

	"recount/schemas/failpoint"
)

func TestReplaceReachesItsPointsInOrder(t *testing.T) {
	want := []string{"temp.before", "fsync.before", "rename.before", "rename.after", "folder.after"}
	var got []string
	for _, step := range want {
		failpoint.OnReach("durable_test."+step, func() { got = append(got, step) })
		defer failpoint.OnReach("durable_test."+step, nil)
	}
	f := File{Path: filepath.Join(t.TempDir(), "marks"), Mode: 0o600, Points: "durable_test"}
	if err := f.WriteAll(nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the points %v, want %v", got, want)
	}
}
