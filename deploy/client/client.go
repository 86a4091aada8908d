package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"recount/schemas/problem"
)

// Problem is a refusal by the server. Branch on its Code. If the answer did not come from a recount
// server, Code is empty and Detail is the beginning of the answer.
type Problem = problem.Problem

// Config configures a client. Only URL is required; zero fields take the documented defaults.
type Config struct {
	// URL is the address of the server, such as https://counts.example.com:8080.
	URL string
	// Key is the API key, which is sent as Authorization: Bearer. An empty key is not sent.
	Key string
	// UserAgent names the program to the server. The default is DefaultUserAgent.
	UserAgent string
	// TLS configures https. Nil trusts the certificates that the system trusts.
	TLS *tls.Config
	// Transport replaces the client's own connections. TLS and Connections then do nothing.
	Transport http.RoundTripper
	// Connections is how many idle connections are kept open. It should be the number of
	// requests at once. The default is DefaultConnections.
	Connections int
	// Timeout bounds one try. For a streamed answer it bounds the time until the header. RunJob and
	// Verify have no timeout. The default is DefaultTimeout.
	Timeout time.Duration
	// Encoding compresses events. The default is none.
	Encoding Encoding
	// Retry says how often a call is tried, and how long it waits between two tries.
	Retry Retry
	// Breaker says when a server that fails is left alone for a while.
	Breaker Breaker
	// OnRetry receives the failure of each try that is followed by another. An error that it
	// returns ends the call. It may be nil.
	OnRetry func(failure error) error
}

// Defaults of a Config.
const (
	DefaultUserAgent   = "recount-go-client"
	DefaultConnections = 8
	DefaultTimeout     = time.Minute
)

// Client calls one server. It is safe for concurrent use.
type Client struct {
	cfg    Config
	base   string
	http   *http.Client
	events policies // events is for requests of events.
	reads  policies // reads is for all other calls.
}

// New returns a client. It connects with the first call.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: URL: %w", err)
	case base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("client: URL %q: write http://host:port or https://host:port", cfg.URL)
	case strings.ContainsFunc(cfg.Key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("client: the key holds characters that no key has")
	case !cfg.Encoding.known():
		return nil, fmt.Errorf("client: encoding %q: use gzip, zstd or none", cfg.Encoding)
	}
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/"), http: &http.Client{
		Transport: cfg.Transport,
		// A redirect becomes a Problem, because following it could show the key to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.events = newPolicies(cfg, cfg.Retry.eventAttempts())
	c.reads = newPolicies(cfg, cfg.Retry.readAttempts())
	return c, nil
}

// withDefaults returns the configuration with its zero fields filled in.
func (c Config) withDefaults() Config {
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	if c.Connections <= 0 {
		c.Connections = DefaultConnections
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.TLS, DisableCompression: true,
			MaxIdleConnsPerHost: c.Connections, IdleConnTimeout: 90 * time.Second, WriteBufferSize: 64 << 10,
		}
	}
	c.Retry = c.Retry.withDefaults()
	c.Breaker = c.Breaker.withDefaults()
	return c
}

// Close closes the idle connections. Calls under way end as they would.
func (c *Client) Close() { c.http.CloseIdleConnections() }
