package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/schemas/openapi/openapitest"
)

// writeCertificate writes a self-signed certificate for the loopback address, and its key.
func writeCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
	}
	return writeFile(t, filepath.Join(dir, "cert.pem"), block("CERTIFICATE", der)),
		writeFile(t, filepath.Join(dir, "key.pem"), block("PRIVATE KEY", secret))
}

// guardedServer is a server with keys, TLS and a separate admin address.
type guardedServer struct {
	*server
	t                *testing.T
	admin, cert      string
	keys             string // keys is the path of the keys file.
	client           *http.Client
	ops, acme, rival string
	limited          map[string]string // limited holds the keys of the tenants of ratesConfig.
}

func newGuardedServer(t *testing.T) *guardedServer {
	t.Helper()
	dir := t.TempDir()
	g := &guardedServer{t: t, keys: filepath.Join(dir, "keys.json")}
	g.ops = g.createKey(g.keys, "ops", "admin")
	g.acme = g.createKey(g.keys, "acme", "ingest,query")
	g.rival = g.createKey(g.keys, "rival", "query")
	g.limited = map[string]string{}
	for _, tenant := range []string{"few", "small", "rare"} {
		g.limited[tenant] = g.createKey(g.keys, tenant, "ingest,query")
	}
	var key string
	g.cert, key = writeCertificate(t, dir)
	raw, err := os.ReadFile(g.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	g.client = &http.Client{Timeout: patience, Transport: openapitest.Transport(&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}})}
	t.Cleanup(g.client.CloseIdleConnections)
	admin := reserve(t)
	g.admin = "https://" + admin
	g.server, err = launch(dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig+ratesConfig),
		"127.0.0.1:0",
		"--auth.keys-file", g.keys, "--tls.cert-file", g.cert, "--tls.key-file", key, "--admin.listen", admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	return g
}

func (g *guardedServer) createKey(file, tenant, scope string) string {
	g.t.Helper()
	out, err := exec.Command(binary, "keys", "create", "--keys-file", file, "--tenant", tenant, "--scope",
		scope).Output()
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// ask sends a request with a key and returns the answer.
func (g *guardedServer) ask(method, url, key, accept, body string) (status int, kind, answer string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(withKey(g.t.Context(), key), method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	authorize(req)
	req.Header.Set("Accept", accept)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(raw)
}

const dayQuery = "/v1/query?view=page_views&from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z&group_by=page"

// TestAddresses asks a real server for every path on both its addresses and in every format. It
// does so with the keys of two tenants, with a key of another server and with a revoked key.
func TestAddresses(t *testing.T) {
	t.Parallel()
	g := newGuardedServer(t)
	const event = `{"id":"1","type":"page.viewed","source":"x","time":"2024-05-01T10:00:00Z",` +
		`"data":{"page":"acme-secret"}}`
	if status, _, body := g.ask("POST", g.url+"/v1/events", g.acme, "", event); status != http.StatusOK {
		t.Fatal(status, body)
	}
	if status, _, body := g.ask("POST", g.admin+"/v1/jobs/audit/runs", g.ops, "", ""); status != http.StatusOK {
		t.Fatal(status, body)
	}
	g.testPaths()
	g.testAudit()
	g.testFormats()
	g.testRates()
	g.testRefusals()
	g.testEncryption()
	g.testRevocation()
	g.stop(t)
}

// testPaths checks that the operators' paths are on the admin address alone, what is declared and the audit on both,
// and all other paths on the public address alone.
func (g *guardedServer) testPaths() {
	g.t.Helper()
	const (
		none = http.StatusUnauthorized
		no   = http.StatusForbidden
		may  = http.StatusOK
	)
	for _, c := range []struct {
		path                        string
		public                      [3]int // the status without a key, with a tenant's and with the operators' key
		admin                       [3]int
		publicMissing, adminMissing bool
	}{
		{path: "/healthz", public: [3]int{may, may, may}, admin: [3]int{may, may, may}},
		{path: "/openapi.json", public: [3]int{may, may, may}, admin: [3]int{may, may, may}},
		{path: "/metrics", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/debug/pprof/", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/debug/pprof/goroutine?debug=1", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/jobs", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/audit", public: [3]int{none, may, may}, admin: [3]int{none, may, may}},
		{path: "/v1/scores", publicMissing: true, admin: [3]int{none, no, http.StatusNotFound}}, // no publication yet
		{path: "/v1/publications", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/views", public: [3]int{none, may, may}, admin: [3]int{none, may, may}},
		{path: "/v1/event-types", public: [3]int{none, may, may}, admin: [3]int{none, may, may}},
		{path: dayQuery, public: [3]int{none, may, no}, adminMissing: true},
		{path: "/v1/events/1", public: [3]int{none, may, no}, adminMissing: true},
		{path: "/v1/dead-letters", public: [3]int{none, may, no}, adminMissing: true},
	} {
		for i, key := range []string{"", g.acme, g.ops} {
			for _, address := range []struct {
				url     string
				want    int
				missing bool
			}{{g.url, c.public[i], c.publicMissing}, {g.admin, c.admin[i], c.adminMissing}} {
				if address.missing {
					address.want = http.StatusNotFound
				}
				if status, _, body := g.ask("GET", address.url+c.path, key, "*/*", ""); status != address.want {
					g.t.Errorf("%s%s with key %d: status %d, want %d: %.200s", address.url, c.path, i, status,
						address.want, body)
				}
			}
		}
	}
}

// testAudit checks that the audit shows a tenant its own events only, also when it names another tenant.
func (g *guardedServer) testAudit() {
	g.t.Helper()
	for _, url := range []string{g.url, g.admin} {
		for _, more := range []string{"", "?tenant=acme", "?tenant=rival"} {
			if _, _, body := g.ask("GET", url+"/v1/audit"+more, g.rival, "", ""); strings.Contains(body, "acme") {
				g.t.Errorf("%s/v1/audit%s shows acme's events to rival: %s", url, more, body)
			}
		}
		for _, key := range []string{g.acme, g.ops} {
			if status, _, body := g.ask("GET", url+"/v1/audit", key, "", ""); status != http.StatusOK ||
				!strings.Contains(body, "acme") {
				g.t.Errorf("%s/v1/audit: status %d, want 200 with acme's events: %s", url, status, body)
			}
		}
	}
}

// testFormats checks in every format that a tenant sees its own rows only, and that a key of
// another server is refused.
func (g *guardedServer) testFormats() {
	g.t.Helper()
	stranger := g.createKey(filepath.Join(g.t.TempDir(), "others.json"), "acme", "ingest,query,admin")
	for _, format := range []string{"application/json", "text/csv", "application/vnd.apache.arrow.stream",
		"application/vnd.apache.parquet"} {
		err := eventually(g.t.Context(), func() error {
			status, kind, body := g.ask("GET", g.url+dayQuery, g.acme, format, "")
			if status != http.StatusOK || !strings.HasPrefix(kind, format) || !strings.Contains(body, "acme-secret") {
				return fmt.Errorf("%s: acme gets status %d, %s: %q", format, status, kind, body)
			}
			return nil
		})
		if err != nil {
			g.t.Error(err)
		}
		if status, kind, body := g.ask("GET", g.url+dayQuery, g.rival, format, ""); status != http.StatusOK ||
			!strings.HasPrefix(kind, format) || strings.Contains(body, "secret") {
			g.t.Errorf("%s: rival gets status %d, %s: %q", format, status, kind, body)
		}
		if status, kind, body := g.ask("GET", g.url+dayQuery, stranger, format,
			""); status != http.StatusUnauthorized || kind != "application/problem+json" ||
			!strings.Contains(body, `"code":"unauthorized"`) {
			g.t.Errorf("%s: a key of another server gets status %d, %s: %q", format, status, kind, body)
		}
	}
}

// testEncryption checks that the public address speaks only TLS 1.2 and later, and that the
// commands trust the certificates that the system trusts.
func (g *guardedServer) testEncryption() {
	g.t.Helper()
	if status, _, _ := g.ask("GET", strings.Replace(g.url, "https:", "http:", 1)+"/healthz", "", "",
		""); status != http.StatusBadRequest {
		g.t.Errorf("request without TLS: status %d, want 400", status)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), old); err == nil {
		_ = c.Close()
		g.t.Error("the server accepts TLS 1.1")
	}
	file := writeFile(g.t, filepath.Join(g.t.TempDir(), "acme.key"), g.acme+"\n")
	for trusted, want := range map[string]string{g.cert: "acme-secret", "": "certificate"} {
		ctx, cancel := context.WithTimeout(g.t.Context(), patience)
		cmd := exec.CommandContext(ctx, binary, "query", "page_views", "--server", g.url, "--key-file", file, "-g",
			"page",
			"--from", "2024-05-01T00:00:00Z", "--to", "2024-05-02T00:00:00Z")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+trusted)
		out, err := cmd.CombinedOutput()
		cancel()
		if (err == nil) != (trusted != "") || !strings.Contains(string(out), want) {
			g.t.Errorf("recount query with SSL_CERT_FILE=%q: %v: %s", trusted, err, out)
		}
	}
}

// testRevocation checks that a revoked key is refused within a minute, also on open connections.
func (g *guardedServer) testRevocation() {
	g.t.Helper()
	id := strings.Split(g.acme, "_")[1]
	if out, err := exec.Command(binary, "keys", "revoke", "--keys-file", g.keys, id).CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	err := eventually(g.t.Context(), func() error {
		if status, _, body := g.ask("GET", g.url+dayQuery, g.acme, "text/csv", ""); status != http.StatusUnauthorized ||
			!strings.Contains(body, "the key was revoked") {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	if err != nil {
		g.t.Error(err)
	}
	for _, path := range []string{"/v1/events", "/v1/query", "/v1/views"} {
		if status, _, _ := g.ask("POST", g.url+path, g.acme, "", "{}"); status != http.StatusUnauthorized {
			g.t.Errorf("POST %s with a revoked key: status %d, want 401", path, status)
		}
	}
	if status, _, _ := g.ask("GET", g.url+dayQuery, g.rival, "text/csv", ""); status != http.StatusOK {
		g.t.Errorf("query with a key that was not revoked: status %d, want 200", status)
	}
}
