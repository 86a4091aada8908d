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

	"recount/batch/lake"
	"recount/schemas/record"
)

// slow takes as long for a record as a store at some distance.
type slow struct{ Records }

const away = 30 * time.Millisecond

func (s slow) Get(ctx context.Context, key string) ([]byte, error) {
	time.Sleep(away)
	raw, err := s.Records.Get(ctx, key)
	if strings.HasSuffix(key, "spoilt.json") {
		return nil, fmt.Errorf("get %s: %w", key, record.ErrSpoilt)
	}
	return raw, err
}

// TestLedgerOpensInTime: the ledger is for people, so a start neither waits for its records one by one nor
// ends at one that cannot be read; and the order is that of the runs.
func TestLedgerOpensInTime(t *testing.T) {
	dir := t.TempDir()
	records, err := lake.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"work", "play"}
	before := openLedger(t, dir)
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
		"jobs/work/20240501T000003.5-of.json":     `{"job":"play"}`,
		"jobs/work/20240501T000004.5-spoilt.json": "{}"} {
		if _, _, err := records.Create(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		said := &bytes.Buffer{}
		l, err := OpenLedger(t.Context(), slow{records}, names, slog.New(slog.NewTextHandler(said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 20*away {
			t.Errorf("it took %s at %s a record", took, away)
		}
		for name, want := range map[string]int{"work": KeepRuns - 3, "play": KeepRuns} {
			runs := l.Newest(name)
			if len(runs) != want || !runs[0].Start.Equal(start.Add((KeepRuns-1)*time.Second)) ||
				!runs[1].Start.Before(runs[0].Start) {
				t.Errorf("%s: %d runs, want %d, the newest first: %+v", name, len(runs), want, runs[:min(2, len(runs))])
			}
		}
		if n := strings.Count(said.String(), "level=WARN"); n != 3 {
			t.Errorf("%d warnings, want one a record: %s", n, said)
		}
	})
}
