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

	"recount/schemas/record"
)

// Remover deletes old ledger records.
type Remover interface {
	Delete(ctx context.Context, keys ...string) error
}

// KeepRuns is how many runs of a job the ledger shows. Expire removes the records of older runs.
const KeepRuns = 100

const ledgerPrefix = "jobs/"

// Ledger keeps the results of runs, the newest first. Its records are create-only, so that two
// processes that run the same job never overwrite each other's records. A run is the record
// jobs/{job}/20060102T150405.000000000Z-{id}.json, named by its start:
//
//	{"format":1,"id":"K3V5ABCDEFGH","job":"recompute","trigger":"schedule","start":"…","end":"…",
//	 "error":"…","rows":12,"publication":7,"message":"…"}
//
// The trigger is schedule or request. The last four members are left out where they are empty.
type Ledger struct {
	records record.CommitLog

	mu   sync.Mutex
	runs map[string][]Run
}

// maxReads is how many records of a ledger are read at the same time.
const maxReads = 16

// OpenLedger reads the newest runs of each job. It skips a record that cannot be read and logs a
// warning, because nothing depends on the ledger.
func OpenLedger(ctx context.Context, records record.CommitLog, names []string,
	logger *slog.Logger) (*Ledger, error) {
	l := &Ledger{records: records, runs: map[string][]Run{}}
	for _, name := range names {
		keys, err := records.List(ctx, ledgerPrefix+name+"/")
		if err != nil {
			return nil, fmt.Errorf("read the ledger of job %s: %w", name, err)
		}
		slices.Sort(keys)
		keys = keys[max(0, len(keys)-KeepRuns):]
		runs := make([]*Run, len(keys))
		g, groupCtx := errgroup.WithContext(ctx)
		g.SetLimit(maxReads)
		for i, key := range keys {
			g.Go(func() (err error) {
				runs[i], err = getRun(groupCtx, records, name, key)
				if errors.Is(err, errNoRun) {
					logger.Warn("a run is left out of the list of jobs: its ledger record cannot be read", "error", err)
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

// errNoRun is wrapped by the error about a ledger record that holds no run.
var errNoRun = errors.New("unreadable ledger record")

// storedRun is the record of a run.
type storedRun struct {
	record.Header
	Run
}

func getRun(ctx context.Context, records record.CommitLog, name, key string) (*Run, error) {
	raw, err := records.Get(ctx, key)
	if errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrNotFound) { // Another process may have removed it.
		return nil, fmt.Errorf("%w: %w", errNoRun, err)
	}
	if err != nil {
		return nil, err
	}
	var r storedRun
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errNoRun, key, err)
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errNoRun, key, err)
	}
	if r.Job != name {
		return nil, fmt.Errorf("%w %s: it belongs to job %q", errNoRun, key, r.Job)
	}
	return &r.Run, nil
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
	raw, err := json.Marshal(storedRun{record.NewHeader(), r})
	if err != nil {
		return fmt.Errorf("encode ledger record: %w", err)
	}
	key := fmt.Sprintf("%s%s/%s-%s.json", ledgerPrefix, r.Job, r.Start.Format("20060102T150405.000000000Z"), r.ID)
	if _, _, err := l.records.Create(ctx, key, raw); err != nil {
		return fmt.Errorf("write ledger record: %w", err)
	}
	return nil
}

// Newest returns the newest runs of a job, the newest first. The slice is never nil.
func (l *Ledger) Newest(name string) []Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Run{}, l.runs[name]...)
}

// Expire removes all but the newest KeepRuns records of each job and returns how many it removed.
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
