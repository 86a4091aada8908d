package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/publish"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
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
	// Kept returns the publications that are kept at this moment. It is nil where no process runs that could publish,
	// trim or collect meanwhile.
	Kept func(context.Context) ([]uint64, error)

	// Foresee says what a start would do with the evidence. It is nil where a process has started already.
	Foresee func(context.Context) Outlook

	// OneWriter says that only one process can have written objects. Then no lander has written an object
	// that is younger than the record of its segment.
	OneWriter bool
}

// snapshot is the stored state that one verification judges.
type snapshot struct {
	chains       []*chain // by partition
	publications []*publication
	forgotten    *record.Forgotten           // nil if no publication was forgotten
	witnesses    []witness                   // of the highest publication, read before publications
	kept         []*record.State             // ascending
	counted      map[string]map[string]int64 // what the rows of the newest of kept count; nil where that is not known
	countedError error                       // why counted is not known
	logs         []bounds                    // by partition; nil without a log
	damaged      map[string]bool             // keys of the objects that V2 found missing or damaged
	identity     eventbatch.Identity         // rule of the installation (I1); empty if it cannot be known
	adopted      bool                        // an older program began the data
	horizons     record.Horizons             // of types whose old objects may be missing
	decoded      decodedMessage              // the one of those read that names the highest generation
}

// decodedMessage is a message with the generation by which ingest decoded it.
type decodedMessage struct {
	partition       int
	seq, generation uint64
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
// each contains what the records read before refer to. Where the log begins is read before the chains, because a
// running system trims only what the chains already have.
func (e *Evidence) readSnapshot(ctx context.Context, r *recorder) (*snapshot, error) {
	s := &snapshot{damaged: map[string]bool{}}
	var err error
	if s.witnesses, err = readWitnesses(ctx, e); err != nil {
		return nil, fmt.Errorf("read what names publications: %w", err)
	}
	if s.publications, s.forgotten, err = readPublications(ctx, e, r); err != nil {
		return nil, fmt.Errorf("read publications: %w", err)
	}
	if s.kept, err = keptStates(ctx, e, r, s.publications); err != nil {
		return nil, fmt.Errorf("read the kept publications: %w", err)
	}
	s.counted, s.countedError = countRows(ctx, e, r, s.kept)
	for p := range e.Partitions {
		if e.Log == nil {
			break
		}
		first, _, err := e.Log.Bounds(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		s.logs = append(s.logs, bounds{first: first})
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
	for p := range s.logs {
		if _, s.logs[p].next, err = e.Log.Bounds(ctx, p); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
	}
	return s, nil
}

// countRows counts the events of the newest kept publication's rows. It does so at once: a running system may collect
// the publication before the larger checks are through, and then its rows are missing on purpose.
func countRows(ctx context.Context, e *Evidence, r *recorder, kept []*record.State) (map[string]map[string]int64,
	error) {
	if len(kept) == 0 || e.Cells == nil {
		return nil, nil
	}
	newest := kept[len(kept)-1]
	counted, err := e.Cells.EventsByView(ctx, newest)
	if err != nil {
		return nil, err
	}
	expired, err := e.expired(ctx, r, newest.N)
	if expired {
		return nil, err
	}
	return counted, err
}

// expired reports whether a publication that was kept when the run began is kept no longer, so that its rows may have
// been collected.
func (e *Evidence) expired(ctx context.Context, r *recorder, n uint64) (bool, error) {
	if e.Kept == nil {
		return false, nil
	}
	kept, err := e.Kept(ctx)
	if err != nil || slices.Contains(kept, n) {
		return false, err
	}
	r.addNote("publication %d expired during the run, so its rows were not judged to the end; raise batch.keep, pin a "+
		"publication, or verify a stopped system to have all rows judged", n)
	return true, nil
}

// KeptIn returns what reads from the records which publications the processes of a cluster keep at least: the newest
// and the pinned ones.
func KeptIn(records *lake.CommitLog, keep int) func(context.Context) ([]uint64, error) {
	return func(ctx context.Context) ([]uint64, error) {
		keys, err := records.List(ctx, record.PublicationPrefix)
		if err != nil {
			return nil, err
		}
		var published, kept []uint64
		for _, key := range keys {
			if n, ok := record.PublicationNumber(key); ok {
				published = append(published, n)
				continue
			}
			n, err := strconv.ParseUint(strings.TrimPrefix(key, publish.PinPrefix), 10, 64)
			if err == nil {
				kept = append(kept, n)
			}
		}
		slices.Sort(published)
		kept = append(kept, published[max(0, len(published)-keep):]...)
		slices.Sort(kept)
		return slices.Compact(kept), nil
	}
}
