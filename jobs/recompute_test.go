package jobs

import (
	"strings"
	"testing"

	"recount/batch/publish"
)

// TestDescribe checks that a run that could not find anything yet says so.
func TestDescribe(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]publish.Result{
		"nothing has landed; events that were just accepted land within landing.cut_interval": {Publication: 1},
		"nothing new has landed; events that were just accepted land":                         {Nothing: true},
		"7 events in 1 bucket, 2 duplicates, 1 conflict": {
			Events: 7, Buckets: 1, Duplicates: 2, Conflicts: 1,
		},
		"1 event in 2 buckets, 1 duplicate, 0 conflicts": {
			Events: 1, Buckets: 2, Duplicates: 1,
		},
		"0 events in 3 buckets": {Buckets: 3},
	} {
		if got := describe(r); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
}
