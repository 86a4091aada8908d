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
)

// certificate writes a self-signed one for the loopback address and its key.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
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

// guarded is a server with keys, TLS and an admin address of its own.
type guarded struct {
	*server
	t                *testing.T
	admin, cert      string
	keys             string // the file
	client           *http.Client
	ops, acme, rival string
	limited          map[string]string // keys of the tenants of ratesConfig
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	dir := t.TempDir()
	g := &guarded{t: t, keys: filepath.Join(dir, "keys.json")}
	g.ops = g.create(g.keys, "ops", "admin")
	g.acme = g.create(g.keys, "acme", "ingest,query")
	g.rival = g.create(g.keys, "rival", "query")
	g.limited = map[string]string{}
	for _, tenant := range []string{"few", "small", "rare"} {
		g.limited[tenant] = g.create(g.keys, tenant, "ingest,query")
	}
	var key string
	g.cert, key = certificate(t, dir)
	raw, err := os.ReadFile(g.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	g.client = &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(g.client.CloseIdleConnections)
	admin := reserve(t)
	g.admin = "http://" + admin
	g.server, err = launch(dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig+ratesConfig),
		"127.0.0.1:0",
		"--auth.keys-file", g.keys, "--tls.cert-file", g.cert, "--tls.key-file", key, "--admin.listen", admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.kill)
	return g
}

func (g *guarded) create(file, tenant, scope string) string {
	g.t.Helper()
	out, err := exec.Command(binary, "keys", "create", "--keys-file", file, "--tenant", tenant, "--scope",
		scope).Output()
	if err != nil {
		g.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// ask sends a request with a key and returns the answer.
func (g *guarded) ask(method, url, key, accept, body string) (status int, kind, answer string) {
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

// TestDoors asks a real server what is behind which address, in every format, with the keys of
// two tenants, with one that was made for another server, and with one after it is revoked.
func TestDoors(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const event = `{"id":"1","type":"page.viewed","source":"x","time":"2024-05-01T10:00:00Z","data":{"page":"acme-secret"}}`
	if status, _, body := g.ask("POST", g.url+"/v1/events", g.acme, "", event); status != http.StatusOK {
		t.Fatal(status, body)
	}
	if status, _, body := g.ask("POST", g.admin+"/v1/jobs/audit/runs", g.ops, "", ""); status != http.StatusOK {
		t.Fatal(status, body)
	}
	g.testPlaces()
	g.testAudit()
	g.testFormats()
	g.testRates()
	g.testRefusals()
	g.testEncryption()
	g.testRevocation()
	g.stop(t)
}

// testPlaces: what operators ask for is on the admin address alone, and the rest on the public one alone.
func (g *guarded) testPlaces() {
	g.t.Helper()
	const none, no, may = http.StatusUnauthorized, http.StatusForbidden, http.StatusOK
	for _, c := range []struct {
		path                         string
		public                       [3]int // without a key, a tenant's, the operators'
		admin                        [3]int
		publicMissing, adminsMissing bool
	}{
		{path: "/healthz", public: [3]int{may, may, may}, admin: [3]int{may, may, may}},
		{path: "/openapi.json", public: [3]int{may, may, may}, admin: [3]int{may, may, may}},
		{path: "/metrics", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/debug/pprof/", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/debug/pprof/goroutine?debug=1", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/jobs", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/audit", public: [3]int{none, may, may}, admin: [3]int{none, may, may}},
		{path: "/v1/scores", publicMissing: true, admin: [3]int{none, no, http.StatusNotFound}}, // nothing is published
		{path: "/v1/publications", publicMissing: true, admin: [3]int{none, no, may}},
		{path: "/v1/views", public: [3]int{none, may, no}, adminsMissing: true},
		{path: dayQuery, public: [3]int{none, may, no}, adminsMissing: true},
		{path: "/v1/dead-letters", public: [3]int{none, may, no}, adminsMissing: true},
	} {
		for i, key := range []string{"", g.acme, g.ops} {
			for _, door := range []struct {
				url     string
				want    int
				missing bool
			}{{g.url, c.public[i], c.publicMissing}, {g.admin, c.admin[i], c.adminsMissing}} {
				if door.missing {
					door.want = http.StatusNotFound
				}
				if status, _, body := g.ask("GET", door.url+c.path, key, "*/*", ""); status != door.want {
					g.t.Errorf("%s%s with key %d: status %d, want %d: %.200s", door.url, c.path, i, status, door.want,
						body)
				}
			}
		}
	}
}

// testAudit: a tenant is told what became of its own events, whomever it asks about.
func (g *guarded) testAudit() {
	g.t.Helper()
	for _, url := range []string{g.url, g.admin} {
		for _, more := range []string{"", "?tenant=acme", "?tenant=rival"} {
			if _, _, body := g.ask("GET", url+"/v1/audit"+more, g.rival, "", ""); strings.Contains(body, "acme") {
				g.t.Errorf("%s%s tells rival: %s", url, more, body)
			}
		}
		for _, key := range []string{g.acme, g.ops} {
			if status, _, body := g.ask("GET", url+"/v1/audit", key, "", ""); status != http.StatusOK ||
				!strings.Contains(body, "acme") {
				g.t.Errorf("%s: status %d: %s", url, status, body)
			}
		}
	}
}

// testFormats: a tenant's rows are in no other tenant's answer, and a stranger has none.
func (g *guarded) testFormats() {
	g.t.Helper()
	stranger := g.create(filepath.Join(g.t.TempDir(), "others.json"), "acme", "ingest,query,admin")
	for _, format := range []string{"application/json", "text/csv", "application/vnd.apache.arrow.stream"} {
		err := eventually(g.t.Context(), func() error {
			status, kind, body := g.ask("GET", g.url+dayQuery, g.acme, format, "")
			if status != http.StatusOK || !strings.HasPrefix(kind, format) || !strings.Contains(body, "acme-secret") {
				return fmt.Errorf("%s: acme is told %d, %s: %q", format, status, kind, body)
			}
			return nil
		})
		if err != nil {
			g.t.Error(err)
		}
		if status, kind, body := g.ask("GET", g.url+dayQuery, g.rival, format, ""); status != http.StatusOK ||
			!strings.HasPrefix(kind, format) || strings.Contains(body, "secret") {
			g.t.Errorf("%s: rival is told %d, %s: %q", format, status, kind, body)
		}
		if status, kind, body := g.ask("GET", g.url+dayQuery, stranger, format,
			""); status != http.StatusUnauthorized || kind != "application/problem+json" ||
			!strings.Contains(body, `"code":"unauthorized"`) {
			g.t.Errorf("%s: a stranger is told %d, %s: %q", format, status, kind, body)
		}
	}
}

// testEncryption: the public address speaks TLS 1.2 and later only, and the commands trust what the system trusts.
func (g *guarded) testEncryption() {
	g.t.Helper()
	if status, _, _ := g.ask("GET", strings.Replace(g.url, "https:", "http:", 1)+"/healthz", "", "",
		""); status != http.StatusBadRequest {
		g.t.Errorf("without TLS: status %d", status)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), old); err == nil {
		_ = c.Close()
		g.t.Error("TLS 1.1 is spoken")
	}
	file := writeFile(g.t, filepath.Join(g.t.TempDir(), "acme.key"), g.acme+"\n")
	for trusted, says := range map[string]string{g.cert: "acme-secret", "": "certificate"} {
		ctx, cancel := context.WithTimeout(g.t.Context(), patience)
		cmd := exec.CommandContext(ctx, binary, "query", "page_views", "--server", g.url, "--key-file", file, "-g",
			"page",
			"--from", "2024-05-01T00:00:00Z", "--to", "2024-05-02T00:00:00Z")
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+trusted)
		out, err := cmd.CombinedOutput()
		cancel()
		if (err == nil) != (trusted != "") || !strings.Contains(string(out), says) {
			g.t.Errorf("trusting %q: %v: %s", trusted, err, out)
		}
	}
}

// testRevocation: a revoked key opens nothing a minute later, on connections that were open before too.
func (g *guarded) testRevocation() {
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
			g.t.Errorf("%s with a revoked key: status %d", path, status)
		}
	}
	if status, _, _ := g.ask("GET", g.url+dayQuery, g.rival, "text/csv", ""); status != http.StatusOK {
		g.t.Errorf("another key: status %d", status)
	}
}
