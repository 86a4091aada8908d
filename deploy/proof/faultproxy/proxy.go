package faultproxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is what happens to bytes that go one way. The zero value lets them pass.
type Direction struct {
	Latency        time.Duration // each chunk arrives so much later
	Jitter         time.Duration // and up to so much more; order is kept
	BytesPerSecond int           // 0 is unlimited
	FlipOneIn      int64         // a bit is flipped in one of so many bytes, on average; 0 is never
	Stall          bool          // nothing arrives until the stall ends
}

// Faults are those of both directions.
type Faults struct {
	Up   Direction // from the client to the server
	Down Direction // from the server to the client
}

// Stats count what a proxy has done.
type Stats struct {
	Connections, Flips, Resets, HalfOpened int64
}

// Proxy forwards connections to one server. It is safe for concurrent use.
type Proxy struct {
	target   string
	seed     uint64
	listener net.Listener
	faults   atomic.Pointer[Faults]

	connections, flips, resets, halfOpened atomic.Int64

	mu     sync.Mutex
	open   map[*connection]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Listen returns a proxy on a free loopback port that forwards to the server at target.
func Listen(target string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy for %s: %w", target, err)
	}
	p := &Proxy{target: target, seed: seed, listener: l, open: map[*connection]struct{}{}}
	p.faults.Store(&Faults{})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the faults, for open connections too. Set(Faults{}) heals.
func (p *Proxy) Set(f Faults) { p.faults.Store(&f) }

// Stats returns what the proxy has done so far.
func (p *Proxy) Stats() Stats {
	return Stats{p.connections.Load(), p.flips.Load(), p.resets.Load(), p.halfOpened.Load()}
}

// Reset ends every open connection with RST on both sides and returns how many.
func (p *Proxy) Reset() int {
	n := p.each((*connection).reset)
	p.resets.Add(int64(n))
	return n
}

// HalfOpen makes every open connection swallow what it is sent, for good. New
// connections work.
func (p *Proxy) HalfOpen() int {
	n := p.each(func(c *connection) { c.dead.Store(true) })
	p.halfOpened.Add(int64(n))
	return n
}

func (p *Proxy) each(f func(*connection)) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		f(c)
	}
	return len(p.open)
}

// Close ends all connections and waits until every goroutine has ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.each((*connection).close)
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for number := uint64(0); ; number++ {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // Out of file descriptors, most likely.
			continue
		}
		p.wg.Go(func() { p.forward(client, number) })
	}
}

// dialTimeout bounds the connection to the server.
const dialTimeout = 5 * time.Second

func (p *Proxy) forward(client net.Conn, number uint64) {
	server, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		client.Close()
		return
	}
	c := &connection{p: p, client: client, server: server, done: make(chan struct{})}
	if !p.add(c) {
		c.close()
		return
	}
	defer p.remove(c)
	defer c.close()
	var wg sync.WaitGroup
	up := func() Direction { return p.faults.Load().Up }
	down := func() Direction { return p.faults.Load().Down }
	wg.Go(func() { c.pump(client, server, up, rand.New(rand.NewPCG(p.seed, 2*number))) })
	wg.Go(func() { c.pump(server, client, down, rand.New(rand.NewPCG(p.seed, 2*number+1))) })
	wg.Wait()
}

func (p *Proxy) add(c *connection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.connections.Add(1)
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}
