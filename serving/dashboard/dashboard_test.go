package dashboard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// maxPacked is how many bytes the page may have when it is compressed.
const maxPacked = 250_000

// another answers what the page does not.
var another = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func newTestPage(t *testing.T) *Page {
	t.Helper()
	p, err := newPage(fstest.MapFS{
		"absent.html":               {Data: []byte("no page")},
		"page/index.html":           {Data: []byte("<p>the page</p>")},
		"page" + licenses:           {Data: []byte("MIT")},
		"page/assets/index-abc1.js": {Data: []byte(strings.Repeat("let a;", 100))},
	}, another)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get(p *Page, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestWhoGetsThePage: a browser gets it at / alone, and everything else goes on as before.
func TestWhoGetsThePage(t *testing.T) {
	t.Parallel()
	p := newTestPage(t)
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		method, path, accept string
		want                 int
	}{
		{"GET", "/", browser, http.StatusOK},
		{"HEAD", "/", browser, http.StatusOK},
		{"GET", "/", "application/json", http.StatusTeapot},
		{"GET", "/", "*/*", http.StatusTeapot},
		{"POST", "/", browser, http.StatusTeapot},
		{"GET", "/index.html", browser, http.StatusTeapot},
		{"GET", "/assets/index-abc1.js", "*/*", http.StatusOK},
		{"GET", "/assets/other.js", "*/*", http.StatusTeapot},
		{"POST", "/assets/index-abc1.js", "*/*", http.StatusTeapot},
	} {
		if got := get(p, c.method, c.path, "Accept", c.accept).StatusCode; got != c.want {
			t.Errorf("%s %s, Accept %s: status %d, want %d", c.method, c.path, c.accept, got, c.want)
		}
	}
}

// TestCaching: the index is asked for again and is not sent again; an asset is kept.
func TestCaching(t *testing.T) {
	t.Parallel()
	p := newTestPage(t)
	first := get(p, "GET", "/", "Accept", "text/html")
	if got := first.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("the index has Cache-Control %q", got)
	}
	again := get(p, "GET", "/", "Accept", "text/html", "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || read(t, again) != "" {
		t.Errorf("the same index has status %d", again.StatusCode)
	}
	asset := get(p, "GET", "/assets/index-abc1.js")
	if got := asset.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("an asset has Cache-Control %q", got)
	}
	if got := get(p, "GET", licenses).Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("the licences, whose name has no hash, have Cache-Control %q", got)
	}
	packed := get(p, "GET", "/assets/index-abc1.js", "Accept-Encoding", "gzip, br")
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == asset.Header.Get("ETag") ||
		len(read(t, packed)) >= len(read(t, asset)) {
		t.Errorf("a compressed asset has the header %v", packed.Header)
	}
}

// TestPolicy: no source but the server itself is allowed, and nothing inline.
func TestPolicy(t *testing.T) {
	t.Parallel()
	got := get(newTestPage(t), "GET", "/", "Accept", "text/html").Header.Get("Content-Security-Policy")
	for part := range strings.SplitSeq(got, ";") {
		fields := strings.Fields(part)
		if len(fields) != 2 || fields[1] != "'self'" && fields[1] != "'none'" {
			t.Errorf("the policy allows %s", part)
		}
	}
	if !strings.HasPrefix(got, "default-src 'none'") {
		t.Errorf("the policy is %q", got)
	}
}

// TestWithoutThePage: a program that was built without it says how to get it.
func TestWithoutThePage(t *testing.T) {
	t.Parallel()
	p, err := newPage(fstest.MapFS{"absent.html": {Data: []byte("no page")}}, another)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, get(p, "GET", "/", "Accept", "text/html")); got != "no page" {
		t.Errorf("got %q", got)
	}
}

// TestBuiltPage checks what this program holds: its size, and that the HTML has no inline script or style, which the
// policy would refuse.
func TestBuiltPage(t *testing.T) {
	t.Parallel()
	p, err := New(another)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.assets) == 0 {
		t.Skip("the page was not built: make web builds it")
	}
	html := string(p.index.content)
	if strings.Contains(html, "<style") || strings.Contains(html, "style=") || strings.Contains(html, "://") {
		t.Errorf("the policy refuses a part of %s", html)
	}
	for part := range strings.SplitSeq(html, "<script") {
		if tag, body, found := strings.Cut(part, ">"); found && strings.Contains(tag, "module") &&
			!strings.HasPrefix(strings.TrimSpace(body), "</script>") {
			t.Errorf("an inline script: %s", part)
		}
	}
	text := string(p.assets[licenses].content)
	if !strings.Contains(text, "preact") || !strings.Contains(text, "uplot") {
		t.Errorf("the licences lack one: %s", text)
	}
	size := len(p.index.packed())
	for name, asset := range p.assets {
		if asset.media == "" {
			t.Errorf("%s has no media type", name)
		}
		size += len(asset.packed())
	}
	t.Logf("%d bytes compressed in %d files", size, len(p.assets)+1)
	if size > maxPacked {
		t.Errorf("the page has %d bytes compressed, more than %d", size, maxPacked)
	}
}
