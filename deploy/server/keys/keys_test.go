package keys

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
)

var created = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// keysFile writes the keys into a file in a folder of its own and returns its path.
func keysFile(t testing.TB, keys ...Key) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := Update(path, func([]Key) ([]Key, error) { return keys, nil }); err != nil {
		t.Fatal(err)
	}
	return path
}

func watch(t testing.TB, path string) *Watcher {
	t.Helper()
	w, err := Open(Config{Path: path, Now: func() time.Time { return created.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func gauge(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestFileHasNoKey(t *testing.T) {
	t.Parallel()
	k, text := New("acme", access.Ingest|access.Query, created, time.Time{})
	if len(text) != 64 || !strings.HasPrefix(text, "recount_"+k.ID+"_") {
		t.Errorf("key %q of id %q", text, k.ID)
	}
	path := keysFile(t, k)
	got, raw, err := Read(path)
	if err != nil || cmp.Diff([]Key{k}, got) != "" {
		t.Errorf("%v %v", err, cmp.Diff([]Key{k}, got))
	}
	if secret := text[len(text)-43:]; strings.Contains(string(raw), secret) {
		t.Error("the file holds the secret")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("temporary files were left: %v", left)
	}
}

// TestGolden freezes version 1 of the file.
func TestGolden(t *testing.T) {
	t.Parallel()
	want := strings.NewReplacer("FIRST", "01"+strings.Repeat("0", 62), "SECOND", "02"+strings.Repeat("0", 62),
		"CREATED", "2026-11-24T08:00:00Z").Replace(`{"version":1,"keys":[
 {"id":"aaaabbbb2222","tenant":"acme","scopes":"ingest,query","sha256":"FIRST","created":"CREATED"},
 {"id":"aaaabbbb3333","tenant":"b","scopes":"admin","sha256":"SECOND","created":"CREATED",` +
		`"expires":"2026-11-24T09:00:00Z","revoked":"CREATED"}]}
`)
	keys := []Key{
		{ID: "aaaabbbb2222", Tenant: "acme", Scopes: access.Ingest | access.Query, SHA256: Digest{1}, Created: created},
		{ID: "aaaabbbb3333", Tenant: "b", Scopes: access.Admin, SHA256: Digest{2}, Created: created,
			Expires: created.Add(time.Hour), Revoked: created},
	}
	raw, err := Encode(keys)
	if err != nil || string(raw) != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, string(raw)))
	}
	got, err := Decode([]byte(want))
	if err != nil || cmp.Diff(keys, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(keys, got))
	}
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	const good = `{"version":1,"keys":[{"id":"aaaabbbb2222","tenant":"acme","scopes":"query",` +
		`"sha256":"0100000000000000000000000000000000000000000000000000000000000000",` +
		`"created":"2026-11-24T08:00:00Z"}]}`
	if _, err := Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(good, `"keys"`, `"note":{"by":"x"},"keys"`, 1)
	if _, err := Decode([]byte(more)); err != nil {
		t.Errorf("an optional member that this program does not know: %v", err)
	}
	for says, change := range map[string][2]string{
		"EOF":                 {`]}`, ``},
		"something follows":   {`]}`, `]}{}`},
		"version 2":           {`"version":1`, `"version":2`},
		"does not know":       {`"keys"`, `"requires":["networks"],"keys"`},
		"tenant \"\"":         {`"tenant"`, `"owner"`},
		"tenant \"Acme\"":     {`"acme"`, `"Acme"`},
		"scope \"root\"":      {`"query"`, `"root"`},
		"64 hex digits":       {`00000000"`, `"`},
		"invalid byte":        {`"01`, `"zz`},
		"is missing":          {`"sha256":"01`, `"sha256":"00`},
		"id \"AAAABBBB2222\"": {`aaaabbbb2222`, `AAAABBBB2222`},
		"and no other key":    {`"scopes"`, `"collect":{},"scopes"`},
		"of scope collect":    {`"query"`, `"collect"`},
		"1 to 100 event":      {`"query"`, `"collect","collect":{"types":[],"origins":["*"],"events_per_second":1}`},
		"as browsers send":    {`"query"`, `"collect","collect":{"types":["a"],"origins":["a"],"events_per_second":1}`},
		"at most 1000000000":  {`"query"`, `"collect","collect":{"types":["a"],"origins":["*"]}`},
		"make two keys":       {`"query"`, `"query,collect","collect":{"types":["a"],"origins":["*"]}`},
		"another key has":     {`"keys":[`, `"keys":[` + good[len(`{"version":1,"keys":[`):len(good)-2] + `,`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if _, err := Decode([]byte(bad)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want an error saying %q", bad, err, says)
		}
	}
}

func FuzzDecode(f *testing.F) {
	k, _ := New("acme", access.AllScopes, created, created)
	page, _ := New("acme", access.Collects, created, created)
	page.Collect = &access.Collect{Types: []string{"a"}, Origins: []string{"https://a.example", "*"}, Rate: 0.5}
	raw, err := Encode([]Key{k, page})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":1,"keys":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := Encode(keys)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(again)
		if err != nil || !slices.EqualFunc(keys, got, func(a, b Key) bool {
			return a.ID == b.ID && a.SHA256 == b.SHA256 && a.Scopes == b.Scopes &&
				a.Revoked.IsZero() == b.Revoked.IsZero() && a.Expires.Equal(b.Expires) &&
				cmp.Equal(a.Collect, b.Collect)
		}) {
			t.Errorf("%v: %v became %v", err, keys, got)
		}
	})
}

// TestConcurrentUpdates adds keys from many goroutines at once and expects all of them in the file.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	path := keysFile(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			k, _ := New("acme", access.Query, created, time.Time{})
			if err := Update(path, func(ks []Key) ([]Key, error) { return append(ks, k), nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, _, err := Read(path); err != nil || len(keys) != 20 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	good, text := New("acme", access.Query, created, created.Add(2*time.Hour))
	revoked, revokedText := New("acme", access.AllScopes, created, time.Time{})
	revoked.Revoked = created
	expired, expiredText := New("acme", access.AllScopes, created, created.Add(time.Hour))
	w := watch(t, keysFile(t, good, revoked, expired))
	if p, err := w.Find(text); err != nil ||
		p != (access.Principal{Tenant: "acme", KeyID: good.ID, Scopes: access.Query}) {
		t.Errorf("%v %v", p, err)
	}
	_, other := New("acme", access.Query, created, time.Time{})
	last := byte('A')
	if text[63] == last {
		last = 'Q'
	}
	for text, want := range map[string]error{
		revokedText:                             errRevoked,
		expiredText:                             errExpired,
		other:                                   errUnknown,
		text[:63] + string(last):                errUnknown, // one bit of the secret
		other[:20] + text[20:]:                  errUnknown, // an unknown id
		revokedText[:20] + text[20:]:            errUnknown, // a revoked id with another secret
		"":                                      errUnknown,
		text + "x":                              errUnknown,
		strings.Repeat("x", 64):                 errUnknown,
		"recount_" + strings.Repeat("\x00", 56): errUnknown,
	} {
		if p, err := w.Find(text); !errors.Is(err, want) || p != (access.Principal{}) {
			t.Errorf("%q: got %v, %v; want %v", text, p, err, want)
		}
	}
}

// TestShared has keys of one tenant, and then also of another.
func TestShared(t *testing.T) {
	t.Parallel()
	one, _ := New("acme", access.Query, created, time.Time{})
	two, _ := New("acme", access.Ingest, created, time.Time{})
	other, _ := New("other", access.Query, created, time.Time{})
	if watch(t, keysFile(t, one, two)).Shared() || !watch(t, keysFile(t, one, two, other)).Shared() {
		t.Error("keys of one tenant are shared, or those of two are not")
	}
}

// TestReload changes the file and expects the watcher to follow. A file that is damaged, writable by
// others or missing leaves the keys as they were and sets the metric recount_keys_stale.
func TestReload(t *testing.T) {
	t.Parallel()
	k, text := New("acme", access.Query, created, time.Time{})
	path := keysFile(t, k)
	registry := prometheus.NewRegistry()
	w, err := Open(Config{Path: path, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, want error, stale float64) {
		t.Helper()
		w.reload()
		if _, err := w.Find(text); !errors.Is(err, want) || gauge(t, registry, "recount_keys_stale") != stale {
			t.Errorf("%s: got %v and stale %v, want %v and %v", step, err, gauge(t, registry, "recount_keys_stale"),
				want, stale)
		}
	}
	check("at first", nil, 0)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(whole[:len(whole)/2])
	check("damaged", nil, 1)
	write(whole)
	check("whole again", nil, 0)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	check("writable by others", nil, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("missing", nil, 1)
	write([]byte(`{"version":1,"keys":[]}`))
	check("empty", errUnknown, 0)
	write(whole)
	check("restored", nil, 0)
	if err := Update(path, func(ks []Key) ([]Key, error) {
		ks[0].Revoked = created
		return ks, nil
	}); err != nil {
		t.Fatal(err)
	}
	check("revoked", errRevoked, 0)
	if got := gauge(t, registry, "recount_keys"); got != 0 {
		t.Errorf("recount_keys is %v, want 0", got)
	}
}

func TestOpenNeedsAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "recount keys create "+
		"--keys-file "+path) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(Config{Path: keysFile(t), Registerer: prometheus.NewRegistry()}); err != nil {
		t.Error(err)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	k, text := New("acme", access.Query, created, time.Time{})
	w := watch(t, keysFile(t, k))
	for name, c := range map[string]struct {
		headers []string
		needs   access.Scopes
		status  int
		code    string
		header  string
	}{
		"good":  {[]string{"Bearer " + text}, access.Query, 200, "", ""},
		"case":  {[]string{"bearer  " + text}, access.Query, 200, "", ""},
		"none":  {nil, access.Query, 401, "unauthorized", `Bearer realm="recount"`},
		"basic": {[]string{"Basic " + text}, access.Query, 401, "unauthorized", `Bearer realm="recount"`},
		"bare":  {[]string{text}, access.Query, 401, "unauthorized", `Bearer realm="recount"`},
		"two": {[]string{"Bearer " + text, "Bearer " + text}, access.Query, 401, "unauthorized",
			`Bearer realm="recount"`},
		"unknown": {[]string{"Bearer x"}, access.Query, 401, "unauthorized",
			`Bearer realm="recount", error="invalid_token"`},
		"no scope": {[]string{"Bearer " + text}, access.Admin, 403, "forbidden",
			`Bearer realm="recount", error="insufficient_scope", scope="admin"`},
		"one of two": {[]string{"Bearer " + text}, access.Query | access.Admin, 200, "", ""},
		"neither": {[]string{"Bearer " + text}, access.Ingest | access.Admin, 403, "forbidden",
			`Bearer realm="recount", error="insufficient_scope", scope="ingest admin"`},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = c.headers
		rec := httptest.NewRecorder()
		Guard(w.Authenticate, c.needs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if p, ok := access.FromContext(r.Context()); !ok || p.Tenant != "acme" {
				t.Errorf("%s: principal %v, %v", name, p, ok)
			}
		})).ServeHTTP(rec, r)
		var p struct {
			Code   string
			Detail string
		}
		_ = json.Unmarshal(rec.Body.Bytes(), &p) // A request that is allowed has no body.
		if rec.Code != c.status || p.Code != c.code || rec.Header().Get("WWW-Authenticate") != c.header ||
			strings.Contains(rec.Body.String(), text) {
			t.Errorf("%s: %d %q %s", name, rec.Code, rec.Header().Get("WWW-Authenticate"), rec.Body)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, ok := range map[string]bool{"127.0.0.1:8080": true, "localhost": true, "[::1]:80": true, "[::1]": true,
		"127.0.0.1":    true,
		"evil.example": false, "evil.example:8080": false, "10.0.0.1:8080": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if _, err := Loopback(r); (err == nil) != ok {
			t.Errorf("%q: %v", host, err)
		}
	}
}
