package landing

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
)

const (
	// idleAfter is how long nothing must arrive before a partition counts as idle. In a backlog
	// every segment is overdue by the clock, but the next message is there and ends it.
	idleAfter = 100 * time.Millisecond
	// maxSpread bounds the jitter of a heartbeat. Without it all partitions of all landers would
	// send their heartbeats in one moment, because they are due at the same edge of an interval.
	maxSpread = time.Second
)

// intake reads the messages of a partition in order, and opens another reader after an error. It
// sends a heartbeat when the open segment is due and nothing arrives.
type intake struct {
	p      *partition
	cutter *position.Cutter
	want   uint64            // the sequence of the next message
	reader eventbatch.Reader // nil until the next read opens one

	beat  time.Time // when the next heartbeat may be sent; zero until the open segment has events
	beats int       // heartbeats since the last cut, failed ones included
}

// next waits for the message that is wanted next, and returns it (N4).
func (in *intake) next(ctx context.Context) (eventbatch.Message, error) {
	for try := 0; ; {
		m, err := in.read(ctx)
		if err == nil {
			in.p.endFailing()
		}
		switch {
		case err == nil && m.Seq == in.want:
			in.want++
			return m, nil
		case err == nil && m.Seq > in.want && failpoint.Off(failpoint.C7):
			in.want = m.Seq + 1
			return m, nil
		case err == nil:
			return m, position.GapError{Partition: in.p.id, Want: in.want, Got: m.Seq}
		case ctx.Err() != nil:
			return m, ctx.Err()
		case errors.Is(err, errIdle):
			in.sendHeartbeat(ctx)
			try = 0
			continue
		case errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap):
			return m, err
		}
		in.close()
		in.p.fail(stageRead, err)
		in.p.warn(ctx, "landing cannot read the log", "sequence", in.want, "error", err)
		if err := sleep(ctx, pause(try)); err != nil {
			return m, err
		}
		try++
	}
}

// errIdle means that no message arrived until a heartbeat may be due.
var errIdle = errors.New("idle")

// read returns the next message of the reader, or errIdle.
func (in *intake) read(ctx context.Context) (eventbatch.Message, error) {
	if in.reader == nil {
		r, err := in.p.source.Read(ctx, in.p.id, in.want)
		if err != nil {
			return eventbatch.Message{}, err
		}
		in.reader = r
	}
	due, open := in.heartbeatDue()
	if !open {
		return in.reader.Next(ctx)
	}
	if in.begunAhead() {
		in.sendHeartbeat(ctx) // No event that arrives will end the segment.
	}
	wait := max(due.Sub(in.p.cfg.Now()), idleAfter)
	timed, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := in.reader.Next(timed)
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return m, errIdle
	}
	return m, err
}

// heartbeatDue returns when the next heartbeat may be sent, and false while the open segment has no events.
func (in *intake) heartbeatDue() (time.Time, bool) {
	micros, open := in.cutter.Due()
	interval := in.p.chain.Rule().Interval
	now := in.p.cfg.Now()
	spread := min(interval/10, maxSpread)
	// A segment is due within an interval. If it seems due later, the clock was set back since.
	if open && (in.beat.IsZero() || in.beat.Sub(now) > max(interval+spread, idleAfter+maxPause)) {
		in.beat = now.Add(min(time.UnixMicro(micros).Sub(now), interval) + rand.N(spread+1))
	}
	return in.beat, open
}

// begunAhead reports whether the clock that began the open segment was far ahead of this clock.
func (in *intake) begunAhead() bool {
	micros, open := in.cutter.Due()
	return open && time.UnixMicro(micros).Sub(in.p.cfg.Now()) > 2*in.p.chain.Rule().Interval
}

// sendHeartbeat sends a heartbeat if it is due. Each heartbeat of a segment delays the next one
// longer, because a heartbeat that did not end the segment met a log that is full or does not answer.
func (in *intake) sendHeartbeat(ctx context.Context) {
	now := in.p.cfg.Now()
	if now.Before(in.beat) {
		return
	}
	if err := in.p.source.Heartbeat(ctx, in.p.id); err != nil {
		in.p.metrics.retries[stageHeartbeat].Inc()
		in.p.warn(ctx, "landing cannot append a heartbeat", "error", err)
	} else {
		in.p.metrics.heartbeats.Inc()
	}
	in.beat = in.p.cfg.Now().Add(idleAfter + pause(in.beats))
	in.beats++
}

// resetHeartbeat forgets the heartbeats of the last segment, because a new segment is open.
func (in *intake) resetHeartbeat() {
	in.beat = time.Time{}
	in.beats = 0
}

// close closes the reader; the next read opens another.
func (in *intake) close() {
	if in.reader != nil {
		in.reader.Close()
		in.reader = nil
	}
}
