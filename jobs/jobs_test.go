package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

func openLedger(t *testing.T, records record.CommitLog) *Ledger {
	t.Helper()
	l, err := OpenLedger(t.Context(), records, []string{"work"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func scheduler(t *testing.T, l *Ledger, jobs ...Job) *Scheduler {
	t.Helper()
	s, err := NewScheduler(jobs, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"@every 1m", "@hourly", "0 0 29 2 *", "*/5 * * * *", "30 */5 * * * *"} {
		if _, err := ParseSchedule(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "often", "* * *", "61 * * * *", "TZ=Europe/Paris * * * * *", "CRON_TZ=x @hourly",
		"TZ=", "@every 0s", "@every -1h", "@every 1500ms", "0 0 31 2 *", "0 0 30 2 *", strings.Repeat("*", 300)} {
		if _, err := ParseSchedule(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestScheduledRuns uses a fake clock and a job that takes longer than its interval. Starts are
// skipped while it runs, and Run waits for it at the end.
func TestScheduledRuns(t *testing.T) {
	records := &recordtest.Memory{}
	synctest.Test(t, func(t *testing.T) {
		var started, running atomic.Int64
		work := Job{Name: "work", Schedule: "@every 10s", Run: func(ctx context.Context) (Report, error) {
			started.Add(1)
			if running.Add(1) > 1 {
				t.Error("the job runs twice at the same time")
			}
			defer running.Add(-1)
			select {
			case <-time.After(25 * time.Second):
			case <-ctx.Done():
			}
			return Report{Rows: 1}, ctx.Err()
		}}
		s := scheduler(t, openLedger(t, records), work)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(71 * time.Second)
		if _, err := s.Start(ctx, "work"); !errors.Is(err, ErrRunning) {
			t.Errorf("start while it runs: got %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		got := started.Load()
		want := int64(3)
		if got != want {
			t.Errorf("started %d times, want %d: at 10 s, 40 s and 70 s", got, want)
		}
		if running.Load() != 0 {
			t.Error("Run did not wait for the job")
		}
	})
}

func TestPanicIsAnErrorOfTheRun(t *testing.T) {
	t.Parallel()
	s := scheduler(t, openLedger(t, &recordtest.Memory{}),
		Job{Name: "work", Run: func(context.Context) (Report, error) { panic("boom") }})
	run, err := s.Start(t.Context(), "work")
	if err != nil || !strings.Contains(run.Error, "boom") {
		t.Errorf("got %+v, %v", run, err)
	}
}

func TestLedgerSurvives(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	n := int64(0)
	work := Job{Name: "work",
		Run: func(context.Context) (Report, error) {
			n++
			return Report{Rows: n, Message: "did it"}, nil
		}}
	s := scheduler(t, openLedger(t, records), work)
	for range 3 {
		if _, err := s.Start(t.Context(), "work"); err != nil {
			t.Fatal(err)
		}
	}
	before := s.List()[0].Runs
	after := openLedger(t, records).Newest("work")
	if diff := cmp.Diff(before, after); diff != "" || len(after) != 3 || after[0].Rows != 3 {
		t.Errorf("%d runs after reopening: %s", len(after), diff)
	}
}

// fakeLog records up to where it was trimmed.
type fakeLog struct{ first, next, trimmed uint64 }

func (l *fakeLog) Bounds(context.Context, int) (uint64, uint64, error) { return l.first, l.next, nil }
func (l *fakeLog) Trim(_ context.Context, _ int, below uint64) error {
	l.trimmed = below
	return nil
}

func TestExpire(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	l := openLedger(t, records)
	for i := range KeepRuns + 5 {
		if err := l.Add(t.Context(), Run{ID: "x", Job: "work", Start: time.Unix(int64(i), 0).UTC()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ bound, want uint64 }{{5, 0}, {12, 12}, {99, 20}} {
		log := &fakeLog{first: 10, next: 20}
		job := Expire("", log, func(context.Context) error { return nil },
			func(context.Context) ([]uint64, error) { return []uint64{c.bound}, nil }, l, records,
			func(context.Context) (int64, error) { return 0, nil })
		if _, err := job.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if log.trimmed != c.want {
			t.Errorf("bound %d: trimmed below %d, want %d (L6)", c.bound, log.trimmed, c.want)
		}
	}
	if left := openLedger(t, records).Newest("work"); len(left) != KeepRuns || left[KeepRuns-1].Start.Unix() != 5 {
		t.Errorf("%d runs are left", len(left))
	}
	if len(records.Bodies) != KeepRuns {
		t.Errorf("%d records are left, want %d", len(records.Bodies), KeepRuns)
	}
}

// TestExpireRemovesNothing checks that expire removes nothing when what is stored is not what it must be.
func TestExpireRemovesNothing(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	l := openLedger(t, records)
	for i := range KeepRuns + 5 {
		if err := l.Add(t.Context(), Run{ID: "x", Job: "work", Start: time.Unix(int64(i), 0).UTC()}); err != nil {
			t.Fatal(err)
		}
	}
	log := &fakeLog{first: 10, next: 20}
	bad := errors.New("a commit record is missing")
	job := Expire("", log, func(context.Context) error { return bad },
		func(context.Context) ([]uint64, error) { return []uint64{12}, nil }, l, records,
		func(context.Context) (int64, error) {
			t.Error("dead letters were retired")
			return 0, nil
		})
	if _, err := job.Run(t.Context()); !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
	if log.trimmed != 0 || len(records.Bodies) != KeepRuns+5 {
		t.Errorf("trimmed below %d and %d runs are left, want nothing removed", log.trimmed, len(records.Bodies))
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	h := scheduler(t, openLedger(t, &recordtest.Memory{}),
		Job{Name: "work", Schedule: "@hourly",
			Run: func(context.Context) (Report, error) { return Report{Publication: 7}, nil }},
		Job{Name: "bad", Run: func(context.Context) (Report, error) { return Report{}, errors.New("no luck: 1 < 2") }},
	).Handler()
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"POST", "/v1/jobs/work/runs", 200, `"publication":7`},
		{"POST", "/v1/jobs/bad/runs", 500, "no luck: 1 < 2"},
		{"POST", "/v1/jobs/none/runs", 404, `"code":"unknown_job"`},
		{"GET", "/v1/jobs/work/runs", 405, ""},
		{"GET", "/v1/jobs", 200, `"schedule":"@hourly"`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, http.NoBody))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: status %d: %s", c.method, c.path, w.Code, w.Body)
		}
		if w.Code != 405 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %s", c.method, c.path, w.Body)
		}
	}
}
