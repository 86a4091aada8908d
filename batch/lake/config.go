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

// Config places the object store. Either URL or the fields from Endpoint to PathStyle
// are set; "embedded" is resolved into them by whoever runs the embedded server.
type Config struct {
	URL string // s3://bucket/prefix?endpoint=…&region=…&path_style=true

	Endpoint     string // empty: AWS itself
	Region       string // empty: from the environment on AWS, us-east-1 elsewhere
	Bucket       string
	Prefix       string // before every key; a slash is added
	AccessKey    string // empty: the default AWS credential chain
	SecretKey    string
	PathStyle    bool
	CreateBucket bool // make a missing bucket
	ReadOnly     bool // never make one: for who only reads

	Attempts int           // tries of one request, or of one create with its read-back
	Backoff  time.Duration // longest pause between two tries; pauses double from 50 ms and are jittered
	Timeout  time.Duration // of one try until the answer begins; bodies get a second more for each MiB
	MaxGet   int64         // largest object Get returns, bytes

	Transport  http.RoundTripper // nil: an own one, tuned for many parallel requests to one host
	Logger     *slog.Logger      // nil discards
	Registerer prometheus.Registerer
}

// DefaultConfig returns the configuration of the store at an s3:// URL.
func DefaultConfig(url string) Config {
	return Config{URL: url, Attempts: 8, Backoff: 5 * time.Second, Timeout: 20 * time.Second, MaxGet: 1 << 30}
}

// Validate reports the first field that cannot work, and the fix.
func (c Config) Validate() error {
	r, err := c.resolve()
	if err != nil {
		return err
	}
	switch {
	case r.Bucket == "":
		return errors.New("object_store: no bucket: use s3://BUCKET/prefix")
	case (r.AccessKey == "") != (r.SecretKey == ""):
		return errors.New("object_store: access key and secret key belong together: set both or neither")
	case r.Attempts < 1:
		return fmt.Errorf("object_store: Attempts is %d: use at least 1", r.Attempts)
	case r.Backoff <= 0 || r.Timeout <= 0:
		return fmt.Errorf("object_store: Backoff is %s and Timeout %s: both must be above zero", r.Backoff, r.Timeout)
	case r.MaxGet < 1:
		return fmt.Errorf("object_store: MaxGet is %d: use at least 1", r.MaxGet)
	}
	return nil
}

// resolve fills the explicit fields from URL, if there is one.
func (c Config) resolve() (Config, error) {
	if c.URL != "" {
		if err := c.parseURL(); err != nil {
			return c, fmt.Errorf("object_store.url: %w", err) // The URL may hold a secret, and is in the configuration.
		}
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return c, fmt.Errorf("object_store: endpoint %q is not of the form https://host:port", c.Endpoint)
		}
	}
	if c.Region == "" && !c.onAWS() {
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

func (c *Config) parseURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "embedded":
		return errors.New("the embedded store is not running here: use s3://bucket/prefix")
	case err != nil:
		return err
	case u.Scheme != "s3" || u.Host == "":
		return errors.New("use s3://bucket/prefix?endpoint=…&region=…")
	case u.User != nil:
		return errors.New("credentials in a URL end up in logs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
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
	c.PathStyle = c.PathStyle || !c.onAWS()
	c.CreateBucket = c.CreateBucket || !c.onAWS()
	if pathStyle != "" {
		if c.PathStyle, err = strconv.ParseBool(pathStyle); err != nil {
			return fmt.Errorf("path_style is %q: use true or false", pathStyle)
		}
	}
	return nil
}

// onAWS reports whether the store is S3 itself. Others get no checksum headers they do
// not know, and their missing buckets are made.
func (c Config) onAWS() bool {
	u, err := url.Parse(c.Endpoint)
	return c.Endpoint == "" || err == nil && strings.HasSuffix(u.Hostname(), ".amazonaws.com")
}
