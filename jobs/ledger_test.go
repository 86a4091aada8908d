package jobs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

// slowRecords reads each record with the delay of a remote store.
type slowRecords struct{ record.CommitLog }

const readDelay = 30 * time.Millisecond

func (s slowRecords) Get(ctx context.Context, key string) ([]byte, error) {
	time.Sleep(readDelay)
	raw, err := s.CommitLog.Get(ctx, key)
	if strings.HasSuffix(key, "corrupt.json") {
		return nil, fmt.Errorf("get %s: %w", key, record.ErrCorrupt)
	}
	return raw, err
}

// TestLedgerOpensInTime opens a ledger in a slow store. Records are read in parallel, a record that
// cannot be read is skipped, and the runs keep their order.
func TestLedgerOpensInTime(t *testing.T) {
	records := &recordtest.Memory{}
	names := []string{"work", "play"}
	before := openLedger(t, records)
	start := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for i := range KeepRuns {
		for _, name := range names {
			if err := before.Add(t.Context(),
				Run{ID: "x", Job: name, Start: start.Add(time.Duration(i) * time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, body := range map[string]string{"jobs/work/20240501T000002.5-no.json": "no record",
		"jobs/work/20240501T000003.5-of.json":      `{"job":"play"}`,
		"jobs/work/20240501T000004.5-corrupt.json": "{}",
		"jobs/work/20240501T000006.5-new.json":     `{"format":2,"job":"work"}`} {
		if _, _, err := records.Create(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	// A record of the first format, without a header.
	if _, _, err := records.Create(t.Context(), "jobs/work/20240501T000005.5-old.json",
		[]byte(`{"id":"old","job":"work","start":"2024-05-01T00:00:05.5Z"}`)); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		lines := &bytes.Buffer{}
		l, err := OpenLedger(t.Context(), slowRecords{records}, names, slog.New(slog.NewTextHandler(lines, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 20*readDelay {
			t.Errorf("opening took %s, with %s for each record", took, readDelay)
		}
		for name, want := range map[string]int{"work": KeepRuns - 3, "play": KeepRuns} {
			runs := l.Newest(name)
			if len(runs) != want || !runs[0].Start.Equal(start.Add((KeepRuns-1)*time.Second)) ||
				!runs[1].Start.Before(runs[0].Start) {
				t.Errorf("%s: got %d runs, want %d with the newest first: %+v", name, len(runs), want,
					runs[:min(2, len(runs))])
			}
		}
		if n := strings.Count(lines.String(), "level=WARN"); n != 3 {
			t.Errorf("got %d warnings, want one for each unreadable record: %s", n, lines)
		}
	})
}
