package server

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the certificate of an address. A handshake reads the files again if they have changed, so
// that a renewed certificate needs no restart.
type certificate struct {
	files  TLSConfig
	logger *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileState // of the files when they were last read
}

// fileState changes when a file is written or replaced.
type fileState struct {
	modified time.Time
	size     int64
}

func openCertificate(files TLSConfig, logger *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, logger: logger, seen: states(files)}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	c.current = &pair
	return c, err
}

// get is the tls.Config.GetCertificate. Files that cannot be read, or that do not belong together, change
// nothing: a renewal may be between its two writes.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := states(c.files)
	if now == c.seen {
		return c.current, nil
	}
	c.seen = now
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		c.logger.Error("the changed certificate cannot be used; the previous certificate stays in use until the files "+
			"change again", "cert_file", c.files.CertFile, "key_file", c.files.KeyFile, "error", err)
		return c.current, nil
	}
	c.current = &pair
	c.logger.Info("the changed certificate is in use", "cert_file", c.files.CertFile)
	return c.current, nil
}

// states returns the state of both files. A file that is missing has the zero state.
func states(files TLSConfig) (out [2]fileState) {
	for i, name := range []string{files.CertFile, files.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			out[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return out
}
