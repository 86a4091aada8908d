package sim

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// processLog is the log as one process sees it.
type processLog struct {
	w *world
	p *proc
}

// cursor reads the log, for landing or for the speed layer.
type cursor struct {
	processLog
	partition int
	next      uint64
	speed     bool
}

func (l processLog) open(ctx context.Context, partition int, from uint64, speed bool) (*cursor, error) {
	r := &cursor{l, partition, from, speed}
	err := l.p.perform(ctx, op{kind: "read", key: fmt.Sprintf("p%d %t", partition, speed), fates: readFates,
		effect: func() error {
			if first := l.w.logs[partition].first; from < first {
				return fmt.Errorf("%w: the first is %d", position.ErrTrimmed, first)
			}
			return nil
		}})
	return r, err
}

// Next returns the next message that the log has. The code under test must notice a missing one.
func (r *cursor) Next(ctx context.Context) (m eventbatch.Message, err error) {
	l := &r.w.logs[r.partition]
	err = r.p.perform(ctx, op{kind: "next", key: fmt.Sprintf("p%d %t", r.partition, r.speed), fates: readFates,
		ready: func() bool {
			if r.speed && r.w.slowSpeed && r.w.bad > 0 && r.w.ticks%8 != 0 {
				return false
			}
			return r.next < l.first || r.next < l.next
		},
		effect: func() error {
			if r.next < l.first {
				return fmt.Errorf("%w: the first is %d", position.ErrTrimmed, l.first)
			}
			at := r.next
			if at == l.vanished {
				at++
			}
			if at == l.next {
				return position.GapError{Partition: r.partition, Want: r.next, Got: at}
			}
			m = eventbatch.Message{Seq: at, Frame: bytes.Clone(l.messages[at].frame)}
			r.next = at + 1
			return nil
		}})
	return m, err
}

func (r *cursor) Close() {}

type landingLog struct{ processLog }

func (l landingLog) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return l.open(ctx, p, from, false)
}

func (l landingLog) Heartbeat(ctx context.Context, p int) error {
	f := eventbatch.AppendHeartbeat(nil, time.Now().UnixMicro())
	return l.p.perform(ctx, op{kind: "heartbeat", key: fmt.Sprint(p), fates: writeFates, ready: l.w.accepts,
		effect: func() error { return l.w.appendMessage(p, f, nil, "") }})
}

type speedLog struct{ processLog }

func (l speedLog) Read(ctx context.Context, p int, from uint64) (eventbatch.Reader, error) {
	return l.open(ctx, p, from, true)
}

// janitorLog answers without faults, except for Advance and Trim: boot and trimming read little.
type janitorLog struct{ processLog }

func (janitorLog) Partitions() int { return partitions }

func (l janitorLog) Bounds(_ context.Context, p int) (first, next uint64, err error) {
	l.w.synchronize()
	return l.w.logs[p].first, l.w.logs[p].next, nil
}

func (l janitorLog) Get(_ context.Context, p int, seq uint64) (eventlog.Message, error) {
	l.w.synchronize()
	g := &l.w.logs[p]
	switch m := g.messages[seq]; {
	case seq < g.first:
		return eventlog.Message{}, position.ErrTrimmed
	case seq >= g.next || m == nil || seq == g.vanished:
		return eventlog.Message{}, eventlog.ErrNotFound
	default:
		return eventlog.Message{Seq: seq, Data: m.frame}, nil
	}
}

func (l janitorLog) Advance(ctx context.Context, p int, next uint64) error {
	return l.p.perform(ctx, op{kind: "advance", key: fmt.Sprint(p), fates: writeFates[:2], rare: true,
		effect: func() error {
			g := &l.w.logs[p]
			g.first = max(g.first, next)
			g.next = max(g.next, next)
			return nil
		}})
}

func (l janitorLog) Trim(ctx context.Context, p int, below uint64) error {
	return l.p.perform(ctx, op{kind: "trim", key: fmt.Sprintf("%d below %d", p, below), fates: writeFates,
		effect: func() error {
			g := &l.w.logs[p]
			if below > g.first {
				l.w.observe("the log is trimmed")
			}
			g.first = max(g.first, min(below, g.next))
			for _, n := range l.w.nodes {
				n.markTrimmed(p, g.first)
			}
			return nil
		}})
}
