package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const shopConfig = `
log: {partitions: 2}
events:
  page.viewed: {fields: {page: string, referrer: string}}
  link.followed: {fields: {page: string, link: string}}
  order.paid: {fields: {page: string, amount: int64}}
  mail.opened: {fields: {mail: string, minutes: int64}}
views:
  pages:  {event: page.viewed, dimensions: [page, referrer], measures: {views: {count: {}}}}
  links:  {event: link.followed, dimensions: [page, link], measures: {clicks: {count: {}}}}
  orders: {event: order.paid, dimensions: [page], measures: {orders: {count: {}}, amount: {sum: amount}}}
  mails:  {event: mail.opened, dimensions: [mail], measures: {opened: {count: {}}, minutes: {sum: minutes}}}
jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// shopPages are the pages of a shop by path. SCRIPT stands for the element that includes recount.js, EXAMPLE for that
// of API.md with its call, PIXEL for the address of the image, EVIL for a page of an origin that the key does not name.
var shopPages = map[string]string{
	// The user goes to the cart and back, pays, looks at a link to another host, and leaves. The last events happen
	// while the page is hidden for good and nothing but a beacon works. They have 80 kB, of which the first beacon has
	// half, and there is no room for the second. Before, 50 events have 150 kB, and one alone has more than a request.
	"/": `<!doctype html>SCRIPT<img src="PIXEL&type=mail.opened&mail=welcome&minutes=3">
<iframe src="/private"></iframe><iframe src="/asleep"></iframe><iframe src="/hidden"></iframe>
<iframe src="EVIL"></iframe><a id=out href="https://example.org/a?secret=1">out</a>
<a id=in href="/cart">in</a>
<script>
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
addEventListener("pagehide", () => {
	window.fetch = () => Promise.reject();
	recount("order.paid", {amount: 7});
	for (let i = 0; i < 4; i++) recount("order.paid", {amount: 0, note: "x".repeat(20000)});
}, true);
addEventListener("load", async () => {
	await pause(300);
	history.pushState(null, "", "/cart");
	history.pushState(null, "", "/cart?step=2");
	history.go(-2);
	await pause(300);
	recount("order.paid", {amount: 5});
	for (let i = 0; i < 50; i++) recount("order.paid", {amount: 1, note: "€".repeat(1000)});
	recount("order.paid", {amount: 1000, note: "x".repeat(70000)});
	for (const id of ["out", "in"]) {
		const link = document.getElementById(id);
		link.addEventListener("click", (event) => event.preventDefault());
		link.click();
	}
	await pause(3000);
	location.href = "/done";
});
</script>`,
	"/done": `<!doctype html>EXAMPLE`,
	// The first try fails, and the computer then sleeps for an hour: a copy might be too late to be found.
	"/asleep": `<!doctype html><script>{
	const {fetch} = window, {now} = Date;
	window.fetch = () => {
		window.fetch = fetch;
		Date.now = () => now() + 3600000;
		return Promise.reject();
	};
}</script>SCRIPT`,
	// The page is hidden while it waits for the second try.
	"/hidden": `<!doctype html><script>{
	const {fetch} = window;
	window.fetch = () => {
		window.fetch = fetch;
		setTimeout(() => dispatchEvent(new Event("pagehide")), 500);
		return Promise.reject();
	};
}</script>SCRIPT`,
	"/private": `<!doctype html><script>
Object.defineProperty(navigator, "globalPrivacyControl", {value: true});
</script>SCRIPT<script>addEventListener("load", () => recount("order.paid", {amount: 1000}))</script>`,
	"/evil": `<!doctype html>SCRIPT`,
}

// TestBrowser opens a shop in Chromium, whose pages count themselves on a server of another origin. Every view, click
// and event counts once, although the server refuses the first request and loses the answer to the second. A page of an
// origin that the key does not name counts nothing, and neither does one whose user asks not to be tracked. No request
// is empty.
func TestBrowser(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium; run make browser")
	}
	dir := t.TempDir()
	var pages http.Handler
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
	t.Cleanup(shop.Close)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
	t.Cleanup(evil.Close)
	file := filepath.Join(dir, "keys.json")
	admin := createKey(t, file, "--scope", "admin,query")
	key := createKey(t, file, "--scope", "collect", "--type", "page.viewed,link.followed,order.paid,mail.opened",
		"--origin", shop.URL)
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), shopConfig), "127.0.0.1:0",
		"--auth.keys-file", file)
	far := httptest.NewServer(unreliable(t, srv.url))
	t.Cleanup(far.Close)
	pages = shopHandler(t, far.URL, key, evil.URL+"/evil")
	browse(t, chromium, filepath.Join(dir, "browser"), shop.URL+"/?secret=1")

	want := map[string]string{
		"pages": fmt.Sprintf(`[{"page":"/","referrer":"","views":2},{"page":"/cart","referrer":"","views":1},`+
			`{"page":"/done","referrer":%[1]q,"views":1},{"page":"/hidden","referrer":%[1]q,"views":1}]`, shop.URL+"/"),
		"links": `[{"clicks":1,"link":"https://example.org/a","page":"/"}]`,
		"orders": `[{"amount":62,"orders":54,"page":"/"},` +
			`{"amount":12,"orders":1,"page":"/done"}]`,
		"mails": `[{"mail":"welcome","minutes":3,"opened":1}]`,
	}
	ctx := withKey(t.Context(), admin)
	counted := func() map[string]string {
		got := map[string]string{}
		for view, groups := range map[string]string{"pages": `"page","referrer"`, "links": `"page","link"`,
			"orders": `"page"`, "mails": `"mail"`} {
			a, err := query(ctx, srv.url, fmt.Sprintf(`{"view":%q,"group_by":[%s],"from":%q,"to":%q}`, view, groups,
				time.Now().Add(-24*time.Hour).Format(time.RFC3339), time.Now().Add(24*time.Hour).Format(time.RFC3339)))
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range a.Rows {
				delete(row, "live")
			}
			raw, err := json.Marshal(a.Rows)
			if err != nil {
				t.Fatal(err)
			}
			got[view] = string(raw)
		}
		return got
	}
	deadline := time.Now().Add(patience)
	for fmt.Sprint(counted()) != fmt.Sprint(want) && time.Now().Before(deadline) {
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(2 * time.Second) // A copy that counts twice would come now.
	if got := counted(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v\n%s", got, want, srv.logs)
	}
	if log := srv.logs.String(); !strings.Contains(log, evil.URL) || strings.Contains(log, key[21:]) {
		t.Errorf("the log does not name the origin that was refused, or has the key:\n%s", log)
	}
}

// createKey makes a key of the tenant acme.
func createKey(t *testing.T, file string, flags ...string) string {
	t.Helper()
	out, err := exec.Command(binary, append([]string{"keys", "create", "--keys-file", file, "--tenant", "acme"},
		flags...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// scriptExample is how API.md includes the script and calls it.
var scriptExample = regexp.MustCompile("(?s)```html\n(<script .*?)```")

// shopHandler serves the pages of the shop, which include the script from a server.
func shopHandler(t *testing.T, server, key, evil string) http.Handler {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "serving", "API.md"))
	if err != nil {
		t.Fatal(err)
	}
	example := scriptExample.FindStringSubmatch(string(raw))[1]
	example = strings.NewReplacer("https://recount.example", server, "recount_…", key).Replace(example)
	script := fmt.Sprintf(`<script defer src="%s/recount.js" data-key="%s" data-link="link.followed" `+
		`data-source="shop"></script>`, server, key)
	replace := strings.NewReplacer("SCRIPT", script, "EXAMPLE", example,
		"PIXEL", server+"/v1/pixel.gif?key="+key, "EVIL", evil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := shopPages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, replace.Replace(page)) // The browser may be gone.
	})
}

// unreliable forwards requests to a server. It refuses the first POST of the shop, and loses the answer to the second.
// An empty batch fails the test.
func unreliable(t *testing.T, server string) http.Handler {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = http.DefaultTransport
	var posts atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int64(0)
		if r.Method == http.MethodPost {
			n = posts.Add(1)
			body, _ := io.ReadAll(r.Body) // The browser may be gone.
			r.Body = io.NopCloser(bytes.NewReader(body))
			if string(body) == "[]" {
				t.Error("a page sent an empty batch")
			}
		}
		switch n {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// browse opens a page in Chromium until the test ends.
func browse(t *testing.T, chromium, profile, page string) {
	t.Helper()
	cmd := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--user-data-dir="+profile, "--remote-debugging-port=0",
		page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // The browser and its helpers; it may have ended already.
		_ = cmd.Wait()
	})
}
