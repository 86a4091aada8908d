package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// checkoutDir returns the folder of the module that holds the working directory.
func checkoutDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod in this folder or above it; run torture inside a checkout of recount")
		}
	}
}

// buildRecount builds the server with failpoints and returns its path.
func buildRecount(ctx context.Context, root, dir string) (string, error) {
	binary := filepath.Join(dir, "recount")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "failpoints", "-o", binary, "./deploy/recount")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build recount: %w\n%s", err, out)
	}
	return binary, nil
}

// spawner starts every process from one thread that lives as long as the harness. The kernel
// kills a child when the thread that started it ends (Pdeathsig), so the children end with the
// harness, however it ends. The Go runtime may end any other thread earlier.
type spawner struct{ jobs chan func() }

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) (err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done := make(chan struct{})
	s.jobs <- func() {
		err = cmd.Start()
		close(done)
	}
	<-done
	return err
}

func (s *spawner) close() { close(s.jobs) }

// process is a running child. Its first line of output contains the URL at which it listens.
type process struct {
	name string
	cmd  *exec.Cmd
	url  string
	logs *tail
	done chan struct{} // done is closed when the process has ended.
}

// firstURL finds the URL in the first line of a server or an engine.
var firstURL = regexp.MustCompile(`((?:http|nats)://[^\s,]+)`)

// errEnded reports that a process ended before it listened.
var errEnded = errors.New("ended before it listened")

// startLimit is how long after its start a process may need until it listens.
const startLimit = 60 * time.Second

// launch starts a child and waits for its first line.
func (h *harness) launch(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, logs: &tail{}, done: make(chan struct{})}
	cmd.Dir = h.root
	cmd.Stderr = p.logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.spawn.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n') // If the process ends early, the line is incomplete.
		first <- line
		_, _ = io.Copy(io.Discard, r)
		_ = cmd.Wait() // ProcessState holds the result.
		close(p.done)
	}()
	var line string
	select {
	case line = <-first:
	case <-ctx.Done():
	case <-time.After(startLimit):
	}
	if p.url = firstURL.FindString(line); p.url != "" {
		return p, nil
	}
	p.kill()
	return p, fmt.Errorf("%s %w: %q", name, errEnded, strings.TrimSpace(line))
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) } // It may have ended.

// kill ends the process with SIGKILL, as a power failure would, and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// endsWithin reports whether the process has ended or ends within the given time.
func (p *process) endsWithin(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
	}
	select { // If both channels were ready, the end of the process decides.
	case <-p.done:
		return true
	default:
		return false
	}
}

// drainLimit is how long after SIGTERM a process may need to end.
const drainLimit = 30 * time.Second

// drain ends the process with SIGTERM, as an operator would, and expects exit code 0.
func (p *process) drain() error {
	p.signal(syscall.SIGTERM)
	if !p.endsWithin(drainLimit) {
		p.kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, drainLimit)
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended with %s", p.name, p.cmd.ProcessState)
	}
	return nil
}

// tail keeps the last bytes of a process's output.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

func (t *tail) contains(text string) bool { return strings.Contains(t.String(), text) }

// lines prints whole lines, also from several goroutines.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lines) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.out, line)
}

// waitUntilStopped reports whether the process is stopped (state T) within the given time.
func (p *process) waitUntilStopped(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			return false
		}
		// The state follows the name, which is in brackets and may hold anything.
		if i := strings.LastIndexByte(string(stat), ')'); i > 0 && strings.HasPrefix(string(stat[i:]), ") T") {
			return true
		}
	}
	return false
}
