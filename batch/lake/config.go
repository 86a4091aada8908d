package lake

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where the object store is and how to use it. Either URL is set, or the fields from
// Endpoint to PathStyle. The process that runs the embedded server resolves the URL "embedded".
type Config struct {
	URL string // s3://bucket/prefix?endpoint=…&region=…&path_style=true

	Endpoint     string // empty means AWS
	Region       string // empty means that of the environment on AWS, and us-east-1 elsewhere
	Bucket       string
	Prefix       string // is put before every key, with a slash
	AccessKey    string // empty means the default credential chain of AWS
	SecretKey    string
	PathStyle    bool // puts the bucket into the path of requests and not into the host name
	CreateBucket bool // lets Open create a missing bucket
	ReadOnly     bool // never creates a bucket: for a process that only reads

	Attempts int           // tries of one request, or of one create with its read-back
	Backoff  time.Duration // longest pause between two tries; pauses double from 50 ms and are jittered
	Timeout  time.Duration // how long one try waits for its answer; each MiB of a body adds a second
	MaxGet   int64         // bytes of the largest object that Get returns

	Transport  http.RoundTripper     // nil means a transport for many parallel requests to one host
	Logger     *slog.Logger          // nil discards log lines
	Registerer prometheus.Registerer // nil registers no metrics
}

// DefaultConfig returns the configuration of the store at an s3:// URL.
func DefaultConfig(url string) Config {
	return Config{URL: url, Attempts: 8, Backoff: 5 * time.Second, Timeout: 20 * time.Second, MaxGet: 1 << 30}
}

// Validate returns an error that names the first wrong field and its fix.
func (c Config) Validate() error {
	r, err := c.resolve()
	if err != nil {
		return err
	}
	switch {
	case r.Bucket == "":
		return errors.New("object_store: the URL has no bucket: use s3://BUCKET/prefix")
	case (r.AccessKey == "") != (r.SecretKey == ""):
		return errors.New("object_store: only one of access key and secret key is set: set both or neither")
	case r.Attempts < 1:
		return fmt.Errorf("object_store: Attempts is %d: use at least 1", r.Attempts)
	case r.Backoff <= 0 || r.Timeout <= 0:
		return fmt.Errorf("object_store: Backoff is %s and Timeout %s: both must be above zero", r.Backoff, r.Timeout)
	case r.MaxGet < 1:
		return fmt.Errorf("object_store: MaxGet is %d: use at least 1", r.MaxGet)
	}
	return nil
}

// resolve fills the other fields from URL, if there is one.
func (c Config) resolve() (Config, error) {
	if c.URL != "" {
		if err := c.parseURL(); err != nil {
			return c, fmt.Errorf("object_store.url: %w", err) // The URL is left out, because it may hold a secret.
		}
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return c, fmt.Errorf("object_store: endpoint %q is not of the form https://host:port", c.Endpoint)
		}
	}
	if c.Region == "" && !c.isAWS() {
		c.Region = "us-east-1"
	}
	if c.Prefix = strings.Trim(c.Prefix, "/"); c.Prefix != "" {
		c.Prefix += "/"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// parseURL sets the fields that URL names.
func (c *Config) parseURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "embedded":
		return errors.New("the embedded store does not run in this process: use s3://bucket/prefix")
	case err != nil:
		return err
	case u.Scheme != "s3" || u.Host == "":
		return errors.New("use s3://bucket/prefix?endpoint=…&region=…")
	case u.User != nil:
		return errors.New("credentials in a URL get into logs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	}
	c.Bucket = u.Host
	c.Prefix = u.Path
	pathStyle := ""
	for name, values := range u.Query() {
		switch name {
		case "endpoint":
			c.Endpoint = values[0]
		case "region":
			c.Region = values[0]
		case "path_style":
			pathStyle = values[0]
		default:
			return fmt.Errorf("unknown parameter %q: use endpoint, region or path_style", name)
		}
	}
	c.PathStyle = c.PathStyle || !c.isAWS()
	c.CreateBucket = c.CreateBucket || !c.isAWS()
	if pathStyle != "" {
		if c.PathStyle, err = strconv.ParseBool(pathStyle); err != nil {
			return fmt.Errorf("path_style is %q: use true or false", pathStyle)
		}
	}
	return nil
}

// isAWS reports whether the store is Amazon S3. Other stores get no checksum headers, which they may not
// know, and a missing bucket is created there.
func (c Config) isAWS() bool {
	u, err := url.Parse(c.Endpoint)
	return c.Endpoint == "" || err == nil && strings.HasSuffix(u.Hostname(), ".amazonaws.com")
}
