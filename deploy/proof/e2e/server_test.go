package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/proof/loopback"
	"recount/schemas/openapi/openapitest"
	"recount/schemas/problem"
	queries "recount/schemas/query"
)

// binary is the program under test, built once by TestMain.
var binary string

// TestMain builds the program, which the tests run as a user would. Each answer that the tests get is compared with the
// OpenAPI document.
func TestMain(m *testing.M) {
	http.DefaultClient.Transport = openapitest.Transport(http.DefaultTransport)
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "recount-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "recount")
		build := exec.Command("go", "build", "-o", binary, "recount/deploy/recount")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build recount: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience is how long a test waits for anything. It only ends tests that hang: on a busy machine
// a step of milliseconds may need seconds.
const patience = time.Minute

// server is one running recount process.
type server struct {
	url  string
	cmd  *exec.Cmd
	logs output
	done chan error
}

var urlLine = regexp.MustCompile(`on (https?://\S+?),? `)

// output names the file to which a running process writes its log. The process writes there itself,
// so the lines before its address can be read as soon as the address is known.
type output string

func (o output) String() string {
	raw, err := os.ReadFile(string(o))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// start launches a server that is killed when the test ends.
func start(t testing.TB, dir, config, listen string, flags ...string) *server {
	t.Helper()
	s, err := launch(dir, config, listen, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// launch runs recount up over dir and waits until it prints its address.
func launch(dir, config, listen string, flags ...string) (*server, error) {
	return launchAs(binary, nil, dir, config, listen, flags...)
}

// launchAs launches another build of the program, with additional environment variables.
func launchAs(program string, env []string, dir, config, listen string, flags ...string) (*server, error) {
	logs, err := os.CreateTemp(dir, "server-*.log")
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	s := &server{logs: output(logs.Name()), done: make(chan error, 1)}
	s.cmd = exec.Command(program,
		append([]string{"up", "--config", config, "--data-dir", filepath.Join(dir, "data"), "--listen", listen,
			"--log-level", "warn"}, flags...)...)
	s.cmd.Dir = filepath.Join("..", "..", "..") // the checkout, in which the program finds its engine
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = logs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if m := urlLine.FindStringSubmatch(line); m != nil {
		s.url = m[1]
	}
	go func() {
		_, _ = io.Copy(io.Discard, out) // The process must not block on a full pipe.
		s.done <- s.cmd.Wait()
	}()
	if s.url == "" {
		s.kill()
		return nil, errors.Join(fmt.Errorf("recount up printed %q and no address; its log:\n%s", line, s.logs), err)
	}
	return s, nil
}

// kill ends the process with SIGKILL, as a power failure would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // It may have ended already.
	<-s.done
	s.done <- nil
}

// stop ends the process with SIGINT, as an operator would, and expects exit code 0.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.drain(); err != nil {
		t.Fatal(err)
	}
}

func (s *server) drain() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case err := <-s.done:
		s.done <- nil
		if err != nil {
			return fmt.Errorf("recount up ended with %w:\n%s", err, s.logs)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("recount up did not end within %s of SIGINT:\n%s", patience, s.logs)
	}
}

// reserve returns a loopback address that no other test gets, even while its server is down.
func reserve(t testing.TB) string {
	t.Helper()
	address, release, err := loopback.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return address
}

func writeFile(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// row is one row of an answer.
type row map[string]any

// answer is the answer to a query.
type answer struct {
	Rows     []row
	Accuracy queries.Accuracy
}

// query sends a query to the server; q is its JSON.
func query(ctx context.Context, url, q string) (a answer, err error) {
	parsed, err := queries.Parse([]byte(q), time.Now())
	if err != nil {
		return a, err
	}
	summary, err := asker(ctx, url).Query(ctx, parsed, &a.Rows)
	a.Accuracy = summary.Accuracy
	return a, err
}

// runJob runs a job and waits for its end. A run that the schedule started may be under way and have begun before what
// the test did, so runJob waits for its end and runs the job again.
func runJob(ctx context.Context, url, name string) error {
	for {
		_, err := asker(ctx, url).RunJob(ctx, name)
		if p := (*problem.Problem)(nil); !errors.As(err, &p) || p.Code != problem.JobRunning {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of the scheduled run of %s: %w", name, ctx.Err())
		}
	}
}

// clients holds the clients of all tests by server, key and number of attempts, so that their
// connections are used again.
var clients sync.Map

type clientKey struct {
	url, key string
	attempts int
}

// asker returns a client with the context's key that tries each call once: tests repeat calls themselves.
func asker(ctx context.Context, url string) *client.Client { return clientFor(ctx, url, 1) }

// sender returns a client with the context's key that sends events until they are acknowledged.
func sender(ctx context.Context, url string) *client.Client { return clientFor(ctx, url, 0) }

func clientFor(ctx context.Context, url string, attempts int) *client.Client {
	key := clientKey{url: url, attempts: attempts}
	key.key, _ = ctx.Value(keyContextKey{}).(string)
	if c, ok := clients.Load(key); ok {
		return c.(*client.Client)
	}
	c, err := client.New(client.Config{URL: url, Key: key.key, Retry: client.Retry{Attempts: attempts},
		Breaker: client.Breaker{Failures: -1}, Transport: openapitest.Transport(http.DefaultTransport)})
	if err != nil {
		panic(err) // The address is that of a server of this test.
	}
	clients.Store(key, c)
	return c
}

// eventually calls f every 50 ms until it returns nil, for at most patience.
func eventually(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no success within %s", patience), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type keyContextKey struct{}

// withKey returns a context whose requests carry an API key.
func withKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyContextKey{}, key)
}

// authorize adds the API key of the request's context.
func authorize(req *http.Request) {
	if key, _ := req.Context().Value(keyContextKey{}).(string); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
}

// metrics returns the server's metrics as text.
func metrics(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return string(raw), err
}
