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
	// idle is how long nothing must have arrived before a partition counts as idle: in a
	// backlog every segment is overdue by the clock, and only the next message's turn.
	idle = 100 * time.Millisecond
	// mostSpread bounds the jitter of a heartbeat. Without it all partitions of all landers,
	// which are due at the same edge of an interval, would send theirs in one moment.
	mostSpread = time.Second
)

// intake reads a partition's messages in order, over as many readers as it takes, and asks
// for a heartbeat when the open segment is due and nothing arrives.
type intake struct {
	p      *partition
	cutter *position.Cutter
	want   uint64
	reader eventbatch.Reader

	beat  time.Time // when the next heartbeat is allowed; zero until the open segment has events
	beats int       // sent, or failed, since the last cut
}

// next returns the message that is wanted next (N4), waiting for it.
func (in *intake) next(ctx context.Context) (eventbatch.Message, error) {
	for try := 0; ; {
		m, err := in.read(ctx)
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
			in.heartbeat(ctx)
			try = 0
			continue
		case errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap):
			return m, err
		}
		in.close()
		in.p.m.retries[stageRead].Inc()
		in.p.warn(ctx, "landing cannot read the log", "sequence", in.want, "error", err)
		if err := sleep(ctx, pause(try)); err != nil {
			return m, err
		}
		try++
	}
}

// errIdle says that nothing came until a heartbeat may be due.
var errIdle = errors.New("idle")

func (in *intake) read(ctx context.Context) (eventbatch.Message, error) {
	if in.reader == nil {
		r, err := in.p.src.Read(ctx, in.p.id, in.want)
		if err != nil {
			return eventbatch.Message{}, err
		}
		in.reader = r
	}
	due, open := in.due()
	if !open {
		return in.reader.Next(ctx)
	}
	if in.ahead() {
		in.heartbeat(ctx) // However much arrives, no event will end the segment.
	}
	wait := max(due.Sub(in.p.cfg.Now()), idle)
	timed, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := in.reader.Next(timed)
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return m, errIdle
	}
	return m, err
}

// due returns when the next heartbeat may be sent, and false while no event is open.
func (in *intake) due() (time.Time, bool) {
	micros, open := in.cutter.Due()
	interval := in.p.chain.Rule().Interval
	now := in.p.cfg.Now()
	spread := min(interval/10, mostSpread)
	// No segment is due in more than an interval, but by a clock that was set back since.
	if open && (in.beat.IsZero() || in.beat.Sub(now) > max(interval+spread, idle+mostPause)) {
		in.beat = now.Add(min(time.UnixMicro(micros).Sub(now), interval) + rand.N(spread+1))
	}
	return in.beat, open
}

// ahead reports whether the open segment was begun by a clock far ahead of this one.
func (in *intake) ahead() bool {
	micros, open := in.cutter.Due()
	return open && time.UnixMicro(micros).Sub(in.p.cfg.Now()) > 2*in.p.chain.Rule().Interval
}

// heartbeat sends one if it is time, and puts the next off ever longer: one that did not
// end the segment met a full log, or one that did not answer.
func (in *intake) heartbeat(ctx context.Context) {
	now := in.p.cfg.Now()
	if now.Before(in.beat) {
		return
	}
	if err := in.p.src.Heartbeat(ctx, in.p.id); err != nil {
		in.p.m.retries[stageHeartbeat].Inc()
		in.p.warn(ctx, "landing cannot append a heartbeat", "error", err)
	} else {
		in.p.m.heartbeats.Inc()
	}
	in.beat = in.p.cfg.Now().Add(idle + pause(in.beats))
	in.beats++
}

// cut notes that a new segment is open.
func (in *intake) cut() {
	in.beat = time.Time{}
	in.beats = 0
}

// close ends the reader; the next read opens another.
func (in *intake) close() {
	if in.reader != nil {
		in.reader.Close()
		in.reader = nil
	}
}
