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

// Direction says what happens to the bytes that go one way. The zero value lets them pass.
type Direction struct {
	Latency        time.Duration // Latency delays each chunk.
	Jitter         time.Duration // Jitter is the most that is added to Latency; order is kept.
	BytesPerSecond int           // BytesPerSecond limits the bandwidth; 0 is unlimited.
	FlipOneIn      int64         // FlipOneIn bytes, on average, hold one flipped bit; 0 flips none.
	Stall          bool          // Stall delivers nothing until it is reset to false.
}

// Faults are the faults of both directions.
type Faults struct {
	ToServer Direction // ToServer applies to bytes from the client to the server.
	ToClient Direction // ToClient applies to bytes from the server to the client.
}

// Stats counts what a proxy has done.
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

// Addr is the address at which clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the faults, for open connections too. Set(Faults{}) ends all faults.
func (p *Proxy) Set(f Faults) { p.faults.Store(&f) }

// Stats returns what the proxy has done so far.
func (p *Proxy) Stats() Stats {
	return Stats{p.connections.Load(), p.flips.Load(), p.resets.Load(), p.halfOpened.Load()}
}

// Reset ends every open connection with RST on both sides and returns how many there were.
func (p *Proxy) Reset() int {
	n := p.forEach((*connection).reset)
	p.resets.Add(int64(n))
	return n
}

// HalfOpen makes every open connection swallow all bytes from now on and returns how many
// there were. New connections work.
func (p *Proxy) HalfOpen() int {
	n := p.forEach(func(c *connection) { c.halfOpen.Store(true) })
	p.halfOpened.Add(int64(n))
	return n
}

// forEach calls f for every open connection and returns how many there are.
func (p *Proxy) forEach(f func(*connection)) int {
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
	p.forEach((*connection).close)
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
			time.Sleep(10 * time.Millisecond) // The process is probably out of file descriptors.
			continue
		}
		p.wg.Go(func() { p.forward(client, number) })
	}
}

// dialTimeout is how long connecting to the server may take.
const dialTimeout = 5 * time.Second

// forward connects a client to the server and moves bytes until either end closes.
func (p *Proxy) forward(client net.Conn, number uint64) {
	server, err := net.DialTimeout("tcp", p.target, dialTimeout)
	if err != nil {
		client.Close()
		return
	}
	c := &connection{p: p, client: client, server: server, done: make(chan struct{})}
	if !p.register(c) {
		c.close()
		return
	}
	defer p.unregister(c)
	defer c.close()
	var wg sync.WaitGroup
	toServer := func() Direction { return p.faults.Load().ToServer }
	toClient := func() Direction { return p.faults.Load().ToClient }
	wg.Go(func() { c.pump(client, server, toServer, rand.New(rand.NewPCG(p.seed, 2*number))) })
	wg.Go(func() { c.pump(server, client, toClient, rand.New(rand.NewPCG(p.seed, 2*number+1))) })
	wg.Wait()
}

// register reports whether the proxy is still open, and if so keeps the connection.
func (p *Proxy) register(c *connection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.connections.Add(1)
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) unregister(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}
