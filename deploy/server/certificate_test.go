package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// renew writes a self-signed certificate with a serial number.
func renew(t *testing.T, files TLSConfig, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mustDo(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	mustDo(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	mustDo(t, err)
	for name, block := range map[string]*pem.Block{files.CertFile: {Type: "CERTIFICATE", Bytes: der},
		files.KeyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		mustDo(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
		at := time.Unix(1_000_000_000+serial, 0) // The two writes may share a tick of the file system's clock.
		mustDo(t, os.Chtimes(name, at, at))
	}
}

// TestRenewedCertificate renews the certificate of a running server. New connections show the
// new certificate, and also while the files are damaged.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := TLSConfig{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	renew(t, files, 1)
	s := &Server{cfg: DefaultConfig(), logger: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry()}
	mustDo(t, s.openDoor("public", "127.0.0.1:0", http.NotFoundHandler(), files))
	d := s.doors[0]
	go func() { _ = d.serve() }()
	t.Cleanup(func() { _ = d.server.Close() })
	shows := func(want int64) {
		t.Helper()
		c, err := tls.Dial("tcp", d.listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Errorf("got certificate %d, want %d", got, want)
		}
	}
	shows(1)
	renew(t, files, 2)
	shows(2)
	mustDo(t, os.WriteFile(files.KeyFile, nil, 0o600))
	shows(2)
	mustDo(t, os.Remove(files.CertFile))
	shows(2)
	renew(t, files, 3)
	shows(3)
}

// TestReadOnlyRoutes checks the methods of routes whose libraries answer every method.
func TestReadOnlyRoutes(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "TRACE": 405, "POST": 405, "BREW": 405} {
		for path, h := range map[string]http.Handler{"/metrics": metrics(prometheus.NewRegistry()),
			"/debug/pprof/": profiles()} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != want {
				t.Errorf("%s %s: got %d, want %d", method, path, w.Code, want)
			}
		}
	}
}
