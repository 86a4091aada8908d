package natsserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// DefaultMaxPayload is room for the largest log message and its headers, in bytes. The server
// advises against more.
const DefaultMaxPayload = 8 << 20

// maxMemory bounds JetStream's memory storage in bytes. No stream lives there, only
// the positions of the log's readers, which are a few hundred bytes each.
const maxMemory = 64 << 20

// Config says where the embedded log is stored, and which ports and resources it may use.
type Config struct {
	// Dir is the store directory, `data_dir/log`. It belongs to one process at a time.
	Dir string
	// Listen is an optional loopback address for TCP clients, as host:port; port 0
	// takes a free one. Empty means in-process connections only. There is no
	// authentication, so other addresses are refused: a log shared between machines
	// is an external NATS cluster.
	Listen string
	// Cluster joins the server with others that replicate its streams, on loopback as
	// well: it is there to prove what recount does when one of them dies.
	Cluster Cluster
	// MaxPayload is the largest message in bytes, headers included.
	MaxPayload int32
	// MaxStore bounds all streams together, in bytes. 0 takes three quarters of the
	// free disk; the server refuses to create streams whose limits add up to more (L4).
	MaxStore int64
	// SyncAlways makes every write an fsync before its ack (L1). Only tests and
	// `durability: relaxed` turn it off.
	SyncAlways bool
	// Logger receives warnings and errors, and notices at debug level. Nil discards.
	Logger *slog.Logger
}

// Cluster is a server's place in a cluster. The zero value is a server on its own.
type Cluster struct {
	Name   string   // of this server
	Listen string   // address at which the other servers reach it, host:port
	Peers  []string // addresses of the other servers
}

// DefaultConfig returns the durable settings for a store in dir.
func DefaultConfig(dir string) Config {
	return Config{Dir: dir, MaxPayload: DefaultMaxPayload, SyncAlways: true}
}

// Validate reports every setting the server could not run with.
func (c Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("log dir is empty: set data_dir"))
	}
	if c.MaxPayload < 64<<10 {
		errs = append(errs, fmt.Errorf("log max payload is %d bytes: set at least %d", c.MaxPayload, 64<<10))
	}
	if c.MaxStore < 0 {
		errs = append(errs, fmt.Errorf("log max store is %d bytes: set 0 for three quarters of the free disk, or a "+
			"positive number", c.MaxStore))
	}
	if c.Listen != "" {
		errs = append(errs, checkLoopback(c.Listen))
	}
	if c.Cluster.Name != "" {
		for _, address := range append([]string{c.Cluster.Listen}, c.Cluster.Peers...) {
			errs = append(errs, checkLoopback(address))
		}
	}
	return errors.Join(errs...)
}

func checkLoopback(listen string) error {
	host, _, err := splitListen(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("log listen address %q is not a loopback address: use 127.0.0.1:port, or an external NATS "+
			"cluster", listen)
	}
	return nil
}
