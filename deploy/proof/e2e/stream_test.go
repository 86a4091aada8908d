package e2e

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// event is a server-sent event.
type event struct{ id, name, data string }

// nextEvent returns the next event of a stream, and its text with what came before.
func nextEvent(r *bufio.Reader) (text string, e event, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return text, e, err
		}
		text += line
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "" && e.name != "":
			return text, e, nil
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
}

// stream is an open stream.
type stream struct {
	*http.Response
	lines *bufio.Reader
}

// openStream asks for a stream as an HTTP client does that sees each byte: compressed bytes are not unpacked.
func openStream(ctx context.Context, url string, header http.Header) (*stream, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/stream?"+streamedViews, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	res, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		return nil, fmt.Errorf("%s %s %w", res.Status, raw, err)
	}
	s := &stream{res, bufio.NewReader(res.Body)}
	if res.Header.Get("Content-Encoding") == "gzip" {
		// It waits for the first bytes, which a proxy that collects them never sends.
		defer time.AfterFunc(patience, func() { _ = res.Body.Close() }).Stop()
		unpacked, err := gzip.NewReader(res.Body)
		if err != nil {
			return nil, err
		}
		s.lines = bufio.NewReader(unpacked)
	}
	return s, nil
}

const streamedViews = "view=page_views&from=2024-05-01&to=2024-05-02&measures=views&interval=200ms"

// waitFor returns the first event that has all texts. A last event, or none in time, is an error.
func (s *stream) waitFor(texts ...string) (event, error) {
	defer time.AfterFunc(patience, func() { _ = s.Body.Close() }).Stop()
	for {
		_, e, err := nextEvent(s.lines)
		has := true
		for _, text := range texts {
			has = has && strings.Contains(strings.ReplaceAll(e.data, " ", ""), text)
		}
		switch {
		case err != nil:
			return e, fmt.Errorf("after %+v: %w", e, err)
		case has:
			return e, nil
		case e.name != "answer":
			return e, fmt.Errorf("waiting for %s: %+v", texts, e)
		}
	}
}

// sendViews sends page views with the ids [first, end).
func sendViews(ctx context.Context, url string, first, end int) error {
	var lines strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&lines, `{"id":"%d","type":"page.viewed","time":"2024-05-01T10:00:00Z","data":{"page":"/"}}`, i)
		lines.WriteByte('\n')
	}
	a, err := sender(ctx, url).SendLines(ctx, []byte(lines.String()))
	if err == nil && a.Accepted != end-first {
		err = fmt.Errorf("%d of %d events were accepted", a.Accepted, end-first)
	}
	return err
}

// TestStream gives 1,000 clients the answer to one query while events arrive and a publication makes them exact. They
// cost one query. The end of the process ends their streams at once.
func TestStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig), "127.0.0.1:0")
	if err := sendViews(t.Context(), srv.url, 0, 3); err != nil {
		t.Fatal(err)
	}
	const all = 1000
	var clients []*stream
	defer func() {
		for _, c := range clients {
			_ = c.Body.Close()
		}
	}()
	for range all {
		c, err := openStream(t.Context(), srv.url, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	everybody := func(texts ...string) {
		t.Helper()
		var g errgroup.Group
		for _, c := range clients {
			g.Go(func() error {
				_, err := c.waitFor(texts...)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	everybody(`"views":3`)
	if err := sendViews(t.Context(), srv.url, 3, 5); err != nil {
		t.Fatal(err)
	}
	everybody(`"views":5`, `"exact":false`)
	if err := waitUntilLanded(t.Context(), srv.url); err != nil {
		t.Fatal(err)
	}
	if err := runJob(t.Context(), srv.url, "recompute"); err != nil {
		t.Fatal(err)
	}
	everybody(`[{"views":5}]`, `"exact":true`)
	metrics := streamMetrics(t, srv.url)
	asked := metrics[`recount_stream_rounds_total{result="asked"}`]
	if metrics["recount_stream_readers"] != all || metrics["recount_stream_queries"] != 1 || asked > 50 ||
		metrics["recount_stream_sent_total"] < 3*all {
		t.Errorf("%v", metrics)
	}
	began := time.Now()
	if err := srv.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	everybody(`"code":"shutting_down"`)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the streams ended after %s", took)
	}
	if err := <-srv.done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	srv.done <- nil
}

var streamMetric = regexp.MustCompile(`(?m)^(recount_stream_\S+) (\S+)$`)

func streamMetrics(t *testing.T, url string) map[string]float64 {
	t.Helper()
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, m := range streamMetric.FindAllStringSubmatch(string(raw), -1) {
		if out[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestStreamOfARevokedKey revokes the key of an open stream.
func TestStreamOfARevokedKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.json")
	out, err := exec.Command(binary, "keys", "create", "--keys-file", file, "--tenant", "acme", "--scope",
		"ingest,query").Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(out))
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig), "127.0.0.1:0",
		"--auth.keys-file", file)
	c, err := openStream(t.Context(), srv.url, http.Header{"Authorization": {"Bearer " + key}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Body.Close()
	if _, err := c.waitFor(`"rows":`); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "keys", "revoke", "--keys-file", file, key[8:20]).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if e, err := c.waitFor(`"code":"unauthorized"`); err != nil || e.name != "problem" {
		t.Errorf("%+v, %v", e, err)
	}
	srv.stop(t)
}

// nginxConfig is a proxy with the defaults of NGINX, but for what a process without root must say, and that compresses
// streams.
const nginxConfig = `
daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  gzip on; gzip_proxied any; gzip_types text/event-stream application/json; gzip_min_length 0;
  server { listen %[2]s; location / { proxy_pass %[3]s; proxy_set_header Host $proxy_host; } }
}
`

// TestStreamBehindNGINX gets each event at once through NGINX, which buffers and compresses other answers.
func TestStreamBehindNGINX(t *testing.T) {
	t.Parallel()
	program := os.Getenv("RECOUNT_NGINX")
	if program == "" {
		var err error
		if program, err = exec.LookPath("nginx"); err != nil {
			t.Skip("no NGINX is here; make streams installs one")
		}
	}
	dir := t.TempDir()
	srv := start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), tenantsConfig), "127.0.0.1:0")
	proxy := startNGINX(t, program, srv.url)
	sent := 0
	for _, coding := range []string{"gzip", "identity"} {
		c, err := openStream(t.Context(), proxy, http.Header{"Accept-Encoding": {coding}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Body.Close()
		if got := c.Header.Get("Content-Encoding"); coding == "gzip" != (got == "gzip") {
			t.Errorf("Accept-Encoding: %s is answered with Content-Encoding: %q", coding, got)
		}
		for range 3 { // Events that waited for a full buffer would not come.
			if err := sendViews(t.Context(), srv.url, sent, sent+1); err != nil {
				t.Fatal(err)
			}
			sent++
			if _, err := c.waitFor(fmt.Sprintf(`[{"views":%d,`, sent)); err != nil {
				t.Fatalf("%s: %v", coding, err)
			}
		}
	}
	srv.stop(t)
}

// startNGINX starts a proxy before a server and returns its address.
func startNGINX(t *testing.T, program, target string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // NGINX listens there next.
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(nginxConfig, dir, address, target))
	cmd := exec.Command(program, "-p", dir, "-c", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := eventually(t.Context(), func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}
