package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/recount/progress"
	"recount/speed/ingest"
)

// How the flights are sent.
const (
	batchSize = 1000 // batchSize is how many events a request holds.
	inFlight  = 4    // inFlight is how many requests wait for an answer at a time.
)

// director runs the replay and remembers how the server answered.
type director struct {
	out     io.Writer
	api     *api
	sender  *client.Client
	flights *Flights

	plan     *replay
	sendTime time.Duration
	accepted atomic.Int64
	rejected atomic.Int64
	retries  atomic.Int64

	mu    sync.Mutex
	acked map[int]uint64 // acked is the sequence after the last acknowledged message, by partition.
}

// countRetry counts a request of events that is sent again.
func (d *director) countRetry(error) error {
	d.retries.Add(1)
	return nil
}

// replay sends every event and shows the progress.
func (d *director) replay(ctx context.Context, seed uint64) error {
	d.plan = newReplay(d.flights, seed)
	watch, stop := context.WithCancel(ctx)
	defer stop()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		d.watch(watch)
	}()
	err := d.send(ctx)
	stop()
	<-watching
	return err
}

// send sends the events of the plan, several requests at a time.
func (d *director) send(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for gctx.Err() == nil {
		body, n := d.plan.batch(make([]byte, 0, batchSize*220), batchSize)
		if n == 0 {
			break
		}
		g.Go(func() error {
			answer, err := d.sender.SendLines(gctx, body)
			d.accepted.Add(int64(answer.Accepted))
			d.rejected.Add(int64(len(answer.Rejected)))
			return errors.Join(err, d.recordReceipt(answer.Receipt))
		})
	}
	return g.Wait()
}

// recordReceipt remembers the positions that a receipt names.
func (d *director) recordReceipt(receipt string) error {
	if receipt == "" {
		return nil
	}
	places, err := ingest.DecodeReceipt(receipt, "")
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range places {
		d.acked[p.Partition] = max(d.acked[p.Partition], p.Seq+1)
	}
	return err
}

// waitVisible waits until answers cover every acknowledged event. An answer covers an exact prefix of the log and names
// the position where that prefix ends.
func (d *director) waitVisible(ctx context.Context) error {
	for {
		_, acc, err := d.api.flights(ctx)
		covered := err == nil
		for p, next := range d.acked {
			covered = covered && acc.Through[p] >= next
		}
		if covered {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// watch shows progress and the live answer until its context ends.
func (d *director) watch(ctx context.Context) {
	bar := progress.New(d.out)
	defer bar.Clear()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		total, acc, err := d.api.flights(ctx)
		if err != nil {
			continue // The next tick asks again.
		}
		bar.Set(d.accepted.Load()+d.rejected.Load(), int64(d.plan.total()),
			fmt.Sprintf("acknowledged %d · counted live %d · publication %d, %d events since", d.accepted.Load(), total,
				acc.Publication, acc.PendingEvents))
	}
}

// waitExact waits until the batch view holds every event that was sent.
func (d *director) waitExact(ctx context.Context) error {
	fmt.Fprintln(d.out, "every event is acknowledged; waiting for a publication that holds all of them")
	for {
		_, acc, err := d.api.flights(ctx)
		if err == nil && acc.PendingEvents == 0 && acc.Exact {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
