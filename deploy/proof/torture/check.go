package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"recount/deploy/client"
	"recount/schemas/query"
)

// hits are the counts that a server answers for one page.
type hits struct {
	Page  string `json:"page"`
	Hits  int64  `json:"hits"`
	N     int64  `json:"n"`
	Users int64  `json:"users"`
}

// answer is the answer to a query.
type answer struct {
	rows     []hits
	accuracy query.Accuracy
}

// askTimeout is how long a server may take to answer the harness.
const askTimeout = 10 * time.Second

// newAsker returns a client that asks once: the harness wants to know the state at this moment.
func newAsker(url string) (*client.Client, error) {
	return client.New(client.Config{URL: url, Timeout: askTimeout, Retry: client.Retry{Attempts: 1},
		Breaker: client.Breaker{Failures: -1}})
}

// query asks for the hits of every page.
func (s *server) query(ctx context.Context, mode query.Mode) (a answer, err error) {
	summary, err := s.asker.Query(ctx, &query.Query{View: "hits", Mode: mode, GroupBy: []string{"page"},
		From: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}, &a.rows)
	a.accuracy = summary.Accuracy
	return a, err
}

// recompute runs the job. It fails where the server runs no jobs, or while the job is running.
func (s *server) recompute(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := s.asker.RunJob(ctx, "recompute")
	return err
}

// difference is the difference between an answer and the acknowledged events.
type difference struct {
	lost, double int64    // events that are missing from the answer, or counted twice
	wrong        []string // wrong describes each page that differs.
	state        string   // state describes the answer's publication and partitions.
}

func (d *difference) err(mode query.Mode) error {
	if len(d.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("answer in mode %s: %d events lost, %d counted twice (%s): %s", mode, d.lost, d.double, d.state,
		strings.Join(d.wrong[:min(3, len(d.wrong))], "; "))
}

// compare compares an answer with the acknowledged events.
func (l *load) compare(a answer) *difference {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &difference{state: fmt.Sprintf("publication %d, %d events pending, stale partitions %v",
		a.accuracy.Publication, a.accuracy.PendingEvents, a.accuracy.StalePartitions)}
	got := map[string][3]int64{}
	for _, r := range a.rows {
		users := r.Users
		if c := l.truth[r.Page]; c != nil && a.accuracy.PendingEvents > 0 {
			users = int64(len(c.users)) // Until all is published the answer is an estimate within bounds.
		}
		got[r.Page] = [3]int64{r.Hits, r.N, users}
		if l.truth[r.Page] == nil {
			d.double += r.Hits
			d.wrong = append(d.wrong, "page "+r.Page+": no event of it was ever sent")
		}
	}
	for page, c := range l.truth {
		want := [3]int64{c.Hits, c.N, int64(len(c.users))}
		if got[page] != want {
			d.lost = d.lost + max(0, want[0]-got[page][0])
			d.double = d.double + max(0, got[page][0]-want[0])
			d.wrong = append(d.wrong, fmt.Sprintf("page %s: hits, sum and users are %v, want %v",
				page, got[page], want))
		}
	}
	return d
}

// agreeLimit is how long after the last acknowledgement the server may need to publish everything.
const agreeLimit = 60 * time.Second

// agree waits until the server's exact and merged answers equal what was acknowledged.
func (s *server) agree(ctx context.Context) error {
	var last *difference
	for _, mode := range []query.Mode{query.Merged, query.Exact, query.Merged} {
		err := eventually(ctx, agreeLimit, func() error {
			if mode == query.Exact {
				_ = s.recompute(ctx) // The answer decides.
			}
			a, err := s.query(ctx, mode)
			if err != nil {
				return err
			}
			last = s.w.load.compare(a)
			return last.err(mode)
		})
		if err != nil {
			if last != nil {
				s.w.h.report.wrong(last)
			}
			return fmt.Errorf("server %d: %w", s.n, err)
		}
	}
	return nil
}

// finishLimit is how long the client may need for its open requests.
const finishLimit = 60 * time.Second

// finish ends a round. It lets the client finish, compares every server's answers with the
// acknowledged events, stops the servers as an operator would, and runs recount verify.
func (w *world) finish(ctx context.Context) error {
	for _, s := range w.servers {
		if s.proc.endsWithin(0) {
			if err := s.start(ctx); err != nil {
				return err
			}
		}
	}
	if err := w.load.finish(finishLimit); err != nil {
		return err
	}
	for _, s := range w.servers {
		if err := s.agree(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, s := range w.servers {
		errs = append(errs, s.proc.drain())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.verify(ctx)
}

// verify runs recount verify over the files that the servers left.
func (w *world) verify(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, w.h.binary, "verify", "--config", w.config, "--data-dir", w.servers[0].dir,
		"--ack-log", w.load.file.Name())
	cmd.Dir = w.h.root
	cmd.Env = w.engineKeys()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("recount verify: %w\n%s", err, out)
	}
	w.h.report.verified()
	return nil
}
