package faultproxy

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkBytes = 16 << 10
	// maxQueued bounds what one direction holds back: a slow link has a small buffer, and
	// the sender notices by TCP's own means.
	maxQueued = 64
	stallPoll = 5 * time.Millisecond
)

// connection is one client's connection and the one to the server behind it.
type connection struct {
	p              *Proxy
	client, server net.Conn
	dead           atomic.Bool  // swallow everything, end nothing
	gone           atomic.Int32 // ends that have closed
	once           sync.Once
	done           chan struct{} // closed when both ends are
}

func (c *connection) close() {
	c.once.Do(func() {
		close(c.done)
		c.client.Close()
		c.server.Close()
	})
}

// reset closes both ends so that the kernel sends RST instead of FIN.
func (c *connection) reset() {
	for _, end := range []net.Conn{c.client, c.server} {
		if tcp, ok := end.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // A connection that is gone needs no RST.
		}
	}
	c.close()
}

// chunk is bytes on their way, and when they arrive.
type chunk struct {
	bytes []byte
	due   time.Time
}

// pump moves bytes one way until either end is closed. Reading goes on while chunks are
// on their way, so latency costs no bandwidth.
func (c *connection) pump(from, to net.Conn, faults func() Direction, rng *rand.Rand) {
	queue := make(chan chunk, maxQueued)
	var wg sync.WaitGroup
	wg.Go(func() { c.deliver(queue, to, faults) })
	flip := flipper{rng: rng}
	for {
		buf := make([]byte, chunkBytes)
		n, err := from.Read(buf)
		if n > 0 && !c.dead.Load() {
			d := faults()
			c.p.flips.Add(flip.over(buf[:n], d.FlipOneIn))
			due := time.Now().Add(d.Latency)
			if d.Jitter > 0 {
				due = due.Add(time.Duration(rng.Int64N(int64(d.Jitter))))
			}
			select {
			case queue <- chunk{buf[:n], due}:
			case <-c.done:
			}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	wg.Wait()
	// The other end of a half open connection hears nothing of it.
	if c.gone.Add(1) == 1 && c.dead.Load() {
		<-c.done
	}
	c.close() // Half-closed connections are of no use to the protocols behind this.
}

// deliver writes chunks in their order, each when it is due.
func (c *connection) deliver(queue <-chan chunk, to net.Conn, faults func() Direction) {
	for x := range queue {
		c.wait(time.Until(x.due))
		for faults().Stall && c.wait(stallPoll) {
		}
		if rate := faults().BytesPerSecond; rate > 0 {
			c.wait(time.Duration(len(x.bytes)) * time.Second / time.Duration(rate))
		}
		if c.dead.Load() {
			continue
		}
		if _, err := to.Write(x.bytes); err != nil {
			c.close()
		}
	}
}

// wait reports whether the connection is still there afterwards.
func (c *connection) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}

// flipper flips bits at distances drawn around a mean.
type flipper struct {
	rng  *rand.Rand
	mean int64
	left int64 // bytes until the next flip
}

// over flips bits in b and returns how many.
func (f *flipper) over(b []byte, mean int64) (flips int64) {
	if mean <= 0 {
		f.mean = 0
		return 0
	}
	if f.mean != mean {
		f.mean = mean
		f.left = f.draw(mean)
	}
	for f.left < int64(len(b)) {
		b[f.left] ^= 1 << f.rng.IntN(8)
		flips++
		f.left += f.draw(mean)
	}
	f.left -= int64(len(b))
	return flips
}

func (f *flipper) draw(mean int64) int64 { return 1 + int64(f.rng.ExpFloat64()*float64(mean)) }
