package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

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

// OpenLedger reads the newest runs of each job.
func OpenLedger(ctx context.Context, records Records, names []string) (*Ledger, error) {
	l := &Ledger{records: records, runs: map[string][]Run{}}
	for _, name := range names {
		keys, err := records.List(ctx, ledgerPrefix+name+"/")
		if err != nil {
			return nil, fmt.Errorf("read the ledger of job %s: %w", name, err)
		}
		slices.Sort(keys)
		for _, key := range keys[max(0, len(keys)-KeepRuns):] {
			raw, err := records.Get(ctx, key)
			if err != nil {
				return nil, fmt.Errorf("read the ledger of job %s: %w", name, err)
			}
			var r Run
			if err := json.Unmarshal(raw, &r); err != nil {
				return nil, fmt.Errorf("ledger record %s: %w", key, err)
			}
			l.push(r)
		}
	}
	return l, nil
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
