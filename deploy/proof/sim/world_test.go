package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/batch/lake"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/window"
)

const (
	keep         = 3                // kept publications (P3)
	longestQuery = 30 * time.Second // P3
	collectAfter = time.Hour        // the age of an orphan object (C8)
	lowLimit     = 2                // the limit of values before it is raised (B7)
	highLimit    = 4                // the limit of values afterwards
	baseEvery    = 4                // publications from one base to the next (P1)
	smallStep    = 8                // rows of a step that fills views (B8)
)

// surroundings say in which world a seed plays: which promises of the surroundings are broken, and
// what happens besides the ordinary faults.
type surroundings struct {
	ackEarly    bool // L1: a message is acknowledged before it is durable.
	partialAck  bool // L2: a request is acknowledged when one of its partitions is.
	scatter     bool // L3: a retry may go to another partition.
	discardOld  bool // L4: a full log drops its oldest messages.
	overwrites  bool // C9: records are not create-only.
	messageIDs  bool // L7: the log drops a message whose id it has had already.
	vanish      bool // C7: a message vanishes.
	otherRule   bool // S2: one owner of the partitions has another cut rule.
	lossy       bool // L5: a power failure loses acknowledged messages.
	shortWindow bool // D3: the speed layer remembers ids for some minutes only.
	oneOwner    bool // S6: there is a single node.
	eagerJobs   bool // J1: jobs run at every step.
	liveCatalog bool // G4: The catalog is changed while processes run.
	changeViews bool // The views are changed at a restart.
	changeRule  bool // C1: the cut rule is changed at a restart.
	slowSpeed   bool // The speed layer reads the log rarely.
	rowDamage   bool // ClickHouse loses or changes rows of a publication.
	smallLog    bool // The log is small, and refuses messages while it is full.
	manyUsers   bool // One request has more users than are counted one by one.
	pinning     bool // P3: publications are pinned.
	capped      bool // B7: values overflow, and the limit is raised at a restart.
	smallSteps  bool // B8: a publication fills few buckets of a new or changed view.
	apart       bool // B3: queries are answered by other processes than those that recompute.
}

// message is one message of the log.
type message struct {
	frame   []byte
	events  []event
	durable bool
}

// partitionLog is the log of one partition.
type partitionLog struct {
	first, next uint64
	// messages holds every message that counts: those in the log, those that were trimmed, and those
	// that landed before the log lost them.
	messages   map[uint64]*message
	lost       map[uint64]*message
	vanished   uint64 // vanished is the sequence of a message that vanished; 0 means none.
	givenUp    uint64 // givenUp is the end of the hole; 0 means that there is none (C7).
	hole       *message
	full       bool  // full says that the log refused the last message.
	newest     int64 // newest is the newest append time in microseconds.
	ids        map[string]bool
	chainHead  uint64 // chainHead is the end of the commit chain.
	epoch      uint32
	boundaries map[uint64]bool
}

// world holds everything that outlives a process.
type world struct {
	*scheduler
	surroundings
	lateDamage  bool // Rows are damaged after the faults have ended.
	nodes       []*node
	logs        [partitions]partitionLog
	records     map[string]stored
	objects     map[string]stored
	tables      map[string][]row
	segments    []*record.Commit // segments are in the order in which they landed.
	states      []*record.State  // states holds publication n at n-1.
	acked       map[string]int   // acked maps the id of an acknowledged event to its partition.
	sent        map[string]int64 // sent maps an event id to the bucket of its first copy.
	holes       int              // holes counts the ranges that the operator gave up.
	losses      int              // losses counts the acknowledged messages that were lost.
	projected   uint64           // projected is the newest publication that ClickHouse knows; it is guarded by mu.
	rowsDamaged bool             // rowsDamaged says that ClickHouse had damaged rows when a publication was created.
	catalog     int
	limit       int // limit is publish.Config.Limit.
	rule        position.CutRule
	pinned      []uint64 // pinned lists publications whose pin was confirmed; it is guarded by mu.
	written     bool     // written says that the writer has ended.
	accepting   bool     // accepting says that a process has checked the log since the power failed (L5).
	acks        int
}

// stored is a record or an object, with the time at which it was stored.
type stored struct {
	body []byte
	at   time.Time
	tick int
}

func newWorld(root context.Context, seed uint64, around surroundings) *world {
	w := &world{scheduler: newScheduler(root, seed), surroundings: around, records: map[string]stored{},
		objects: map[string]stored{}, tables: map[string][]row{}, acked: map[string]int{}, sent: map[string]int64{},
		rule: cutRules[0]}
	if w.liveCatalog {
		w.catalog = len(catalogs) - 1 // With which the seed ends.
	}
	if w.capped {
		w.limit = lowLimit
	}
	for p := range w.logs {
		w.logs[p] = partitionLog{first: 1, next: 1, messages: map[uint64]*message{}, lost: map[uint64]*message{},
			ids: map[string]bool{}, chainHead: 1, boundaries: map[uint64]bool{1: true}}
	}
	return w
}

// accepts reports whether the log accepts messages. It does so only after a process has checked it
// for lost messages (L5), as the embedded log does.
func (w *world) accepts() bool { return w.accepting }

// discardLimit is how many messages a log holds that drops its oldest messages.
const discardLimit = 6

// smallLogLimit is how many messages a small log holds: more than a segment has, and fewer than the
// kept publications can span.
const smallLogLimit = 24

var errFull = errors.New("the log is full")

// appendMessage appends a message to the log of a partition. The id is that of the request.
func (w *world) appendMessage(p int, frame []byte, events []event, id string) error {
	l := &w.logs[p]
	if w.messageIDs && id != "" && l.ids[id] {
		return nil
	}
	if w.smallLog && l.next-l.first >= smallLogLimit {
		l.full = true
		w.observe("a full log refuses")
		return errFull
	}
	if l.full {
		l.full = false
		w.observe("a log that was full accepts again")
	}
	if w.discardOld && l.next-l.first >= discardLimit {
		l.first++
	}
	l.ids[id] = true
	m := &message{frame: frame, durable: !w.ackEarly}
	h, _ := eventbatch.ReadHeader(frame)
	l.newest = max(l.newest, h.Appended)
	for _, e := range events {
		w.observeEvent(e)
		e.seq = l.next
		e.appended = h.Appended
		e.newest = l.newest
		m.events = append(m.events, e)
	}
	l.messages[l.next] = m
	l.next++
	return nil
}

// observeEvent counts the situations that make an event hard to count once and in its bucket.
func (w *world) observeEvent(e event) {
	id := e.eventType + "/" + e.tenant + "/" + e.id
	before, sent := w.sent[id]
	switch start := window.Floor(e.time, bucket); {
	case sent && start != before:
		w.observe("a copy in another bucket")
	case sent:
		w.observe("a copy in the same bucket")
	default:
		w.sent[id] = start
	}
	if len(w.states) > 0 {
		newest := w.states[len(w.states)-1]
		if v, ok := newest.Views["each"]; ok && e.eventType == "click" &&
			len(v.VersionsBetween(window.Floor(e.time, bucket), window.Floor(e.time, bucket)+1)) > 0 {
			w.observe("a late event of a published bucket")
		}
	}
}

// losePower removes messages from the end of the logs: those that are not durable, and in a lossy
// world others too.
func (w *world) losePower() {
	w.observe("power failure")
	w.accepting = false
	w.pending = slices.DeleteFunc(w.pending,
		func(o *op) bool { return o.p == nil && (o.kind == "append" || o.kind == "heartbeat") })
	for p := range w.logs {
		l := &w.logs[p]
		lose := uint64(0)
		if w.lossy {
			lose = w.rng.Uint64N(6)
		}
		for n := uint64(0); l.next > l.first; n++ {
			last := l.next - 1
			m := l.messages[last]
			if m == nil || n >= lose && m.durable {
				break
			}
			if len(m.events) > 0 && m.durable {
				w.losses++
				w.observe("an acknowledged message is lost")
			}
			l.lost[last] = m
			if last >= l.chainHead {
				delete(l.messages, last)
			}
			l.next = last
			if last == l.vanished && !l.isGivenUp() {
				l.vanished = 0 // Its sequence is given again.
			}
			w.tracef("the log of partition %d loses message %d", p, last)
		}
		for _, n := range w.nodes { // A lost message can be in no answer; the audit counts it as voided (L5).
			n.promised[p] = min(n.promised[p], l.next)
		}
	}
}

// listKeys returns the keys below a prefix. A stale list lacks the newest keys.
func (w *world) listKeys(from map[string]stored, prefix string, stale, unsorted bool) []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(from)) {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if stale && from[k].tick >= w.ticks-3 {
			w.observe("stale LIST")
			continue
		}
		keys = append(keys, k)
	}
	if unsorted && len(keys) > 1 {
		w.observe("unsorted LIST")
		w.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return keys
}

func (w *world) objectInfo(key string) (lake.Info, error) {
	o, ok := w.objects[key]
	if !ok {
		return lake.Info{}, fmt.Errorf("object %s: %w", key, record.ErrNotFound)
	}
	return lake.Info{Key: key, Size: int64(len(o.body)), Modified: o.at}, nil
}

// storeObject stores an object, intact or with a flipped bit.
func (w *world) storeObject(key string, body []byte, flip bool) {
	if flip {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
	}
	w.objects[key] = stored{body, time.Now(), w.ticks}
}

// deleteObjects removes objects. An object that a record names is then lost for good (V9).
func (w *world) deleteObjects(keys []string) {
	for _, k := range keys {
		if !strings.HasPrefix(k, record.PublicationPrefix) {
			w.observe("orphan objects are collected")
			delete(w.objects, k)
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSuffix(path.Base(k), ".json"), 10, 64); err == nil &&
			record.PublicationKey(n) == k {
			w.forget(n)
		}
		delete(w.records, k)
	}
}
