package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"recount/batch/lake"
	"recount/schemas/record"
)

// Records is where the ledger keeps runs: create-only, so that two processes that
// run one job never overwrite each other's.
type Records interface {
	Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error)
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
}

// Remover deletes ledger records that are past their time.
type Remover interface {
	Delete(ctx context.Context, keys ...string) error
}

// KeepRuns is how many runs of a job the ledger shows and, after expire, keeps.
const KeepRuns = 100

const ledgerPrefix = "jobs/"

// Ledger is what jobs came to, newest first.
type Ledger struct {
	records Records

	mu   sync.Mutex
	runs map[string][]Run
}

// getsAtOnce is how many records of a ledger are read at the same time.
const getsAtOnce = 16

// OpenLedger reads the newest runs of each job. A record that cannot be read is passed over
// with a warning: nothing depends on it.
func OpenLedger(ctx context.Context, records Records, names []string, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{records: records, runs: map[string][]Run{}}
	for _, name := range names {
		keys, err := records.List(ctx, ledgerPrefix+name+"/")
		if err != nil {
			return nil, fmt.Errorf("read the ledger of job %s: %w", name, err)
		}
		slices.Sort(keys)
		keys = keys[max(0, len(keys)-KeepRuns):]
		runs := make([]*Run, len(keys))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(getsAtOnce)
		for i, key := range keys {
			g.Go(func() (err error) {
				runs[i], err = getRun(gctx, records, name, key)
				if errors.Is(err, errNoRun) {
					log.Warn("a run is left out of the list of jobs", "error", err)
					return nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, fmt.Errorf("read the ledger of job %s: %w", name, err)
		}
		for _, r := range runs {
			if r != nil {
				l.push(*r)
			}
		}
	}
	return l, nil
}

// errNoRun is wrapped by the error about a ledger record that says nothing.
var errNoRun = errors.New("unreadable ledger record")

func getRun(ctx context.Context, records Records, name, key string) (*Run, error) {
	raw, err := records.Get(ctx, key)
	if errors.Is(err, record.ErrSpoilt) || errors.Is(err, lake.ErrNotFound) { // Another process may have removed it.
		return nil, fmt.Errorf("%w: %w", errNoRun, err)
	}
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(raw, &r); err != nil || r.Job != name {
		return nil, fmt.Errorf("%w %s of job %q: %v", errNoRun, key, r.Job, err)
	}
	return &r, nil
}

func (l *Ledger) push(r Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	runs := append([]Run{r}, l.runs[r.Job]...)
	l.runs[r.Job] = runs[:min(len(runs), KeepRuns)]
}

// Add records a finished run.
func (l *Ledger) Add(ctx context.Context, r Run) error {
	l.push(r)
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode ledger record: %w", err)
	}
	key := fmt.Sprintf("%s%s/%s-%s.json", ledgerPrefix, r.Job, r.Start.Format("20060102T150405.000000000Z"), r.ID)
	if _, _, err := l.records.Create(ctx, key, raw); err != nil {
		return fmt.Errorf("write ledger record: %w", err)
	}
	return nil
}

// Newest returns the newest runs of a job, newest first; never nil.
func (l *Ledger) Newest(name string) []Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Run{}, l.runs[name]...)
}

// Expire removes all but the newest KeepRuns records of every job and returns how many.
func (l *Ledger) Expire(ctx context.Context, remove Remover) (int64, error) {
	keys, err := l.records.List(ctx, ledgerPrefix)
	if err != nil {
		return 0, fmt.Errorf("expire the ledger: %w", err)
	}
	byJob := map[string][]string{}
	for _, k := range keys {
		name, _, _ := strings.Cut(strings.TrimPrefix(k, ledgerPrefix), "/")
		byJob[name] = append(byJob[name], k)
	}
	var old []string
	for _, ks := range byJob {
		slices.Sort(ks)
		old = append(old, ks[:max(0, len(ks)-KeepRuns)]...)
	}
	if len(old) == 0 {
		return 0, nil
	}
	if err := remove.Delete(ctx, old...); err != nil {
		return 0, fmt.Errorf("expire the ledger: %w", err)
	}
	return int64(len(old)), nil
}
