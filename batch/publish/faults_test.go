package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/batch/cells"
	"recount/schemas/record"
)

// TestDiesAnywhere ends a run at every operation it makes, once before the operation and once after
// it, and lets a new process continue. There must be one chain, and every row must count once.
func TestDiesAnywhere(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := rand.New(rand.NewPCG(3, 4))
			c := catalogOf(wideView(), slimView())
			struck := map[string]bool{}
			for step, f := 0, (*faults)(nil); f == nil || f.what != ""; step++ {
				w.advance(time.Minute)
				f = &faults{at: step, after: after}
				if err := w.unstarted(c, f).Start(t.Context()); (err != nil) != (f.what != "") {
					t.Fatalf("start died at step %d (%.60s): %v", step, f.what, err)
				}
				struck[strings.Fields(f.what + " -")[0]] = true
			}
			// Runs differ in length, so counting steps may miss the operation that matters most. The
			// first run therefore dies at the create, whatever step that is.
			for step, f := -1, (*faults)(nil); f == nil || f.what != ""; step++ {
				w.land("flight", randomEvents(r, 8, epoch.UnixMicro()+int64(step&3)*hour, 2)...)
				f = &faults{at: -1, after: after}
				p := w.publisher(c, f)
				f.arm(step)
				if step < 0 {
					f.on = "create"
				}
				if _, err := p.Recompute(t.Context()); (err != nil) != (f.what != "") {
					t.Fatalf("recompute died at step %d (%.60s): %v", step, f.what, err)
				}
				struck[strings.Fields(f.what + " -")[0]] = true
				w.recompute(w.publisher(c, nil))
				w.checkWide(fmt.Sprintf("died at step %d (%.60s)", step, f.what))
				w.checkChain()
			}
			for _, what := range []string{"get", "list", "head", "create", "send", "INSERT", "SELECT", "CREATE"} {
				if !struck[what] {
					t.Errorf("no run died at a %s; runs died at %v", what, keys(struck))
				}
			}
		})
	}
}

// checkChain applies every publication in order, which fails unless they are one chain (P2, V5).
func (w *world) checkChain() *record.State {
	w.t.Helper()
	all := maps.Clone(w.records.Bodies)
	s := record.EmptyState(partitions)
	for n := uint64(1); all[record.PublicationKey(n)] != nil; n++ {
		var err error
		if s, err = s.Apply(all[record.PublicationKey(n)]); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

// TestTwoPublishers lets two processes publish at the same time. They must make one chain, and every
// row must count once.
func TestTwoPublishers(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(wideView())
	pair := []*Publisher{w.publisher(c, nil), w.publisher(c, nil)}
	for range 6 {
		w.land("flight", randomEvents(r, 30, epoch.UnixMicro(), 3)...)
		var running sync.WaitGroup
		for _, p := range pair {
			running.Go(func() {
				if _, err := p.Recompute(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		w.checkWide("two at once")
		s := w.checkChain()
		for i, h := range s.H {
			if h != w.chains[i].Head {
				t.Errorf("H of partition %d is %v, the chain's head %v", i, h, w.chains[i].Head)
			}
		}
	}
}

// racingLog is a CommitLog in which another publisher wins just before a record is created.
type racingLog struct {
	record.CommitLog
	once sync.Once
	win  func()
}

func (r *racingLog) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	r.once.Do(r.win)
	return r.CommitLog.Create(ctx, key, body)
}

// TestLosesTheRace checks P2: the loser stops if the winner's H covers its own, else it plans again.
func TestLosesTheRace(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]bool{"covered": false, "not covered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newRandomWorld(t)
			w.land("flight", randomEvents(r, 30, epoch.UnixMicro(), 2)...)
			before, _ := w.readChains(t.Context())
			other := w.publisher(catalogOf(wideView()), nil)
			p := w.publisher(catalogOf(wideView()), nil)
			if more {
				// The winner has read shorter chains.
				other.chains = func(context.Context) ([]*record.Chain, error) { return before, nil }
				w.land("flight", randomEvents(r, 30, epoch.UnixMicro(), 2)...)
			}
			p.records = &racingLog{CommitLog: p.records, win: func() { w.recompute(other) }}
			if got := w.recompute(p); got.Nothing == more {
				t.Errorf("got %+v", got)
			}
			w.checkWide(name)
			w.checkChain()
		})
	}
}

// tamperingConn is a connection that changes a table before rows are read back.
type tamperingConn struct {
	driver.Conn
	what string
}

func (c tamperingConn) Query(ctx context.Context, q string, args ...any) (driver.Rows, error) {
	if strings.Contains(q, "xxHash64") {
		if err := c.Exec(ctx, "ALTER TABLE "+c.what+" SETTINGS mutations_sync = 2"); err != nil {
			return nil, err
		}
	}
	return c.Conn.Query(ctx, q, args...)
}

// TestVerifies checks B5: a lost row stops a publication, and so does an edited value in any column.
func TestVerifies(t *testing.T) {
	t.Parallel()
	w, _ := newRandomWorld(t)
	c := catalogOf(wideView())
	full := event{id: "a", tenant: "acme", time: epoch.UnixMicro(), origin: pointer("ORD"), delay: pointer(int64(5)),
		fare: pointer(1.5), ok: pointer(true), closed: pointer(epoch.UnixMicro())}
	bare := full
	bare.id = "b"
	bare.origin = nil
	bare.delay = nil
	bare.fare = nil
	bare.ok = nil
	bare.closed = nil
	w.land("flight", full, bare)
	p := w.publisher(c, nil)
	views := p.views
	table := "cells_wide_" + c.Digest(wideView())
	for _, edit := range []string{
		"DELETE WHERE origin = 'ORD'", "UPDATE origin = 'ATL' WHERE origin = 'ORD'",
		"UPDATE origin = '' WHERE origin IS NULL",
		"UPDATE delay = 0 WHERE delay IS NULL", "UPDATE ok = false WHERE ok IS NULL", "UPDATE ok = false WHERE ok",
		"UPDATE _events = 2 WHERE ok", "UPDATE n = 2 WHERE ok",
		"UPDATE total__sum = total__sum + pow(2, 64)::Int128 WHERE ok", "UPDATE total__n = 0 WHERE ok",
		"UPDATE paid__near = 1 WHERE isNull(ok)", "UPDATE paid__far = repeat('a', 17) WHERE ok",
		"UPDATE mean__n = 9 WHERE ok", "UPDATE least = NULL WHERE ok",
		"UPDATE most = 0 WHERE isNull(ok)",
		"UPDATE last = last + toIntervalMicrosecond(1) WHERE ok",
		"UPDATE origins__state = concat(origins__state, '\\0') WHERE ok", "UPDATE fares__state = '\\0' WHERE ok",
	} {
		p.views = cells.NewStore(tamperingConn{w.db, table + " " + edit}, c)
		if _, err := p.Recompute(t.Context()); !errors.Is(err, ErrVerify) {
			t.Errorf("%s: got %v, want ErrVerify", edit, err)
		}
	}
	if p.State().N != 0 {
		t.Fatal("rows that are not what was computed were published")
	}
	p.views = views
	w.recompute(p)
	w.checkWide("untouched")
}
