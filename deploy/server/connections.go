package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/problem"
)

// connections is a listener that bounds how many connections are open. At the limit
// it closes the one that has waited longest without a request, because a client
// notices that no more than an idle timeout; only when every connection has a request
// under way is a new one told 503 and closed.
//
// Refusing or not accepting at the limit, as a plain semaphore does, would let
// anybody who holds that many idle connections, or sends that many headers slowly,
// lock out everyone else at no cost.
type connections struct {
	net.Listener
	limit        int
	writeTimeout time.Duration
	refusing     chan struct{} // bounds the goroutines that tell clients 503
	evicted      prometheus.Counter
	refused      prometheus.Counter

	mu      sync.Mutex
	open    int
	waiting list.List // of *connection without a whole request, the longest first
}

// connection is one of connections.
type connection struct {
	net.Conn
	of *connections

	// Guarded by of.mu.
	place  *list.Element // in of.waiting; nil while a request is answered
	closed bool

	// Of the goroutine that serves the connection alone.
	answering bool // the first byte of an answer was written
}

// refusers is how many clients can be told 503 at the same time; more are closed without a word.
const refusers = 64

func limitConnections(l net.Listener, cfg HTTPConfig, reg prometheus.Registerer) *connections {
	l2 := &connections{
		Listener: l, limit: cfg.MaxConnections, writeTimeout: cfg.WriteTimeout, refusing: make(chan struct{}, refusers),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_http_connections_evicted_total",
			Help: "Idle connections that were closed to make room for new ones at http.max_connections."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_http_connections_refused_total",
			Help: "Connections that were refused because http.max_connections were busy."}),
	}
	reg.MustRegister(l2.evicted, l2.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_http_connections",
			Help: "Connections that are open now."},
			l2.opened),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_http_connections_limit",
			Help: "Most connections that may be open at a time."},
			func() float64 { return float64(l2.limit) }))
	return l2
}

func (l *connections) opened() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.open)
}

// Accept returns the next connection that there is room for.
func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(conn); c != nil {
			return c, nil
		}
		l.refuse(conn)
	}
}

// admit makes room for the connection, or returns nil.
func (l *connections) admit(conn net.Conn) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limit {
		longest := l.waiting.Front()
		if longest == nil {
			return nil
		}
		victim := longest.Value.(*connection)
		victim.forget()
		_ = victim.Conn.Close() // Its own goroutine sees that and ends.
		l.evicted.Inc()
	}
	l.open++
	c := &connection{Conn: conn, of: l}
	c.place = l.waiting.PushBack(c)
	return c
}

// refuse answers a connection without serving it. It lets the client send its request
// first, because closing a connection with unread bytes resets it, and the answer may be lost.
func (l *connections) refuse(conn net.Conn) {
	l.refused.Inc()
	select {
	case l.refusing <- struct{}{}:
	default:
		_ = conn.Close()
		return
	}
	go func() {
		defer func() { <-l.refusing }()
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Read(make([]byte, 4<<10))
		_ = problem.WriteConn(conn, &problem.Problem{Status: http.StatusServiceUnavailable,
			Code: problem.TooManyConnections, RetryAfter: time.Second,
			Detail: "every connection this server may hold is busy; try again after Retry-After"})
	}()
}

// forget takes the connection out of the count. of.mu must be held.
func (c *connection) forget() {
	if c.closed {
		return
	}
	c.closed = true
	c.of.open--
	c.leave()
}

func (c *connection) leave() {
	if c.place != nil {
		c.of.waiting.Remove(c.place)
		c.place = nil
	}
}

// Close closes the connection and makes room for another.
func (c *connection) Close() error {
	c.of.mu.Lock()
	c.forget()
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends the server's half; net/http does so before it closes a connection whose body it did not read.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// begin notes that the connection has a request to answer, so it is not evicted.
func (c *connection) begin() {
	c.answering = false
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.leave()
}

// rest notes that the answer is sent and the connection waits for the next request.
func (c *connection) rest() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if !c.closed && c.place == nil {
		c.place = c.of.waiting.PushBack(c)
	}
}

// Write bounds how long a client may take to receive an answer: from its first byte
// on, because http.Server.WriteTimeout would count the time it takes to find it.
func (c *connection) Write(p []byte) (int, error) {
	if !c.answering {
		c.answering = true
		if err := c.SetWriteDeadline(time.Now().Add(c.of.writeTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

type connectionKey struct{}

// connectionContext is http.Server.ConnContext: it lets handlers find their connection.
func connectionContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, plain(c))
}

// plain is the connection below TLS, where there is TLS.
func plain(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// connectionState is http.Server.ConnState.
func connectionState(c net.Conn, s http.ConnState) {
	if s == http.StateIdle {
		plain(c).(*connection).rest()
	}
}
