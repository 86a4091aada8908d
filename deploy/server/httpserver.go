package server

import (
	"errors"
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

// HTTPConfig bounds what clients may hold of the server: connections, memory and time.
type HTTPConfig struct {
	MaxConnections int
	MaxHeader      int // bytes of a request line and header
	HeaderTimeout  time.Duration
	BodyTimeout    time.Duration
	WriteTimeout   time.Duration
	IdleTimeout    time.Duration
	AccessLog      int // one in so many requests is logged; 0 for none
	// CORS lists the origins whose pages may use the API, with commas between them.
	CORS string
}

// DefaultHTTPConfig accepts slow clients. Connections that send nothing but headers hold at most
// some 500 MB in total.
func DefaultHTTPConfig() HTTPConfig {
	return HTTPConfig{MaxConnections: 10_000, MaxHeader: 32 << 10, HeaderTimeout: 10 * time.Second,
		BodyTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute}
}

// Settings lists what an operator may set.
func (c *HTTPConfig) Settings() []setting.Setting {
	timeout := setting.Range(10*time.Millisecond, 24*time.Hour)
	return []setting.Setting{
		setting.Count("http.max_connections", "connections", setting.Range(1, 1_000_000), "Most open connections; "+
			"at the limit the longest idle connection is closed for a new connection.", &c.MaxConnections),
		setting.Size("http.max_header", setting.Range(4<<10, 1<<20), "Largest request line and header of a request.",
			&c.MaxHeader),
		setting.Duration("http.header_timeout", timeout, "Longest time a client may take to send a request's header.",
			&c.HeaderTimeout),
		setting.Duration("http.body_timeout", timeout, "Longest time a client may take to send a request's body.",
			&c.BodyTimeout),
		setting.Duration("http.write_timeout", timeout,
			"Longest time a client may take to receive an answer, from its first byte on.", &c.WriteTimeout),
		setting.Duration("http.idle_timeout", timeout, "Longest time a connection may stay open between requests.",
			&c.IdleTimeout),
		setting.Count("http.access_log", "requests", setting.Range(0, 1_000_000_000), "One in so many requests is "+
			"logged, and each that is answered with a status of 500 or more; 1 logs all, and 0 none.", &c.AccessLog),
		setting.Text("http.cors", "origins with commas between them; may be empty", func(text string) error {
			_, err := parseOrigins(text)
			return err
		}, "Origins whose web pages may use the API from a browser, such as https://app.example; pages that only send "+
			"events need a key of scope collect instead.", &c.CORS),
	}
}

// Validate returns a *setting.Error for each setting that is out of bounds, joined.
func (c HTTPConfig) Validate() error { return setting.Check(c.Settings()) }

// affordable lowers MaxConnections to half of the files that the process may open. The engines need
// the other half, and a process that runs out of files stops altogether.
func affordable(cfg HTTPConfig, logger *slog.Logger) HTTPConfig {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return cfg
	}
	if half := max(1, files.Cur/2); uint64(cfg.MaxConnections) > half {
		logger.Warn("fewer connections than http.max_connections are accepted; raise the limit of open files (ulimit "+
			"-n) or lower the setting",
			"open_files", files.Cur, "max_connections", cfg.MaxConnections, "accepted", half)
		cfg.MaxConnections = int(half)
	}
	return cfg
}

// newServer returns the HTTP server over a handler of all paths. It speaks HTTP/1.1 only. HTTP/2
// without TLS is for proxies, which speak 1.1 too, and its streams would need limits of their own.
func newServer(cfg HTTPConfig, address string, mux http.Handler, o *origins, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	if cfg.AccessLog > 0 {
		mux = noteRoute(mux)
	}
	handler := front(cfg, o.over(mux))
	if cfg.AccessLog > 0 {
		handler = (&accessLog{logger: logger, address: address, oneIn: cfg.AccessLog}).over(handler)
	}
	return &http.Server{
		Handler:                      problem.Identify(handler),
		ReadHeaderTimeout:            cfg.HeaderTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		MaxHeaderBytes:               cfg.MaxHeader,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true, // It would answer OPTIONS * itself, without a body.
		ConnContext:                  connectionContext,
		ConnState:                    connectionState,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// front is the first handler of every request. It refuses paths that are not in their canonical
// form, because ServeMux would answer them with a redirect in HTML. It also bounds the time in which
// a body has to arrive.
func front(cfg HTTPConfig, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		if c != nil {
			c.startRequest()
		}
		switch {
		case r.ProtoMajor != 1:
			w.Header().Set("Connection", "close")
			problem.Write(w, problem.New(http.StatusHTTPVersionNotSupported, problem.HTTPVersionNotSupported,
				"this server speaks HTTP/1.1 only; send the request as HTTP/1.1"))
		case r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/"):
			problem.Write(w, problem.New(http.StatusBadRequest, problem.InvalidRequest,
				"this server is not a proxy; ask for a path such as /v1/query"))
		case !isClean(r.URL.EscapedPath()):
			problem.Write(w, problem.New(http.StatusNotFound, problem.NotFound,
				"no resource has an empty or dotted part in its path; /openapi.json lists all resources"))
		default:
			if r.ContentLength != 0 {
				r = limitBodyTime(w, r, cfg.BodyTimeout)
			}
			next.ServeHTTP(w, r)
		}
	})
}

// isClean reports whether ServeMux serves the path without a redirect.
func isClean(p string) bool { return p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/") }

// body is a request's body that has to arrive before a deadline.
type body struct {
	io.ReadCloser
	arrived func()
}

// limitBodyTime sets a deadline for the body. The deadline ends when the body has arrived whole,
// because the handler's later work must not count. It stays when the handler stops reading, because
// net/http then reads the rest of the body, to use the connection again.
//
// The returned request is a copy. net/http inspects the Body of its own request to decide whether the
// connection can carry another request. With a wrapped Body it would parse the rest of a damaged body
// as a request.
func limitBodyTime(w http.ResponseWriter, r *http.Request, timeout time.Duration) *http.Request {
	c := http.NewResponseController(w)
	// Without a deadline the body is read all the same. Only a test's connection supports none.
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	r = r.WithContext(r.Context())
	r.Body = &body{r.Body, func() { _ = c.SetReadDeadline(time.Time{}) }}
	return r
}

// Read reads the next bytes and calls arrived at the end of the body.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err
}
