// Package position names places in the log and decides where segments end.
//
// A partition's log is a sequence of messages, numbered from 1. An Offset is a
// message's sequence and the epoch it counts in; sequences are continuous across
// epochs (I5), so two offsets of one partition compare by sequence.
package position

import "time"

// Offset is the place of a message in its partition's log. As the end of a range
// it is the next message that does not belong to the range.
type Offset struct {
	Epoch uint32 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Hole is a range [From, To) of a partition's messages that an operator gave up, because the log had lost
// them (C7). It counts nowhere.
type Hole struct {
	Partition int    `json:"partition"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
}

// First is the sequence of the first message of a log.
const First uint64 = 1

// CutRule is the rule C1: a message begins a new segment when the open one would
// pass Rows events or Bytes of messages with it, or when the message was appended in
// a later interval of Interval than the open segment's first event.
type CutRule struct {
	Interval time.Duration `json:"interval"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes"`
}

// DefaultCutRule is the rule of a new log.
func DefaultCutRule() CutRule {
	return CutRule{Interval: 30 * time.Second, Rows: 1_000_000, Bytes: 64 << 20}
}

// EpochStart says from which sequence on an epoch counts and the cut rule in force in it. After a hole
// (C7) that is the start of the hole, because nothing in the hole counts.
type EpochStart struct {
	Epoch uint32  `json:"epoch"`
	Start uint64  `json:"start"`
	Rule  CutRule `json:"rule"`
}

// Message is what the cut rule sees of a log message. Appended is the writer's
// clock in microseconds since 1970, as stored in the frame.
type Message struct {
	Seq      uint64
	Events   int64
	Bytes    int64
	Appended int64
}

// Cutter applies the cut rule to the messages of one partition in order. Its
// decisions depend on nothing but those messages and the epochs (C1, I4), so the
// speed layer and the landing find the same segments without talking.
type Cutter struct {
	epochs []EpochStart
	rule   CutRule
	events int64
	bytes  int64
	first  int64
}

// NewCutter starts at a segment boundary: start is the first message of an empty
// open segment. Epochs must be ordered by Start and the first must cover start.
func NewCutter(epochs []EpochStart, start uint64) *Cutter {
	c := &Cutter{epochs: epochs}
	for len(c.epochs) > 0 && c.epochs[0].Start <= start {
		c.rule = c.epochs[0].Rule
		c.epochs = c.epochs[1:]
	}
	return c
}

// Add accounts for the next message and reports whether it begins a new segment,
// in which case the open one ends just before it. A segment without events is
// never cut for time, or idle partitions would fill the chain with empty records.
func (c *Cutter) Add(m Message) (begins bool) {
	if begins = c.begins(m); begins {
		c.events = 0
		c.bytes = 0
		c.first = 0
	}
	for len(c.epochs) > 0 && c.epochs[0].Start <= m.Seq {
		c.rule = c.epochs[0].Rule
		c.epochs = c.epochs[1:]
	}
	if c.events == 0 && m.Events > 0 {
		c.first = m.Appended
	}
	c.events += m.Events
	c.bytes += m.Bytes
	return begins
}

func (c *Cutter) begins(m Message) bool {
	if len(c.epochs) > 0 && c.epochs[0].Start <= m.Seq {
		return true
	}
	if c.events == 0 {
		return false
	}
	if m.Events == 0 && c.interval(m.Appended) != c.interval(c.first) {
		// A heartbeat ends an overdue segment, even if the clock of the writer that began it was
		// hours ahead. Events do not: writers whose clocks differ would cut at every message.
		return true
	}
	return c.events+m.Events > c.rule.Rows || c.bytes+m.Bytes > c.rule.Bytes ||
		c.interval(m.Appended) > c.interval(c.first)
}

// Due returns the time in microseconds from which a message would begin a new
// segment, and false while the open segment holds no event. A reader whose
// partition is idle past it asks for a heartbeat (C1).
func (c *Cutter) Due() (int64, bool) {
	return (c.interval(c.first) + 1) * c.rule.Interval.Microseconds(), c.events > 0
}

func (c *Cutter) interval(micros int64) int64 {
	return micros / max(c.rule.Interval.Microseconds(), 1)
}
