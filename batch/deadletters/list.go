package deadletters

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"recount/schemas/deadletter"
	"recount/schemas/query"
	"recount/schemas/record"
)

const (
	// maxScan is the number of rows after which a page ends.
	maxScan = 1_000_000
	// maxRaw bounds the bytes of rejected events in one page, if the page contains them.
	maxRaw = 8 << 20
)

// place orders dead letters by time, then by position in the log.
type place struct {
	time int64
	name deadletter.Name
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.name.Partition, b.name.Partition),
		cmp.Compare(a.name.Seq, b.name.Seq), cmp.Compare(a.name.Index, b.name.Index))
}

// cursor returns the place as text. The page of a cursor holds the dead letters before that place.
func (a place) cursor() string { return fmt.Sprintf("%d_%s", a.time, a.name) }

func parseCursor(s string) (a place, err error) {
	if s == "" {
		return place{time: int64(1)<<62 - 1}, nil
	}
	var name string
	if _, err = fmt.Sscanf(s, "%d_%s", &a.time, &name); err == nil {
		a.name, err = deadletter.ParseName(name)
	}
	if err != nil || a.cursor() != s {
		return a, &query.Error{Field: "cursor", Msg: fmt.Sprintf("%.80q is not the cursor of a page; leave it out "+
			"to begin with the newest dead letter", s)}
	}
	return a, nil
}

// run is the rows [from, to) of an object, all in one bucket.
type run struct {
	object    *record.Object
	partition int
	bucket    int64
	from, to  int64
}

// foundLetter is a dead letter and where its row is.
type foundLetter struct {
	deadletter.Letter
	place
	object *record.Object
	row    int64
}

// List returns a page of a tenant's dead letters, newest first. With raw, each has the bytes of the
// rejected event.
func (s *Store) List(ctx context.Context, tenant string, f deadletter.Filter, raw bool) (deadletter.Page, error) {
	before, err := parseCursor(f.Cursor)
	if err != nil {
		return deadletter.Page{}, err
	}
	if f.Limit <= 0 {
		f.Limit = deadletter.DefaultLimit
	}
	runs, err := s.candidateRuns(ctx, f, before)
	if err != nil {
		return deadletter.Page{}, err
	}
	var page []foundLetter
	scanned := int64(0)
	more := ""
	for len(runs) > 0 && more == "" {
		bucket := runs[0].bucket
		for len(runs) > 0 && runs[0].bucket == bucket {
			scanned += runs[0].to - runs[0].from
			if page, err = s.scan(ctx, runs[0], tenant, f, before, page); err != nil {
				return deadletter.Page{}, err
			}
			runs = runs[1:]
		}
		page = sortNewest(page, f.Limit)
		if len(page) == f.Limit {
			more = page[len(page)-1].cursor()
		} else if scanned > maxScan {
			more = place{time: bucket}.cursor()
		}
	}
	if raw {
		if n := countFitting(page); n < len(page) {
			more = page[n-1].cursor()
			page = page[:n]
		}
		if err := s.readRaw(ctx, page); err != nil {
			return deadletter.Page{}, err
		}
	}
	out := deadletter.Page{Letters: make([]deadletter.Letter, len(page)), Cursor: more}
	for i := range page {
		out.Letters[i] = page[i].Letter
	}
	return out, nil
}

// countFitting returns how many dead letters of the page one answer has room for, at least one.
func countFitting(page []foundLetter) int {
	total := int64(0)
	for i := range page {
		if total += page[i].Bytes; total > maxRaw && i > 0 {
			return i
		}
	}
	return len(page)
}

// sortNewest sorts the page, newest first, and cuts it to the limit.
func sortNewest(page []foundLetter, limit int) []foundLetter {
	slices.SortFunc(page, func(a, b foundLetter) int { return b.compare(a.place) })
	return page[:min(len(page), limit)]
}

// candidateRuns returns the rows that may match the filter, the newest bucket first.
func (s *Store) candidateRuns(ctx context.Context, f deadletter.Filter, before place) (out []run, err error) {
	horizons, err := s.horizons(ctx)
	if err != nil {
		return nil, err
	}
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	from, to := timeBounds(f)
	for _, c := range chains {
		for _, segment := range c.Segments {
			for i := range segment.Objects {
				o := &segment.Objects[i]
				if o.Type != deadletter.Type || horizons.Retired(segment, o) {
					continue
				}
				row := int64(0)
				for _, b := range o.Buckets {
					if b.Bucket < to && b.Bucket+c.Bucket.Microseconds() > from &&
						(place{time: b.Bucket}).compare(before) < 0 {
						out = append(out, run{o, c.Partition, b.Bucket, row, row + b.Rows})
					}
					row += b.Rows
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b run) int { return cmp.Compare(b.bucket, a.bucket) })
	return out, nil
}

// timeBounds returns the filter's times in microseconds.
func timeBounds(f deadletter.Filter) (from, to int64) {
	from = 0
	to = int64(1) << 62
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	return from, to
}

// scan adds the rows of a run that match the filter to the page. When the page has twice the limit,
// scan drops the older half.
func (s *Store) scan(ctx context.Context, r run, tenant string, f deadletter.Filter, before place,
	page []foundLetter) ([]foundLetter, error) {
	from, to := timeBounds(f)
	for l, err := range s.readLetters(ctx, r.object, r.partition, r.from, r.to) {
		if err != nil {
			return nil, err
		}
		if l.Tenant != tenant || l.time < from || l.time >= to || f.Code != "" && l.Code != f.Code || f.Type != "" &&
			l.EventType != f.Type || f.EventID != "" && l.EventID != f.EventID ||
			f.Source != nil && l.Source != *f.Source || l.compare(before) >= 0 {
			continue
		}
		if page = append(page, l); len(page) == 2*f.Limit {
			page = sortNewest(page, f.Limit)
		}
	}
	return page, nil
}

// Get returns a dead letter of the tenant with its bytes. The error wraps deadletter.ErrUnknown if
// no dead letter of this name has landed. It wraps deadletter.ErrExpired if the tenant had dead
// letters in that object and the object is retired.
func (s *Store) Get(ctx context.Context, tenant, name string) (deadletter.Letter, error) {
	n, err := deadletter.ParseName(name)
	if err != nil {
		return deadletter.Letter{}, &query.Error{Field: "name", Msg: err.Error()}
	}
	objects, err := s.objectsAt(ctx, tenant, n)
	if err != nil {
		return deadletter.Letter{}, err
	}
	for _, o := range objects {
		for l, err := range s.readLetters(ctx, o, n.Partition, 0, o.Rows) {
			if err != nil {
				return deadletter.Letter{}, err
			}
			if l.name != n || l.Tenant != tenant {
				continue
			}
			page := []foundLetter{l}
			err := s.readRaw(ctx, page)
			return page[0].Letter, err
		}
	}
	return deadletter.Letter{}, fmt.Errorf("%w: %s", deadletter.ErrUnknown, name)
}

// objectsAt returns the objects of dead letters in the segment that holds the position. A retired
// object is gone, so its dead letters are unknown, but its commit record still says whether any
// was of the tenant.
func (s *Store) objectsAt(ctx context.Context, tenant string, n deadletter.Name) (out []*record.Object, err error) {
	horizons, err := s.horizons(ctx)
	if err != nil {
		return nil, err
	}
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	if n.Partition >= len(chains) {
		return nil, nil
	}
	segments := chains[n.Partition].Segments
	i, _ := slices.BinarySearchFunc(segments, n.Seq,
		func(c *record.Commit, seq uint64) int { return cmp.Compare(c.End, seq+1) })
	if i == len(segments) || segments[i].Start > n.Seq {
		return nil, nil
	}
	for k := range segments[i].Objects {
		o := &segments[i].Objects[k]
		switch retired := o.Type == deadletter.Type && horizons.Retired(segments[i], o); {
		case retired && o.Tenants[tenant] > 0:
			return nil, fmt.Errorf("%w: %s was retired because it was older than dead_letters.keep, or because dead "+
				"letters had more than dead_letters.max_bytes", deadletter.ErrExpired, n)
		case o.Type == deadletter.Type && !retired:
			out = append(out, o)
		}
	}
	return out, nil
}
