package jobs

import (
	"strings"
	"testing"

	"recount/batch/publish"
)

// TestFound: a run that could find nothing yet says so.
func TestFound(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]publish.Result{
		"nothing has landed; what was just accepted lands within landing.cut_interval": {Publication: 1},
		"nothing new has landed; what was just accepted lands":                         {Nothing: true},
		"7 events of 1 buckets, 2 duplicates of which 1 conflict": {Events: 7, Buckets: 1,
			Duplicates: 2, Conflicts: 1},
		"0 events of 3 buckets": {Buckets: 3},
	} {
		if got := found(r); !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
}
