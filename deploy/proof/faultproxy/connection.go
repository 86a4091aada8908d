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
	// maxQueued is how many chunks one direction may hold back. A slow link has a small
	// buffer: when it is full the proxy stops reading, and TCP makes the sender wait.
	maxQueued = 64
	// stallPoll is how often a stalled direction looks whether the stall has ended.
	stallPoll = 5 * time.Millisecond
)

// connection is a client's connection to the proxy and the proxy's connection to the server.
type connection struct {
	p              *Proxy
	client, server net.Conn
	halfOpen       atomic.Bool   // halfOpen swallows all bytes and keeps the connection open.
	closedEnds     atomic.Int32  // closedEnds counts the ends that have closed.
	once           sync.Once     // once guards close.
	done           chan struct{} // done is closed when both ends are closed.
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
			_ = tcp.SetLinger(0) // It fails only for a connection that is closed already.
		}
	}
	c.close()
}

// chunk is a piece of the stream that is due at the other end at a given time.
type chunk struct {
	bytes []byte
	due   time.Time
}

// pump moves bytes one way until either end is closed. It reads on while earlier chunks
// are delayed, so latency costs no bandwidth.
func (c *connection) pump(from, to net.Conn, faults func() Direction, rng *rand.Rand) {
	queue := make(chan chunk, maxQueued)
	var wg sync.WaitGroup
	wg.Go(func() { c.deliver(queue, to, faults) })
	flip := flipper{rng: rng}
	for {
		buf := make([]byte, chunkBytes)
		n, err := from.Read(buf)
		if n > 0 && !c.halfOpen.Load() {
			d := faults()
			c.p.flips.Add(flip.flipBits(buf[:n], d.FlipOneIn))
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
	// One end of a half-open connection does not notice that the other has closed.
	if c.closedEnds.Add(1) == 1 && c.halfOpen.Load() {
		<-c.done
	}
	c.close() // No protocol that uses this proxy needs a half-closed connection.
}

// deliver writes chunks in order, each at its due time.
func (c *connection) deliver(queue <-chan chunk, to net.Conn, faults func() Direction) {
	for next := range queue {
		c.wait(time.Until(next.due))
		for faults().Stall {
			if !c.wait(stallPoll) {
				break
			}
		}
		if rate := faults().BytesPerSecond; rate > 0 {
			c.wait(time.Duration(len(next.bytes)) * time.Second / time.Duration(rate))
		}
		if c.halfOpen.Load() {
			continue
		}
		if _, err := to.Write(next.bytes); err != nil {
			c.close()
		}
	}
}

// wait waits for d and reports whether the connection is still open afterwards.
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

// flipper flips bits at distances that are drawn around a mean.
type flipper struct {
	rng  *rand.Rand
	mean int64
	left int64 // left is the number of bytes until the next flip.
}

// flipBits flips bits in b, one in mean bytes on average, and returns how many.
func (f *flipper) flipBits(b []byte, mean int64) (flips int64) {
	if mean <= 0 {
		f.mean = 0
		return 0
	}
	if f.mean != mean {
		f.mean = mean
		f.left = f.drawDistance(mean)
	}
	for f.left < int64(len(b)) {
		b[f.left] ^= 1 << f.rng.IntN(8)
		flips++
		f.left += f.drawDistance(mean)
	}
	f.left -= int64(len(b))
	return flips
}

func (f *flipper) drawDistance(mean int64) int64 { return 1 + int64(f.rng.ExpFloat64()*float64(mean)) }
