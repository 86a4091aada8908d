package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"recount/deploy/server"
)

// TestDoctorClock: a clock that differs by seconds is a warning, and one that differs by minutes a failure.
func TestDoctorClock(t *testing.T) {
	t.Parallel()
	for offset, want := range map[time.Duration]server.Level{0: server.Fine, 20 * time.Second: server.Warning,
		-20 * time.Second: server.Warning, time.Hour: server.Failure, -time.Hour: server.Failure} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
		}))
		f := clockFinding(t.Context(), "clock", s.URL)
		s.Close()
		if f == nil || f.Level != want || (f.Fix == "") != (want == server.Fine) {
			t.Errorf("%s: got %+v, want %s", offset, f, want)
		}
	}
	if f := clockFinding(t.Context(), "clock", "http://127.0.0.1:1"); f != nil {
		t.Errorf("without a server: got %+v", f)
	}
}

// TestDoctor: without a server and without data everything else is judged, and a failure is exit code 1.
func TestDoctor(t *testing.T) {
	t.Parallel()
	line := []string{"doctor", "--server=http://127.0.0.1:1", "--data-dir", t.TempDir() + "/new",
		"--listen=127.0.0.1:0"}
	code, stdout, stderr := command(t, line...)
	for _, says := range []string{"ok    version", "does not exist yet", "warn  server", "to do: recount up"} {
		if !strings.Contains(stdout, says) {
			t.Errorf("exit code %d, no %q: %s%s", code, says, stdout, stderr)
		}
	}
	code, stdout, _ = command(t, append(line, "--log.partitions=0", "--format=json")...)
	if code != exitFailed || !strings.Contains(stdout, `"level": "fail"`) ||
		!strings.Contains(stdout, "log.partitions") {
		t.Errorf("a wrong configuration: exit code %d: %s", code, stdout)
	}
}

// TestDoctorVersion: the version of the server is shown, and one that differs from this program's is a warning.
func TestDoctorVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		level  server.Level
		says   string
	}{
		"the same": {200, "# TYPE x gauge\n" + server.BuildInfo + `{version="` + server.Version() + "\"} 1\n",
			server.Fine, "recount " + server.Version()},
		"another one":  {200, server.BuildInfo + "{version=\"v0.1\"} 1\n", server.Warning, "v0.1, and this program is"},
		"an older one": {200, "go_goroutines 7\n", server.Warning, "it is an older one"},
		"no key":       {401, "", server.Fine, "it needs a key with the scope admin"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		command := doctorCmd{serverFlag: serverFlag{Server: s.URL}}
		f := command.askVersion(t.Context())
		s.Close()
		if f.Level != c.level || !strings.Contains(f.Result, c.says) {
			t.Errorf("%s: got %+v, want %s %s", name, f, c.level, c.says)
		}
	}
}
