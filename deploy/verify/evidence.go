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
	Cells      *cells.Store // nil where ClickHouse cannot be read; CellsError says why
	CellsError error
	Log        *eventlog.Log // nil where it cannot be read; LogError says why
	LogError   error
	Exact      exact.Config // of the recomputation

	// Keep is how many of the newest publications are kept (P3). Kept, where a server is
	// running, says which are kept at this moment; nil: nothing is being collected.
	Keep int
	Kept func() []uint64

	// OneWriter says that no second process can have written objects: an object that is
	// younger than the record of its segment is then no lander's.
	OneWriter bool
}

// snapshot is the stored state one verification judges.
type snapshot struct {
	chains       []*chain // by partition
	publications []*publication
	kept         []*record.State // ascending
	logs         []bounds        // by partition; nil without a log
	damaged      map[string]bool // keys of objects that V2 found missing or damaged
	horizons     record.Horizons // of types whose old objects may be gone
}

// bounds are the messages [first, next) a partition's log has.
type bounds struct{ first, next uint64 }

// readable reports whether an object's rows can be read: it is sound and not retired.
func (s *snapshot) readable(c *record.Commit, o *record.Object) bool {
	return !s.damaged[o.Key] && !s.horizons.Retired(c, o)
}

// incomplete reports whether commit records are missing or cannot be read (V1). What they hold is
// then missing everywhere, and to say so again for every bucket would hide the one record that is at fault.
func (s *snapshot) incomplete() bool {
	return slices.ContainsFunc(s.chains, func(c *chain) bool { return c.incomplete })
}

const becauseOfChains = "commit records are missing or cannot be read (V1), so nobody can say what should be there"

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

// look reads the small records: publications first, then chains, then the log's
// bounds, so that each is at least as new as what the ones before refer to.
func (e *Evidence) look(ctx context.Context, r *recorder) (*snapshot, error) {
	s := &snapshot{damaged: map[string]bool{}}
	var err error
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
