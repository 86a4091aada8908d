package s3server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rclone/gofakes3"

	"recount/schemas/durable"
)

// Server is an S3 server over a directory. It is safe for concurrent use, except
// Start and Close.
type Server struct {
	cfg      Config
	creds    Credentials
	reader   Credentials   // may read only; empty if the server is read-only
	stall    time.Duration // readerStall, but in tests
	lock     *durable.Held
	backend  *backend
	handler  http.Handler
	http     *http.Server
	listener net.Listener
	served   chan struct{}
}

// Open takes the directory, sweeps what a killed process left in it and makes the
// handler. It fails if another process has the directory open. Close releases it.
func Open(cfg Config) (_ *Server, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg)
	if err != nil {
		return nil, fmt.Errorf("s3server: %w", err)
	}
	s := &Server{cfg: cfg, stall: readerStall, lock: lock}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("s3server: open %s: %w", cfg.Dir, err), lock.Close())
	}
	return s, nil
}

func (s *Server) open() (err error) {
	if s.backend, err = s.openBackend(); err != nil {
		return err
	}
	s.creds = Credentials{AccessKey: s.cfg.AccessKey, SecretKey: s.cfg.SecretKey}
	if s.creds.AccessKey == "" {
		if s.creds, err = loadCredentials(s.cfg.Dir, credentialsFile, s.cfg.ReadOnly); err != nil {
			return err
		}
	}
	pairs := map[string]string{s.creds.AccessKey: s.creds.SecretKey}
	if !s.cfg.ReadOnly {
		if s.reader, err = loadCredentials(s.cfg.Dir, readerFile, false); err != nil {
			return err
		}
		pairs[s.reader.AccessKey] = s.reader.SecretKey
	}
	g := gofakes3.New(s.backend,
		gofakes3.WithV4Auth(pairs),
		gofakes3.WithTimeSource(clock(s.cfg.Now)),
		gofakes3.WithLogger(logger{s.cfg.Logger}),
		gofakes3.WithoutVersioning())
	s.backend.forget = func(bucket, key string, id gofakes3.UploadID) {
		// The upload is gone either way; gofakes3 not knowing it is what we want.
		_ = g.ForgetMultipartUpload(context.Background(), bucket, key, id)
	}
	s.handler = s.guard(g.Server())
	return nil
}

// openBackend opens the store, after it has brought the directory into the current format.
func (s *Server) openBackend() (*backend, error) {
	if s.cfg.ReadOnly {
		return openReader(s.cfg)
	}
	if err := openFormat(s.cfg); err != nil {
		return nil, err
	}
	return openBackend(s.cfg.Dir, s.cfg.Now)
}

// Credentials returns the key pair that clients sign with.
func (s *Server) Credentials() Credentials { return s.creds }

// Reader returns a key pair for other programs, which may read only, and the file that it is in. A read-only server has
// none.
func (s *Server) Reader() (c Credentials, file string) {
	return s.reader, filepath.Join(s.cfg.Dir, readerFile)
}

// Start listens on the configured address and serves until Close.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("s3server: listen on %s: %w", s.cfg.Listen, err)
	}
	s.listener = l
	s.served = make(chan struct{})
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("object store stopped serving", "error", err)
		}
	}()
	return nil
}

// Endpoint returns the URL of a started server.
func (s *Server) Endpoint() string {
	if s.listener == nil {
		return ""
	}
	addr, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsUnspecified() {
		return "http://" + s.listener.Addr().String()
	}
	return "http://" + net.JoinHostPort("localhost", strconv.Itoa(addr.Port)) // It listens on all addresses.
}

// Close lets running requests finish for up to five seconds, cuts the rest off and
// releases the directory. Every acknowledged write is on disk already.
func (s *Server) Close() error {
	var err error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err = s.http.Shutdown(ctx); err != nil {
			err = s.http.Close()
		}
		<-s.served
	}
	return errors.Join(err, s.lock.Close())
}

// logger hands gofakes3's messages to slog; its information is our debug.
type logger struct{ log *slog.Logger }

// Print implements gofakes3.Logger.
func (l logger) Print(level gofakes3.LogLevel, v ...any) {
	to := slog.LevelDebug
	switch level {
	case gofakes3.LogErr:
		to = slog.LevelError
	case gofakes3.LogWarn:
		to = slog.LevelWarn
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, "object store: "+fmt.Sprint(v...))
	}
}
