package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// clickhouseSilence is how long ClickHouse may send nothing. read_timeout in the URL replaces it, and
// query.timeout raises it. The driver waits five minutes for the start of an answer and for ever for
// the rest, so a recompute over a half-open connection would never end. Over the native protocol,
// reports of progress end the silence. Over HTTP a statement sends nothing until its result begins.
const (
	clickhouseSilence = 30 * time.Second
	clickhouseDial    = 10 * time.Second
)

// boundSilence makes every connection to ClickHouse fail that carries no byte for too long.
func boundSilence(opts *clickhouse.Options, longestQuery time.Duration) {
	silence := cmp.Or(opts.ReadTimeout, max(clickhouseSilence, longestQuery))
	opts.DialTimeout = cmp.Or(opts.DialTimeout, clickhouseDial)
	native := opts.Protocol == clickhouse.Native
	if !native {
		opts.ReadTimeout = silence
	}
	dialer := &net.Dialer{Timeout: opts.DialTimeout}
	opts.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		var c net.Conn = &watched{Conn: conn, silence: silence}
		if native && opts.TLS != nil { // Over HTTP the transport does this.
			c, err = startTLS(ctx, c, addr, opts.TLS)
		}
		return c, err
	}
}

func startTLS(ctx context.Context, conn net.Conn, addr string, cfg *tls.Config) (net.Conn, error) {
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// watched is a connection on which a read or a write fails if it moves no byte for the length of
// silence. The deadlines that the user sets hold too.
type watched struct {
	net.Conn
	silence time.Duration

	mu          sync.Mutex
	read, write time.Time // the user's deadlines; zero is none
}

// Read implements net.Conn.
func (c *watched) Read(p []byte) (int, error) {
	if err := c.limitStep(&c.read, c.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	return n, c.explain(&c.read, "sent", err)
}

// Write implements net.Conn. It writes p in pieces, so that a link that is slow, but moves bytes, does not fail.
func (c *watched) Write(p []byte) (n int, err error) {
	const piece = 64 << 10
	for first := true; err == nil && (first || n < len(p)); first = false {
		if err := c.limitStep(&c.write, c.Conn.SetWriteDeadline); err != nil {
			return n, err
		}
		var wrote int
		wrote, err = c.Conn.Write(p[n:min(len(p), n+piece)])
		n += wrote
	}
	return n, c.explain(&c.write, "received", err)
}

// limitStep sets the deadline of the next read or write: the user's, or the end of the silence if that comes first.
func (c *watched) limitStep(user *time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Now().Add(c.silence)
	if !user.IsZero() && user.Before(deadline) {
		deadline = *user
	}
	return set(deadline)
}

// explain names the silent peer in an error, if it was the silence and not the user's deadline that ended.
func (c *watched) explain(user *time.Time, verb string, err error) error {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !user.IsZero() && !time.Now().Before(*user) {
		return err
	}
	return fmt.Errorf("%s %s nothing for %s: %w", c.RemoteAddr(), verb, c.silence, err)
}

// SyscallConn lets the driver notice that a pooled connection is closed before it uses it.
func (c *watched) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// SetDeadline implements net.Conn.
func (c *watched) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *watched) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *watched) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}
