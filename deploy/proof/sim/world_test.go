package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount/batch/lake"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/window"
)

const (
	keep         = 3
	longestQuery = 30 * time.Second
	collectAfter = time.Hour // C8
)

// breaks are promises of the surroundings that a test takes back.
type breaks struct {
	ackEarly    bool // L1: a message is acknowledged before it is durable
	partialAck  bool // L2: a request is acknowledged when one of its partitions is
	scatter     bool // L3: a retry may go to another partition
	discardOld  bool // L4: a full log forgets its oldest messages
	overwrites  bool // C9: records are not create-only
	msgIDs      bool // L7: the log drops a message it has had already
	rot         bool // C7: a message vanishes
	noGuard     bool // Q3: rows are not counted
	otherRule   bool // S2: one owner of the partitions has another cut rule
	lossy       bool // acknowledged messages are lost with the power
	shortWindow bool // D3
	oneOwner    bool // S6: a single node
	restless    bool // J1: jobs run at every step
	views       bool // the views are changed
	slowSpeed   bool // real-time views read the log rarely
	forgets     bool // ClickHouse loses rows of a publication
	fills       bool // the log is small, and refuses while it is full
	newRule     bool // C1: the cut rule is changed
	crowd       bool // one request has many users
	pinning     bool // P3: publications are pinned
}

// message is one message of the log.
type message struct {
	frame   []byte
	events  []event
	durable bool
}

// partitionLog is one partition. line is everything that counts: the messages the log
// has, those it trimmed, and those that landed before the log lost them.
type partitionLog struct {
	first, next uint64
	line        map[uint64]*message
	lost        map[uint64]*message
	gone        uint64 // a message that vanished
	full        bool   // it refused the last message
	clock       int64  // the newest append time, microseconds
	ids         map[string]bool
	head        uint64 // as far as records say
	epoch       uint32
	boundaries  map[uint64]bool
}

// world is what outlives every process.
type world struct {
	*scheduler
	breaks
	nodes     []*node
	logs      [partitions]partitionLog
	records   map[string]stored
	objects   map[string]stored
	tables    map[string][]row
	segments  []*record.Commit // in the order they landed
	states    []*record.State  // publication n at n-1
	acked     map[string]int   // event id to partition
	sent      map[string]int64 // event id to the bucket it was in first
	losses    int              // times acknowledged messages were lost
	unhealed  bool             // the newest publication but one lacked rows
	catalog   int
	rule      position.CutRule
	pinned    []uint64 // publications that somebody was told are pinned; guarded by mu
	written   bool     // the writer has ended
	accepting bool     // a process has looked at the log since the power failed (L5)
	acks      int
}

type stored struct {
	body []byte
	at   time.Time
	tick int
}

func newWorld(root context.Context, seed uint64, b breaks) *world {
	w := &world{scheduler: newScheduler(root, seed), breaks: b, records: map[string]stored{},
		objects: map[string]stored{}, tables: map[string][]row{}, acked: map[string]int{}, sent: map[string]int64{},
		rule: cutRules[0]}
	for p := range w.logs {
		w.logs[p] = partitionLog{first: 1, next: 1, line: map[uint64]*message{}, lost: map[uint64]*message{},
			ids: map[string]bool{}, head: 1, boundaries: map[uint64]bool{1: true}}
	}
	return w
}

// accepts: the log is the embedded one, so nothing is appended before L5 was decided.
func (w *world) accepts() bool { return w.accepting }

// logLimit is how many messages a log holds where a rule about full logs is tried.
const logLimit = 6

// fullAt is how many messages a small log holds: more than a segment, and fewer than the kept publications can span.
const fullAt = 24

var errFull = errors.New("the log is full")

func (w *world) append(p int, frame []byte, events []event, id string) error {
	l := &w.logs[p]
	if w.msgIDs && id != "" && l.ids[id] {
		return nil
	}
	if w.fills && l.next-l.first >= fullAt {
		l.full = true
		w.meet("a full log refuses")
		return errFull
	}
	if l.full {
		l.full = false
		w.meet("a log that was full accepts again")
	}
	if w.discardOld && l.next-l.first >= logLimit {
		l.first++
	}
	l.ids[id] = true
	m := &message{frame: frame, durable: !w.ackEarly}
	h, _ := eventbatch.ReadHeader(frame)
	l.clock = max(l.clock, h.Appended)
	for _, e := range events {
		w.meetEvent(e)
		e.seq = l.next
		e.appended = h.Appended
		e.clock = l.clock
		m.events = append(m.events, e)
	}
	l.line[l.next] = m
	l.next++
	return nil
}

// meetEvent counts what makes an event hard to count once and in its place.
func (w *world) meetEvent(e event) {
	id := e.typ + "/" + e.tenant + "/" + e.id
	before, sent := w.sent[id]
	switch at := window.Floor(e.time, bucket); {
	case sent && at != before:
		w.meet("a copy in another bucket")
	case sent:
		w.meet("a copy in the same bucket")
	default:
		w.sent[id] = at
	}
	if len(w.states) > 0 {
		newest := w.states[len(w.states)-1]
		if v, ok := newest.Views["each"]; ok && e.typ == "click" &&
			len(v.Between(window.Floor(e.time, bucket), window.Floor(e.time, bucket)+1)) > 0 {
			w.meet("a late event of a published bucket")
		}
	}
}

// powerFails takes messages from the log's end: those not durable, and in a lossy world others.
func (w *world) powerFails() {
	w.meet("power failure")
	w.accepting = false
	w.pending = slices.DeleteFunc(w.pending,
		func(o *op) bool { return o.p == nil && (o.kind == "append" || o.kind == "heartbeat") })
	for p := range w.logs {
		l := &w.logs[p]
		k := uint64(0)
		if w.lossy {
			k = w.rng.Uint64N(6)
		}
		for n := uint64(0); l.next > l.first; n++ {
			last := l.next - 1
			m := l.line[last]
			if m == nil || n >= k && m.durable {
				break
			}
			if len(m.events) > 0 && m.durable {
				w.losses++
				w.meet("an acknowledged message is lost")
			}
			l.lost[last] = m
			if last >= l.head {
				delete(l.line, last)
			}
			l.next = last
			w.note("the log of partition %d loses message %d", p, last)
		}
	}
}

// list returns the keys below a prefix. A stale list lacks what is new, and no order is promised.
func (w *world) list(from map[string]stored, prefix string, stale, unsorted bool) []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(from)) {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if stale && from[k].tick >= w.ticks-3 {
			w.meet("stale LIST")
			continue
		}
		keys = append(keys, k)
	}
	if unsorted && len(keys) > 1 {
		w.meet("unsorted LIST")
		w.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return keys
}

func (w *world) info(key string) (lake.Info, error) {
	o, ok := w.objects[key]
	if !ok {
		return lake.Info{}, fmt.Errorf("object %s: %w", key, record.ErrNotFound)
	}
	return lake.Info{Key: key, Size: int64(len(o.body)), Modified: o.at}, nil
}

// put stores an object, whole or with a flipped bit.
func (w *world) put(key string, body []byte, flip bool) {
	if flip {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
	}
	w.objects[key] = stored{body, time.Now(), w.ticks}
}

// delete removes objects; one that a record names is lost for good (V9).
func (w *world) delete(keys []string) {
	w.meet("orphan objects are collected")
	for _, k := range keys {
		delete(w.objects, k)
	}
}
