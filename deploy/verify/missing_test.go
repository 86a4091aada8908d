package verify_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"recount/batch/lake"
	"recount/deploy/verify"
	"recount/schemas/record"
)

// TestJobsRefuse starts a server on a store that lacks records. The jobs that publish or delete must fail with
// an error that names a record.
func TestJobsRefuse(t *testing.T) {
	for name, forget := range map[string]func(*testing.T, *world) []string{
		"newest commit records": func(t *testing.T, w *world) (keys []string) {
			h := w.publication(t, 0).H[1].Seq
			for _, seg := range w.chain(t, 1).Segments {
				if seg.End >= h {
					keys = append(keys, record.CommitKey(seg.Epoch, 1, seg.Start))
				}
			}
			return keys
		},
		"newest publication": func(t *testing.T, w *world) []string {
			return []string{record.PublicationKey(w.publication(t, 0).N)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := shared.copied(t)
			missing := forget(t, w)
			w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), missing...) })
			url := w.serve(t)
			for _, job := range []string{"collect", "expire", "recompute"} {
				resp, err := http.Post(url+"/v1/jobs/"+job+"/runs", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusInternalServerError ||
					!strings.Contains(string(body), "lacks records") {
					t.Errorf("%s: %d %s, %v; want 500 and what is missing", job, resp.StatusCode, body, err)
				}
			}
			_, _, report, err := connect(t, url).verify(t.Context(), nil)
			if err != nil || !slices.ContainsFunc(report.Findings,
				func(f verify.Finding) bool { return f.Check == verify.V5 }) {
				t.Errorf("verify of the running server: %v, want a finding of V5: %s", err, dump(report))
			}
		})
	}
}
