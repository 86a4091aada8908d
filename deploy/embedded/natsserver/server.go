// Package natsserver runs a NATS server with JetStream inside the process: the
// default log, used when the configuration names none. It opens no port by default, fsyncs every
// write before its ack (L1) and survives kill -9 over the same directory.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"recount/schemas/durable"
)

// Server is a running embedded NATS server. It is safe for concurrent use.
type Server struct {
	nats  *server.Server
	lock  *durable.Held
	dir   string
	store os.FileInfo // the stream directory as it was at start
	close sync.Once
}

// readyWait bounds a start. Without its index the server reads all of the log, some 100 MB a second.
const readyWait = 10 * time.Minute

// Open starts the server over c.Dir, recovers its streams and returns once it accepts
// connections. Recovery reads the newest blocks of the log, so ctx should allow seconds.
func Open(ctx context.Context, c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("embedded log: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("embedded log: %w", err)
	}
	s := &Server{lock: lock, dir: filepath.Join(c.Dir, server.JetStreamStoreDir)}
	if err := s.start(ctx, c); err != nil {
		s.Close()
		return nil, fmt.Errorf("embedded log in %s: %w", c.Dir, err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, c Config) error {
	opts, err := options(c)
	if err != nil {
		return err
	}
	log := newLogger(c.Logger)
	if err := setDamagedAside(s.dir, log.log); err != nil {
		return err
	}
	if s.nats, err = server.NewServer(opts); err != nil {
		return err
	}
	s.nats.SetLoggerV2(log, false, false, false)
	go s.nats.Start()
	begun := time.Now()
	for !s.nats.ReadyForConnections(50 * time.Millisecond) {
		if err := errors.Join(log.fatal(), ctx.Err()); err != nil {
			return err
		}
		if time.Since(begun) > readyWait {
			return fmt.Errorf("the server has not read its streams within %s: check the disk", readyWait)
		}
	}
	if s.store, err = os.Stat(s.dir); err != nil {
		return err
	}
	if c.SyncAlways && !s.SyncAlways() {
		return errors.New("the server does not fsync every write although it was told to")
	}
	return nil
}

func options(c Config) (*server.Options, error) {
	opts := &server.Options{
		ServerName:         "recount",
		JetStream:          true,
		StoreDir:           c.Dir,
		SyncAlways:         c.SyncAlways,
		JetStreamMaxMemory: maxMemory,
		JetStreamMaxStore:  c.MaxStore,
		MaxPayload:         c.MaxPayload,
		DontListen:         c.Listen == "",
		NoSigs:             true, // signals belong to the process that embeds the server
		NoLog:              true, // start attaches our own logger
	}
	if c.Cluster.Name != "" {
		if err := c.Cluster.join(opts); err != nil {
			return nil, err
		}
	}
	if c.Listen == "" {
		return opts, nil
	}
	host, port, err := splitListen(c.Listen)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts.Host = host
	opts.Port = port
	return opts, nil
}

// join makes the server one of a cluster.
func (c Cluster) join(opts *server.Options) (err error) {
	opts.ServerName = c.Name
	opts.Cluster.Name = "recount"
	if opts.Cluster.Host, opts.Cluster.Port, err = splitListen(c.Listen); err != nil {
		return err
	}
	for _, peer := range c.Peers {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: peer})
	}
	return nil
}

func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("log listen address %q: want host:port", listen)
	}
	return host, port, nil
}

// InProcessConn returns a connection to the server that uses no network.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// ClientURL is the address for TCP clients, or empty when the server does not listen.
func (s *Server) ClientURL() string {
	if s.nats.Addr() == nil {
		return ""
	}
	return "nats://" + s.nats.Addr().String()
}

// SyncAlways reports, from the running server rather than its configuration,
// whether every write is fsynced before its ack (L1).
func (s *Server) SyncAlways() bool {
	c := s.nats.JetStreamConfig()
	return c != nil && c.SyncAlways
}

// Healthy returns why the server cannot be trusted with writes, or nil. JetStream
// answers nothing at all to a publish it failed to write, so this is where a full
// disk shows. A removed directory shows nowhere else: writes continue into unlinked files.
func (s *Server) Healthy() error {
	now, err := os.Stat(s.dir)
	if err != nil {
		return fmt.Errorf("log directory is gone: stop, restore %s and start again: %w", s.dir, err)
	}
	if !os.SameFile(now, s.store) {
		return fmt.Errorf("log directory %s was replaced while in use: stop, restore it and start again", s.dir)
	}
	if h := s.nats.Healthz(nil); h.Error != "" {
		return fmt.Errorf("log server is %s: %s: free disk space if it is full, then restart", h.Status, h.Error)
	}
	return nil
}

// roomToStart is how much of the disk a process needs to start and to accept some events.
const roomToStart = 64 << 20

// NeedsRestart returns why only a restart helps, or nil. After a write failed, the server refuses all later ones, also
// when the disk has space again. While the disk is full, a restart would not help and would take away the answers
// that the process still gives. A server is not opened again within the process, because only a start compares
// the log with what is remembered of it (L5).
func (s *Server) NeedsRestart() error {
	h := s.nats.Healthz(nil)
	if h.Error == "" {
		return nil
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < roomToStart {
		return nil
	}
	return fmt.Errorf("it refuses events since a write failed (%s), and its disk has space again", h.Error)
}

// Close shuts the server down, waits for its end and unlocks the directory. It may be called again.
func (s *Server) Close() {
	s.close.Do(func() {
		if s.nats != nil {
			s.nats.Shutdown()
			s.nats.WaitForShutdown()
		}
		s.lock.Close()
	})
}
