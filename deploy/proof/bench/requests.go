package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smallConnections is how many connections send small requests.
	smallConnections = 64
	// smallTime is how long each of the two loads of small requests lasts.
	smallTime = 2 * time.Second
	// openShare is the share of the ceiling that the open loop sends.
	openShare = 0.6
)

// requests measures requests with few events: how many the server takes at most, and the latency from the intended
// send time at a part of that. It also measures how soon an acknowledged event is in an answer.
func (r *run) requests() error {
	s := &shapes()[0]
	type small struct {
		size   int
		bodies [][]byte
	}
	var all []small
	for i, size := range []int{1, 10, 100} {
		bodies, _, err := s.bodies(min(1_200_000, size*200_000), size, uint64(10+i))
		if err != nil {
			return err
		}
		all = append(all, small{size, bodies})
	}
	r.say("requests: 1, 10 and 100 events a request over %d connections", smallConnections)
	for range r.rounds {
		for _, p := range r.programs {
			server, remove, err := r.startRecount(s, p)
			if err != nil {
				return err
			}
			err = r.visible(server, p.system)
			for _, small := range all {
				if err == nil {
					err = r.smallRequests(server, p.system, small.size, small.bodies)
				}
			}
			remove()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// smallRequests first finds the ceiling with a closed loop, and then sends a part of it in an open loop.
func (r *run) smallRequests(server *server, system string, size int, bodies [][]byte) error {
	name := fmt.Sprintf("%d events a request", size)
	half := len(bodies) / 2 // A fast server must leave requests for the open loop.
	var closed loop
	f, err := server.measure(func() (err error) {
		closed, err = (&source{bodies: bodies[:half]}).send(server.url, 0)
		return err
	})
	if err != nil {
		return err
	}
	rate := float64(closed.sent) / f.took.Seconds()
	r.report.add(name+", ceiling", "requests/s", system, rate)
	r.report.add(name+", CPU", "µs/request", system, f.cpu.Seconds()*1e6/float64(closed.sent))
	open, err := (&source{bodies: bodies[half:]}).send(server.url, openShare*rate)
	if err != nil {
		return err
	}
	if len(open.took) == 0 {
		return fmt.Errorf("%s: %s: none of %d requests was accepted", system, name, len(bodies)-half)
	}
	r.addLatencies(fmt.Sprintf("%s, %.0f %% of it", name, 100*openShare), system, open.took)
	if refused := closed.refused + open.refused; refused > 0 {
		r.say("  %s: %s: %d refused", system, name, refused)
	}
	return nil
}

// source gives each request once.
type source struct {
	bodies [][]byte
	next   atomic.Int64
}

// loop is the outcome of a load.
type loop struct {
	sent, refused int64
	took          []float64 // took is the time of each answer, in seconds, from when its request should have been sent.
}

// send sends requests over all connections for smallTime. With a rate the loop is open: each request has a time at
// which it should be sent, and a request that waits for an earlier answer of its connection is late by that much.
func (s *source) send(url string, rate float64) (total loop, err error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	began := time.Now()
	for k := range smallConnections {
		group.Go(func() {
			var schedule func(i int) time.Time
			if rate > 0 {
				schedule = func(i int) time.Time {
					return began.Add(time.Duration(float64(i*smallConnections+k) / rate * float64(time.Second)))
				}
			}
			one, failure := s.sendOn(url, began.Add(smallTime), schedule)
			mu.Lock()
			total.sent += one.sent
			total.refused += one.refused
			total.took = append(total.took, one.took...)
			err = errors.Join(err, failure)
			mu.Unlock()
		})
	}
	group.Wait()
	return total, err
}

// sendOn sends requests over one connection until the end.
func (s *source) sendOn(url string, end time.Time, schedule func(i int) time.Time) (l loop, err error) {
	c, err := dial(url)
	if err != nil {
		return l, err
	}
	defer c.close()
	for i := 0; ; i++ {
		due := time.Now()
		if schedule != nil {
			due = schedule(i)
		}
		n := int(s.next.Add(1)) - 1
		if !due.Before(end) || n >= len(s.bodies) {
			return l, nil
		}
		time.Sleep(time.Until(due))
		status, err := c.events(s.bodies[n])
		switch {
		case err != nil:
			return l, err
		case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
			l.refused++
		case status != http.StatusOK:
			return l, fmt.Errorf("events answered %d: %s", status, c.answer)
		default:
			l.sent++
			l.took = append(l.took, time.Since(due).Seconds())
		}
	}
}

// visible measures the time from an acknowledgement until an answer counts the event, on an idle server.
func (r *run) visible(server *server, system string) error {
	c, err := dial(server.url)
	if err != nil {
		return err
	}
	defer c.close()
	const question = `{"view":"hits","measures":["hits"],"from":"2025-06-01T00:00:00Z","to":"2025-06-02T00:00:00Z"}`
	var took []float64
	for i := range 100 {
		body := fmt.Appendf(nil, `{"specversion":"1.0","id":"visible-%d","source":"/bench","type":"page.hit",`+
			`"time":"2025-06-01T00:00:00Z","data":{"path":"/"}}`, i)
		if err := c.deliver(body, new(atomic.Int64)); err != nil {
			return err
		}
		for began, want := time.Now(), fmt.Sprintf(`"hits":%d,`, i+1); ; {
			status, err := c.query([]byte(question))
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("query answered %d: %s", status, c.answer)
			}
			if strings.Contains(string(c.answer), want) {
				took = append(took, time.Since(began).Seconds())
				break
			}
			if time.Since(began) > c.patience {
				return fmt.Errorf("no answer counts event %d within %s of its acknowledgement, the last is %.500s", i,
					c.patience, c.answer)
			}
		}
	}
	r.addLatencies("acknowledgement to answer, idle", system, took)
	return nil
}
