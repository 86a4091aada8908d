package server

import (
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"syscall"
	"time"

	"recount/schemas/problem"
	"recount/schemas/setting"
)

// HTTPConfig bounds what clients may hold of the server: connections, their memory, and time.
type HTTPConfig struct {
	MaxConnections int
	MaxHeader      int // bytes of a request line and header
	HeaderTimeout  time.Duration
	BodyTimeout    time.Duration
	WriteTimeout   time.Duration
	IdleTimeout    time.Duration
}

// DefaultHTTPConfig is generous for clients and bounded for everyone: at most some 500 MB for
// connections that send nothing but header.
func DefaultHTTPConfig() HTTPConfig {
	return HTTPConfig{MaxConnections: 10_000, MaxHeader: 32 << 10, HeaderTimeout: 10 * time.Second,
		BodyTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute}
}

// Settings lists what an operator may set.
func (c *HTTPConfig) Settings() []setting.Setting {
	timeout := setting.Between(10*time.Millisecond, 24*time.Hour)
	return []setting.Setting{
		setting.Count("http.max_connections", "connections", setting.Between(1, 1_000_000), "Most open connections; "+
			"at the limit the longest idle one is closed for a new one.", &c.MaxConnections),
		setting.Size("http.max_header", setting.Between(4<<10, 1<<20), "Largest request line and header of a request.",
			&c.MaxHeader),
		setting.Duration("http.header_timeout", timeout, "Longest time a client may take to send a request's header.",
			&c.HeaderTimeout),
		setting.Duration("http.body_timeout", timeout, "Longest time a client may take to send a request's body.",
			&c.BodyTimeout),
		setting.Duration("http.write_timeout", timeout,
			"Longest time a client may take to receive an answer, from its first byte on.", &c.WriteTimeout),
		setting.Duration("http.idle_timeout", timeout, "Longest time a connection may stay open between requests.",
			&c.IdleTimeout),
	}
}

// Validate returns a *setting.Error for each setting that is out of bounds, joined.
func (c HTTPConfig) Validate() error { return setting.Check(c.Settings()) }

// affordable lowers MaxConnections to half of what the process may open: the engines
// need files and connections too, and a listener that runs out of them stops everything.
func affordable(cfg HTTPConfig, log *slog.Logger) HTTPConfig {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return cfg
	}
	if half := max(1, files.Cur/2); uint64(cfg.MaxConnections) > half {
		log.Warn("fewer connections than http.max_connections are accepted; raise the limit of open files (ulimit "+
			"-n) or lower the setting",
			"open_files", files.Cur, "max_connections", cfg.MaxConnections, "accepted", half)
		cfg.MaxConnections = int(half)
	}
	return cfg
}

// newServer returns the server over a handler of all paths. It speaks HTTP/1.1 alone:
// HTTP/2 without TLS is for proxies, which speak 1.1 too, and its streams would need limits of their own.
func newServer(cfg HTTPConfig, mux http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.New(http.StatusForbidden, problem.CrossOrigin,
			"a page of another origin may not do this in a browser's name"))
	}))
	return &http.Server{
		Handler:                      problem.Identify(front(cfg, sameOrigin.Handler(mux))),
		ReadHeaderTimeout:            cfg.HeaderTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		MaxHeaderBytes:               cfg.MaxHeader,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true, // It would answer OPTIONS * itself, with nothing.
		ConnContext:                  connectionContext,
		ConnState:                    connectionState,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// front is what every request passes first: it takes only paths that are written the
// one right way, for ServeMux would answer others with a redirect in HTML, and bounds
// the time a body takes to arrive.
func front(cfg HTTPConfig, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		if c != nil {
			c.begin()
		}
		switch {
		case r.ProtoMajor != 1:
			w.Header().Set("Connection", "close")
			problem.Write(w, problem.New(http.StatusHTTPVersionNotSupported, problem.HTTPVersionNotSupported,
				"speak HTTP/1.1"))
		case r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/"):
			problem.Write(w, problem.New(http.StatusBadRequest, problem.InvalidRequest,
				"this server is no proxy; ask for a path such as /v1/query"))
		case !clean(r.URL.EscapedPath()):
			problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound,
				"no resource has an empty or dotted part in its path; /openapi.json lists them"))
		default:
			if r.ContentLength != 0 {
				r = receive(w, r, cfg.BodyTimeout)
			}
			next.ServeHTTP(w, r)
		}
	})
}

// clean reports whether ServeMux takes the path as it is.
func clean(p string) bool { return p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/") }

// body is a request's body that has to arrive in time.
type body struct {
	io.ReadCloser
	arrived func()
}

// receive starts the clock of a body. It stops when the body has arrived whole, or the wait
// for what the handler does next would count. It goes on when the handler gives the body up,
// because net/http then reads on for a while, to use the connection again.
//
// The request is a copy: net/http looks at the Body of its own to tell whether what is left on
// the connection may be taken for another request, and would take the rest of a damaged body for one.
func receive(w http.ResponseWriter, r *http.Request, timeout time.Duration) *http.Request {
	c := http.NewResponseController(w)
	// Without a deadline the body is read all the same; a connection that takes none is a test's.
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	r = r.WithContext(r.Context())
	r.Body = &body{r.Body, func() { _ = c.SetReadDeadline(time.Time{}) }}
	return r
}

// Read reads on and notices the end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.arrived()
	}
	return n, err
}
