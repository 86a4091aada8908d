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

// connections is a listener that bounds how many connections are open. At the limit it closes the
// connection that has waited longest without a request; to its client this looks like an idle timeout.
// A new connection is answered 503 and closed only when every open connection has a request to answer.
//
// A plain semaphore would refuse or keep waiting at the limit. A client that holds that many idle
// connections, or sends that many headers slowly, would then lock out all others at no cost.
type connections struct {
	net.Listener
	limit        int
	writeTimeout time.Duration
	refusing     chan struct{} // bounds the goroutines that answer 503
	evicted      prometheus.Counter
	refused      prometheus.Counter

	mu      sync.Mutex
	open    int
	waiting list.List // *connection values without a whole request, the longest waiting first
}

// connection is an open connection of a listener that bounds them.
type connection struct {
	net.Conn
	listener *connections

	// listener.mu guards these.
	place  *list.Element // in listener.waiting; nil while a request is answered
	closed bool

	// Only the goroutine that serves the connection uses this.
	answering bool // the first byte of an answer was written
}

// maxRefusals is how many clients can be answered 503 at the same time. Further connections are
// closed without an answer.
const maxRefusals = 64

func limitConnections(l net.Listener, cfg HTTPConfig, reg prometheus.Registerer) *connections {
	limited := &connections{
		Listener: l, limit: cfg.MaxConnections, writeTimeout: cfg.WriteTimeout,
		refusing: make(chan struct{}, maxRefusals),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_http_connections_evicted_total",
			Help: "Idle connections that were closed to make room for new connections at http.max_connections."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "recount_http_connections_refused_total",
			Help: "Connections that were refused because http.max_connections connections were busy."}),
	}
	reg.MustRegister(limited.evicted, limited.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_http_connections",
			Help: "Connections that are open now."},
			limited.opened),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_http_connections_limit",
			Help: "Most connections that may be open at the same time."},
			func() float64 { return float64(limited.limit) }))
	return limited
}

func (l *connections) opened() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.open)
}

// Accept returns the next connection that fits below the limit.
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

// admit counts the connection, after an eviction if the limit is reached. It returns nil if no
// connection can be evicted.
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
		_ = victim.Conn.Close() // The goroutine that serves it fails to read and ends.
		l.evicted.Inc()
	}
	l.open++
	c := &connection{Conn: conn, listener: l}
	c.place = l.waiting.PushBack(c)
	return c
}

// refuse answers 503 without serving the connection. It reads the request first: to close a
// connection with unread bytes resets it, and the client may lose the answer.
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
			Detail: "all http.max_connections connections of this server are busy; try again after Retry-After"})
	}()
}

// forget removes the connection from the count. listener.mu must be held.
func (c *connection) forget() {
	if c.closed {
		return
	}
	c.closed = true
	c.listener.open--
	c.leaveQueue()
}

// leaveQueue removes the connection from the waiting connections. listener.mu must be held.
func (c *connection) leaveQueue() {
	if c.place != nil {
		c.listener.waiting.Remove(c.place)
		c.place = nil
	}
}

// Close closes the connection and makes room for another.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	c.forget()
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the server's half of the connection. net/http calls it before it closes a
// connection whose body it did not read.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// startRequest records that the connection has a request to answer. It cannot be evicted until
// finishRequest.
func (c *connection) startRequest() {
	c.answering = false
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.leaveQueue()
}

// finishRequest records that the answer is sent and the connection waits for the next request.
func (c *connection) finishRequest() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if !c.closed && c.place == nil {
		c.place = c.listener.waiting.PushBack(c)
	}
}

// Write bounds how long a client may take to receive an answer, from its first byte on.
// http.Server.WriteTimeout would also count the time in which the handler computes the answer.
func (c *connection) Write(p []byte) (int, error) {
	if !c.answering {
		c.answering = true
		if err := c.SetWriteDeadline(time.Now().Add(c.listener.writeTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

type connectionKey struct{}

// connectionContext is the http.Server.ConnContext with which handlers find their connection.
func connectionContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, withoutTLS(c))
}

// withoutTLS returns the connection below TLS, or c itself.
func withoutTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// connectionState is the http.Server.ConnState that notices when a request has ended.
func connectionState(c net.Conn, s http.ConnState) {
	if s == http.StateIdle {
		withoutTLS(c).(*connection).finishRequest()
	}
}
