package verify

import (
	"context"
	"fmt"
	"slices"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/lake"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// Evidence is what a recount has stored, opened for reading.
type Evidence struct {
	Catalog    *catalog.Catalog
	Partitions int
	Records    *lake.CommitLog
	Objects    *lake.Store
	Cells      *cells.Store // nil if ClickHouse cannot be read; CellsError says why
	CellsError error
	Log        *eventlog.Log // nil if the log cannot be read; LogError says why
	LogError   error
	Exact      exact.Config // of the recomputation

	// Keep is how many of the newest publications are kept (P3).
	Keep int
	// Kept returns the publications that a running server keeps at this moment. It is nil offline, where
	// nothing is collected meanwhile.
	Kept func() []uint64

	// OneWriter says that only one process can have written objects. Then no lander has written an object
	// that is younger than the record of its segment.
	OneWriter bool
}

// snapshot is the stored state that one verification judges.
type snapshot struct {
	chains       []*chain // by partition
	publications []*publication
	witnesses    []witness       // of the highest publication, read before publications
	kept         []*record.State // ascending
	logs         []bounds        // by partition; nil without a log
	damaged      map[string]bool // keys of the objects that V2 found missing or damaged
	horizons     record.Horizons // of types whose old objects may be missing
}

// bounds are the bounds of a partition's log: it has the messages [first, next).
type bounds struct{ first, next uint64 }

// readable reports whether an object's rows can be read: it is neither damaged nor retired.
func (s *snapshot) readable(c *record.Commit, o *record.Object) bool {
	return !s.damaged[o.Key] && !s.horizons.Retired(c, o)
}

// incomplete reports whether commit records are missing or cannot be read (V1). Their events are then
// missing everywhere. A finding for every bucket would hide the one broken record.
func (s *snapshot) incomplete() bool {
	return slices.ContainsFunc(s.chains, func(c *chain) bool { return c.incomplete })
}

const becauseOfChains = "commit records are missing or cannot be read (V1), so it is unknown what should be stored"

// segmentsBelow returns a chain's segments that end at or before H.
func (s *snapshot) segmentsBelow(p int, h position.Offset) []*record.Commit {
	if p >= len(s.chains) {
		return nil
	}
	all := s.chains[p].segments
	n := 0
	for n < len(all) && all[n].End <= h.Seq {
		n++
	}
	return all[:n]
}

// readSnapshot reads the small records: first publications, then chains, then the log's bounds. So
// each contains what the records read before refer to.
func (e *Evidence) readSnapshot(ctx context.Context, r *recorder) (*snapshot, error) {
	s := &snapshot{damaged: map[string]bool{}}
	var err error
	if s.witnesses, err = readWitnesses(ctx, e); err != nil {
		return nil, fmt.Errorf("read what names publications: %w", err)
	}
	if s.publications, err = readPublications(ctx, e, r); err != nil {
		return nil, fmt.Errorf("read publications: %w", err)
	}
	if s.kept, err = keptStates(ctx, e, r, s.publications); err != nil {
		return nil, fmt.Errorf("read the kept publications: %w", err)
	}
	if s.chains, err = readChains(ctx, e, r); err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	retired, err := e.Records.List(ctx, record.RetiredPrefix)
	if err == nil {
		s.horizons, err = record.HorizonsOf(retired)
	}
	if err != nil {
		return nil, fmt.Errorf("read retirements: %w", err)
	}
	if e.Log == nil {
		return s, nil
	}
	for p := range e.Partitions {
		first, next, err := e.Log.Bounds(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		s.logs = append(s.logs, bounds{first, next})
	}
	return s, nil
}
