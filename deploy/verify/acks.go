package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"recount/deploy/client/acklog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/schemas/window"
)

const (
	pageBits = 16
	pageSize = 1 << pageBits
	// maxPages bounds what an acknowledgement log may name: 268 million events in 1.2 GB.
	maxPages = 4096
)

// page holds what is known of 65,536 consecutive events of a run: three bits for the answer that the
// client got, and where the event was first seen. An event takes 4.4 bytes, so ten million fit in 44 MB.
type page struct {
	acked, unknown, refused [pageSize / 64]uint64
	home                    [pageSize]uint32 // 1 + index in acks.homes; 0 means not seen
}

func set(bits *[pageSize / 64]uint64, i int64)      { bits[i>>6] |= 1 << (i & 63) }
func has(bits *[pageSize / 64]uint64, i int64) bool { return bits[i>>6]>>(i&63)&1 == 1 }

// run is a client's run in a tenant.
type run struct{ tenant, name string }

// home is where copies of an event meet. Copies with the same home count once (I2).
type home struct {
	eventType string
	bucket    int64
	assigned  bool
}

// acks compares the stored events with the answers that a client got for them (V3, V4).
type acks struct {
	e *Evidence
	r *recorder
	s *snapshot

	pages   map[run]map[int64]*page
	count   int // of pages
	answers []recorded
	lines   int

	atOnce  int64 // how many events are searched for copies at the same time
	homes   []home
	homeIDs map[home]uint32
	unknown int64 // events of runs that the acknowledgement log does not name
}

// readAcks reads the whole acknowledgement log before any evidence. So every event that it calls
// acknowledged was acknowledged before the evidence is read.
func readAcks(e *Evidence, r *recorder, in io.Reader) (*acks, error) {
	a := &acks{e: e, r: r, pages: map[run]map[int64]*page{}, homeIDs: map[home]uint32{}}
	err := acklog.Read(in, func(l acklog.Line) error {
		a.lines++
		return a.addLine(l)
	})
	return a, err
}

func (a *acks) addLine(l acklog.Line) error {
	if l.Tenant == "" {
		l.Tenant = eventbatch.DefaultTenant
	}
	if l.Kind == acklog.Answer {
		a.answers = append(a.answers, recorded{a.lines, l})
		if len(a.answers) > maxAnswers {
			return fmt.Errorf("the acknowledgement log has more than %d answers: split the file", maxAnswers)
		}
		return nil
	}
	except := map[int64]bool{}
	owner := run{l.Tenant, l.Run}
	mark := func(numbers []int64, bits func(*page) *[pageSize / 64]uint64) error {
		for _, i := range numbers {
			p, err := a.page(owner, i>>pageBits)
			if err != nil {
				return err
			}
			set(bits(p), i&(pageSize-1))
			except[i] = true
		}
		return nil
	}
	if err := mark(l.Refused, refusedBits); err != nil {
		return err
	}
	if err := mark(l.Pending, unknownBits); err != nil {
		return err
	}
	bits := map[acklog.Kind]func(*page) *[pageSize / 64]uint64{
		acklog.Acked: ackedBits, acklog.Rejected: refusedBits, acklog.Unknown: unknownBits}[l.Kind]
	if bits == nil {
		return fmt.Errorf("unknown kind %q: use acked, rejected, unknown or answer", l.Kind)
	}
	if l.Count > maxPages*pageSize || l.First > 1<<48 {
		return fmt.Errorf("a line names %d events from number %d: at most %d can be judged at once; split the run",
			l.Count, l.First, maxPages*pageSize)
	}
	for i := l.First; i < l.First+l.Count; i++ {
		p, err := a.page(owner, i>>pageBits)
		if err != nil {
			return err
		}
		if !except[i] {
			set(bits(p), i&(pageSize-1))
		}
	}
	return nil
}

func ackedBits(p *page) *[pageSize / 64]uint64   { return &p.acked }
func refusedBits(p *page) *[pageSize / 64]uint64 { return &p.refused }
func unknownBits(p *page) *[pageSize / 64]uint64 { return &p.unknown }

var errTooManyPages = errors.New("the acknowledgement log names too many events to be judged at once: split it by run")

func (a *acks) page(owner run, n int64) (*page, error) {
	pages := a.pages[owner]
	if pages == nil {
		pages = map[int64]*page{}
		a.pages[owner] = pages
	}
	p := pages[n]
	if p == nil {
		if a.count++; a.count > maxPages || n < 0 {
			return nil, errTooManyPages
		}
		p = &page{}
		pages[n] = p
	}
	return p, nil
}

func (a *acks) tail(m *message, b *rows) {
	for i := range b.n {
		a.add(b, i, placeOf(b.partition).AtOffsets(b.epoch, m.seq, 0))
	}
}

func (a *acks) landed(seg *record.Commit, o *record.Object, b *rows) {
	for i := range b.n {
		seq, _ := b.position(i)
		a.add(b, i, placeOf(seg.Partition).AtOffsets(seg.Epoch, seq, 0).InFile(o.Key))
	}
}

func (a *acks) segment(context.Context, *record.Commit) error { return nil }

// add judges one event that is stored.
func (a *acks) add(b *rows, i int, where Place) {
	if b.eventType == deadletter.Type {
		return // A dead letter is an event with an id of its own.
	}
	id := b.id(i)
	name, number, ok := acklog.ParseID(id)
	pages := a.pages[run{text(b.tenant, i), name}]
	if !ok || pages == nil {
		a.unknown++
		return
	}
	where.ID = id
	where.Type = b.eventType
	p := pages[number>>pageBits]
	n := number & (pageSize - 1)
	switch {
	case p != nil && (has(&p.acked, n) || has(&p.unknown, n)):
		a.addCopy(p, n, b, i, where)
	case p != nil && has(&p.refused, n):
		a.r.find(V4, where, "compare the client's log with the server's: a refused event must not be stored",
			"the event counts, although it was refused for good")
	default:
		a.r.find(V4, where, "find out which client sent it: the acknowledgement log of its run does not name it",
			"the event counts, but the log of its run lists it neither as acknowledged nor as of unknown outcome")
	}
}

// addCopy records the home of a copy. Copies with the same home count once, and a copy with another home
// counts again. The exception is a copy in the next bucket if the server assigned both times (I3).
func (a *acks) addCopy(p *page, n int64, b *rows, i int, where Place) {
	h := home{b.eventType, window.Floor(b.time(i), a.e.Catalog.Bucket), b.assigned(i)}
	index, known := a.homeIDs[h]
	if !known {
		a.homes = append(a.homes, h)
		index = uint32(len(a.homes))
		a.homeIDs[h] = index
	}
	if p.home[n] == 0 {
		p.home[n] = index
		return
	}
	first := a.homes[p.home[n]-1]
	width := a.e.Catalog.Bucket.Microseconds()
	apart := max(first.bucket-h.bucket, h.bucket-first.bucket)
	if first.eventType == h.eventType && (apart == 0 || apart == width && first.assigned && h.assigned) {
		return
	}
	where = where.InBucket(h.bucket)
	a.r.find(V3, where, "send retries with the time of the first try: copies meet only in one bucket of one type "+
		"(D1); to remove one of the two, delete its object's segment from a copy and rebuild",
		"the event counts twice: also as type %s in the bucket of %s", first.eventType,
		*Place{}.InBucket(first.bucket).Bucket)
}

// judge reports the acknowledged events that were not found, in ranges.
func (a *acks) judge() {
	known := int64(0)
	for _, owner := range slices.SortedFunc(maps.Keys(a.pages), compareRuns) {
		pages := a.pages[owner]
		lost := ranges{}
		for _, n := range slices.Sorted(maps.Keys(pages)) {
			p := pages[n]
			for i := range int64(pageSize) {
				if !has(&p.acked, i) {
					continue
				}
				known++
				if p.home[i] == 0 {
					lost.add(n<<pageBits | i)
				}
			}
		}
		if len(lost) > 0 && a.incomplete() {
			a.r.fail(V3, "%d acknowledged events of run %s were not found; they may be in records or objects that are "+
				"missing or damaged (V1, V2)", lost.count(), owner.name)
			continue
		}
		for _, l := range lost {
			where := Place{ID: acklog.ID(owner.name, l[0])}
			if l[1] > l[0] {
				where = Place{ID: where.ID + ".." + acklog.ID(owner.name, l[1])}
			}
			a.r.find(V3, where, "send it again with the same source, id and time, and find out from its receipt which "+
				"message it was in",
				"%d events were acknowledged and are neither in the lake nor in the log", l[1]-l[0]+1)
		}
	}
	a.r.examine(V3, known, "acknowledged events")
	a.r.examine(V4, known, "acknowledged events")
	if a.unknown > 0 {
		a.r.addNote("%d events come from other loads or clients: their ids are of no run in the acknowledgement log, "+
			"so they were not compared with it (V3, V4)", a.unknown)
	}
}

func compareRuns(x, y run) int {
	return cmp.Or(cmp.Compare(x.tenant, y.tenant), cmp.Compare(x.name, y.name))
}

// incomplete reports whether some events could not be read.
func (a *acks) incomplete() bool {
	if a.r.report.Check(V1).Findings > 0 {
		return true
	}
	for _, bad := range a.s.damaged {
		if bad {
			return true
		}
	}
	return false
}

// ranges are ranges of consecutive numbers, each with its first and its last number.
type ranges [][2]int64

func (r ranges) count() (n int64) {
	for _, x := range r {
		n += x[1] - x[0] + 1
	}
	return n
}

func (r *ranges) add(i int64) {
	if n := len(*r); n > 0 && (*r)[n-1][1] == i-1 {
		(*r)[n-1][1] = i
		return
	}
	*r = append(*r, [2]int64{i, i})
}
