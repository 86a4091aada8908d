package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount/batch/publish"
	"recount/jobs"
	"recount/schemas/position"
	"recount/schemas/record"
)

// publication is a record of the publication chain, without its lists of buckets.
type publication struct {
	*record.Publication
	digest     string
	overflowed map[string]bool // by view, whether it lists events that overflowed
	byIngest   bool            // ingest decided which ones
}

// readPublications reads every publication in order, without its lists of buckets, and the record of forgotten
// publications. A year of these lists would not fit in memory, and only those of kept publications are needed.
// A running server may forget publications meanwhile. Then it begins again.
func readPublications(ctx context.Context, e *Evidence, r *recorder) (out []*publication, f *record.Forgotten,
	err error) {
	for range 3 {
		var places []place
		if places, f, err = listPublications(ctx, e, r); err != nil {
			return nil, nil, err
		}
		if out, err = readListed(ctx, e, r, places); !errors.Is(err, record.ErrNotFound) {
			break
		}
	}
	return out, f, err
}

// listPublications lists the publications that are not forgotten. Collect deletes the others at its next run.
func listPublications(ctx context.Context, e *Evidence, r *recorder) (places []place, f *record.Forgotten, err error) {
	keys, err := e.Records.List(ctx, record.PublicationPrefix)
	if err != nil {
		return nil, nil, err
	}
	var forgotten []string
	for _, key := range keys {
		if strings.HasPrefix(key, record.ForgottenPrefix) {
			forgotten = append(forgotten, key)
		}
	}
	if f, err = readForgotten(ctx, e, r, forgotten); err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		n, ok := record.PublicationNumber(key)
		switch {
		case ok && !f.Forgets(n):
			places = append(places, place{key: key})
		case !ok && !strings.HasPrefix(key, publish.PinPrefix) && !strings.HasPrefix(key, publish.CollectedPrefix) &&
			!strings.HasPrefix(key, record.ForgottenPrefix):
			r.find(V5, Place{File: key}, "find out which program wrote it, and remove it",
				"the key is not that of a publication, of a pin, or of a horizon of collection")
		}
	}
	return places, f, nil
}

// readForgotten reads the newest record of forgotten publications, or returns nil.
func readForgotten(ctx context.Context, e *Evidence, r *recorder, keys []string) (*record.Forgotten, error) {
	before, err := record.NewestForgotten(keys)
	if err == nil && before == 0 {
		return nil, nil
	}
	where := Place{File: record.ForgottenKey(before)}
	if err != nil {
		r.find(V5, where, "find out which program wrote it, and remove it", "%v", err)
		return nil, nil
	}
	bodies, err := getAll(ctx, e, []place{{key: where.File}})
	if err != nil {
		return nil, err
	}
	f, err := read(bodies[0], record.DecodeForgotten)
	if err != nil {
		r.find(V5, where, restorePublication, "the record of forgotten publications cannot be read: %v", err)
	}
	return f, nil
}

func readListed(ctx context.Context, e *Evidence, r *recorder, places []place) (out []*publication, err error) {
	for window := range slices.Chunk(places, windowGets/8) {
		bodies, err := getAll(ctx, e, window)
		if err != nil {
			return nil, err
		}
		for i, at := range window {
			p, err := read(bodies[i], record.DecodePublication)
			if err != nil {
				r.find(V5, Place{File: at.key}, restorePublication, "the publication cannot be read: %v", err)
				continue
			}
			if record.PublicationKey(p.N) != at.key {
				r.find(V5, Place{File: at.key, Publication: p.N}, restorePublication,
					"the record says that it is publication %d", p.N)
				continue
			}
			digest := record.Digest(bodies[i].raw)
			overflowed, byIngest := overflowedViews(p)
			p.Views = nil
			p.Types = nil
			p.Ledgers = nil
			out = append(out, &publication{p, digest, overflowed, byIngest})
		}
		r.progress("V5 publications", int64(len(out)), int64(len(places)))
	}
	r.examine(V5, int64(len(places)), "publications")
	return out, nil
}

const restorePublication = "restore publish/ from a copy of the object store; answers since then may have come from " +
	"a forged record"

// witness says that publication n existed. A reader of the chain of publications cannot tell that its
// last records are missing, so others are asked.
type witness struct {
	n    uint64
	name string
	do   string // what to do with the witness if the publication is lost for ever
}

// readWitnesses asks what else names a publication. It must be called before publications are read: a
// running server may publish meanwhile. Pins are another witness, which keptNumbers asks (V9).
func readWitnesses(ctx context.Context, e *Evidence) (out []witness, err error) {
	if e.Kept != nil {
		kept, err := e.Kept(ctx)
		if err != nil {
			return nil, err
		}
		if len(kept) > 0 {
			out = append(out, witness{kept[len(kept)-1], "the running server", "restart the server"})
		}
	}
	if e.Cells != nil {
		n, err := e.Cells.Projected(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, witness{n, "ClickHouse (recount_published)", "delete the rows of recount_published with " +
			"a higher n than the newest record's (embedded: move data_dir/clickhouse away; its rows are computed " +
			"again)"})
	}
	horizons, err := newestHorizons(ctx, e)
	if err != nil {
		return nil, err
	}
	run, err := newestRun(ctx, e)
	return append(append(out, horizons...), run), err
}

// newestRun returns the run of the job recompute that names the highest publication, of the latest ones. It goes back
// past runs that failed, which name none. Runs that cannot be read are left out, because nothing depends on them.
func newestRun(ctx context.Context, e *Evidence) (w witness, err error) {
	keys, err := e.Records.List(ctx, recomputeRuns)
	if err != nil {
		return witness{}, err
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	for latest := range slices.Chunk(keys, witnessRuns) {
		var places []place
		for _, key := range latest {
			places = append(places, place{key: key})
		}
		bodies, err := getAll(ctx, e, places)
		if errors.Is(err, record.ErrNotFound) {
			break // A running server has removed it, so no older one is left either.
		}
		if err != nil {
			return witness{}, err
		}
		for i, b := range bodies {
			var run jobs.Run
			if b.corrupt == nil && json.Unmarshal(b.raw, &run) == nil && run.Publication > w.n {
				w = witness{run.Publication, "the run " + latest[i], "remove the records below " + recomputeRuns}
			}
		}
		if w.n > 0 {
			break
		}
	}
	return w, nil
}

// newestHorizons returns the horizon of collection and the record of forgotten publications, each of which names a
// publication that stays.
func newestHorizons(ctx context.Context, e *Evidence) (out []witness, err error) {
	keys, err := e.Records.List(ctx, record.PublicationPrefix)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		for _, prefix := range []string{publish.CollectedPrefix, record.ForgottenPrefix} {
			digits := strings.TrimSuffix(strings.TrimPrefix(key, prefix), ".json")
			n, err := strconv.ParseUint(digits, 10, 64)
			if err == nil && strings.HasPrefix(key, prefix) {
				out = append(out, witness{n, "the record " + key, "remove that record"})
			}
		}
	}
	return out, nil
}

const (
	recomputeRuns = "jobs/recompute/"
	witnessRuns   = 20 // runs that are read at once
)

// checkWitnesses says which publications are known to have existed after the newest record there is (V5, P2).
func checkWitnesses(r *recorder, s *snapshot) {
	newest := uint64(0)
	if n := len(s.publications); n > 0 {
		newest = s.publications[n-1].N
	}
	for _, w := range s.witnesses {
		if w.n > newest {
			r.find(V5, Place{Publication: w.n, File: record.PublicationKey(newest + 1)}, "restore the records from "+
				record.PublicationKey(newest+1)+" on from a copy of the object store; nothing is published or deleted "+
				"until then. If they are lost for ever: "+w.do, "%s names publication %d, but the newest record is "+
				"that of publication %d", w.name, w.n, newest)
		}
	}
}

// checkPublications compares the publication chain with the commit chains (V5).
func checkPublications(r *recorder, s *snapshot) {
	for i, p := range s.publications {
		where := Place{Publication: p.N, File: record.PublicationKey(p.N)}
		switch {
		case s.forgotten.Begins(p.N):
		case i == 0 && p.N != 1:
			r.find(V5, where, restorePublication, "the first publication that exists has the number %d", p.N)
		case i > 0 && p.N != s.publications[i-1].N+1:
			r.find(V5, where, restorePublication, "the publications between %d and %d are missing",
				s.publications[i-1].N, p.N)
		case i == 0 && p.Previous != "":
			r.find(V5, where, restorePublication, "the first publication names a previous publication")
		case i > 0 && p.Previous != s.publications[i-1].digest:
			r.find(V5, where, restorePublication, "it names the digest %.12s… for publication %d, which has %.12s…",
				p.Previous, p.N-1, s.publications[i-1].digest)
		}
		if len(p.H) != len(s.chains) {
			r.find(V5, where, "set log.partitions back", "it covers %d partitions, and there are %d", len(p.H),
				len(s.chains))
			continue
		}
		checkCut(r, s, p, where)
		if i > 0 {
			for part, h := range s.publications[i-1].H {
				if part < len(p.H) && (p.H[part].Seq < h.Seq || p.H[part].Epoch < h.Epoch) {
					at := where
					at.Partition = &part
					r.find(V5, at, restorePublication,
						"H went back from epoch %d, sequence %d to epoch %d, sequence %d", h.Epoch, h.Seq,
						p.H[part].Epoch, p.H[part].Seq)
				}
			}
		}
	}
}

// checkForgotten compares what stays of forgotten publications with the record that let the others go (V5).
func checkForgotten(r *recorder, s *snapshot) {
	f := s.forgotten
	if f == nil {
		return
	}
	const wants = "%s names publication %d, which is missing or has another digest"
	where := Place{Publication: f.Before, File: record.ForgottenKey(f.Before)}
	if p := numbered(s.publications, f.Before); p == nil || p.Previous != f.Previous || !p.Base {
		r.find(V5, where, restorePublication, wants, where.File, f.Before)
	}
	for _, k := range f.Kept {
		if p := numbered(s.publications, k.Last); p == nil || p.digest != k.Digest {
			r.find(V5, where, restorePublication, wants, where.File, k.Last)
		}
	}
}

// checkCut checks that every H is where a commit record ends, and that this is the record that the
// publication names.
func checkCut(r *recorder, s *snapshot, p *publication, where Place) {
	events := int64(0)
	sound := true
	var holes []position.Hole
	for part, h := range p.H {
		c := s.chains[part]
		at := where
		at.Partition = &part
		at.Epoch = h.Epoch
		at.From = h.Seq
		tip, boundary := c.boundaries[h]
		switch {
		case !boundary && c.incomplete:
			r.fail(V5, "publication %d: its H of partition %d could not be compared with the ends of records: %s", p.N,
				part, becauseOfChains)
		case !boundary && (h.Seq > c.head.Seq || h.Epoch > c.head.Epoch):
			r.find(V5, at, restore, "H is epoch %d, sequence %d, beyond the chain's head at epoch %d, sequence %d",
				h.Epoch, h.Seq, c.head.Epoch, c.head.Seq)
		case !boundary:
			r.find(V5, at, restorePublication, "H is epoch %d, sequence %d, where no commit record ends", h.Epoch,
				h.Seq)
		case tip != p.Tips[part]:
			r.find(V5, at, restorePublication, "it was made from a chain whose record at H has the digest %.12s…; the "+
				"record of this chain has %.12s…", p.Tips[part], tip)
		}
		sound = sound && boundary
		for _, x := range c.holes {
			if x.End <= h.Seq {
				holes = append(holes, position.Hole{Partition: part, From: x.Start, To: x.End})
			}
		}
		events += s.eventsBelow(part, h)
	}
	if sound && !slices.Equal(holes, p.Holes) && !s.incomplete() {
		r.find(V5, where, restorePublication, "it says that %v were given up below H; the commit records say %v",
			p.Holes, holes)
	}
	if sound && events != p.Events && !s.incomplete() {
		r.find(V8, where, restorePublication, "it says that %d events had landed below H; the commit records say %d",
			p.Events, events)
	}
}

// onBoundaries reports whether records end at a publication's H, so that it can be recomputed.
func (s *snapshot) onBoundaries(st *record.State) bool {
	if len(st.H) != len(s.chains) {
		return false
	}
	for p, h := range st.H {
		if _, ok := s.chains[p].boundaries[h]; !ok {
			return false
		}
	}
	return true
}

// keptStates returns the states of the kept publications: the newest and the pinned publications.
func keptStates(ctx context.Context, e *Evidence, r *recorder, all []*publication) ([]*record.State, error) {
	var out []*record.State
	want, err := keptNumbers(ctx, e, r, all)
	if err != nil {
		return nil, err
	}
	state := record.EmptyState(e.Partitions)
	for _, n := range want {
		if state, err = resolve(ctx, e, all, state, n); err != nil {
			r.fail(V6, "publication %d: %v", n, err)
			state = record.EmptyState(e.Partitions)
			continue
		}
		out = append(out, state)
	}
	return out, nil
}

// collectedBefore returns the highest horizon of collection. Publications before it need rows only if they are
// pinned, even if batch.keep was raised since.
func collectedBefore(ctx context.Context, e *Evidence) (horizon uint64, err error) {
	keys, err := e.Records.List(ctx, publish.CollectedPrefix)
	for _, k := range keys {
		if n, err := strconv.ParseUint(strings.TrimPrefix(k, publish.CollectedPrefix), 10, 64); err == nil {
			horizon = max(horizon, n)
		}
	}
	return horizon, err
}

// keptNumbers returns the publications whose rows must exist, ascending.
func keptNumbers(ctx context.Context, e *Evidence, r *recorder, all []*publication) ([]uint64, error) {
	var want []uint64
	if e.Kept != nil {
		kept, err := e.Kept(ctx)
		if err != nil {
			return nil, err
		}
		want = kept
	}
	horizon, err := collectedBefore(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, p := range all[max(0, len(all)-e.Keep):] {
		if p.N >= horizon {
			want = append(want, p.N)
		}
	}
	pins, err := e.Records.List(ctx, publish.PinPrefix)
	if err != nil {
		return nil, err
	}
	for _, key := range pins {
		n, err := strconv.ParseUint(strings.TrimPrefix(key, publish.PinPrefix), 10, 64)
		if err != nil || numbered(all, n) == nil {
			r.find(V9, Place{File: key}, "remove the pin, or restore the publication",
				"the pin names a publication that does not exist")
			continue
		}
		want = append(want, n)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	return slices.DeleteFunc(want, func(n uint64) bool { return numbered(all, n) == nil }), nil
}

func numbered(all []*publication, n uint64) *publication {
	i, ok := slices.BinarySearchFunc(all, n, func(p *publication, n uint64) int { return int(int64(p.N) - int64(n)) })
	if !ok {
		return nil
	}
	return all[i]
}

// resolve returns the state of publication n, from an older state or from the last base before it. It
// does not check the chain of digests, as checkPublications does: a break in the chain must not
// prevent the check of later publications' rows.
func resolve(ctx context.Context, e *Evidence, all []*publication, from *record.State,
	n uint64) (*record.State, error) {
	first := n
	for first > from.N+1 && !numbered(all, first).Base {
		first--
		if numbered(all, first) == nil {
			return nil, fmt.Errorf("publication %d, on which it builds, is missing", first)
		}
	}
	s := from
	for k := first; k <= n; k++ {
		raw, err := e.Records.Get(ctx, record.PublicationKey(k))
		if errors.Is(err, record.ErrNotFound) {
			return nil, fmt.Errorf("publication %d is missing", k)
		}
		if err != nil {
			return nil, err
		}
		before := *s
		before.N = k - 1
		before.Digest = numbered(all, k).Previous
		if s, err = before.Apply(raw); err != nil {
			return nil, err
		}
	}
	return s, nil
}
