package s3server

import (
	"errors"
	"log/slog"
	"time"

	"github.com/rclone/gofakes3"
)

// Limits on what clients may ask of the server.
const (
	maxBody     = 5 << 30 // bytes of one request, as S3
	maxInFlight = 256     // requests served at once; more wait
	maxReaders  = 64      // requests served at once with the key pair that may read only; more wait
	maxUploads  = 1000    // multipart uploads open at once; further ones get SlowDown
	uploadIdle  = 24 * time.Hour
	readerStall = 30 * time.Second // an answer to that key pair ends if its client takes no byte for so long
)

// Config says where the server keeps its objects and who may use it.
type Config struct {
	Dir       string           // directory that only this server uses; made if missing
	AccessKey string           // empty: a key pair is made once and kept in Dir
	SecretKey string           // empty together with AccessKey
	Listen    string           // address of Start, loopback by default
	ReadOnly  bool             // change nothing in Dir, which must be there, and refuse every write
	Tombstone Tombstone        // what an older program finds; without a key there is none
	Logger    *slog.Logger     // nil discards
	Now       func() time.Time // nil is time.Now
}

// Tombstone is an object that programs find which know only format 1 of the directory. It has to make them refuse.
type Tombstone struct {
	Bucket string
	Key    string
	Body   []byte
}

// DefaultConfig returns the configuration of a server over dir.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, Listen: "127.0.0.1:0", Now: time.Now}
}

// Validate reports the first field that cannot work, and the fix.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("s3server: Dir is empty: name a directory for the objects")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return errors.New("s3server: AccessKey and SecretKey belong together: set both or neither")
	case c.AccessKey != "" && len(c.AccessKey) < 3:
		return errors.New("s3server: AccessKey is shorter than 3 characters, which the protocol handler refuses: " +
			"use a longer one")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultConfig("").Listen
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// clock is the configured clock as gofakes3 wants it.
type clock func() time.Time

func (c clock) Now() time.Time                  { return c().UTC() }
func (c clock) Since(t time.Time) time.Duration { return c().Sub(t) }

var _ gofakes3.TimeSource = clock(nil)
