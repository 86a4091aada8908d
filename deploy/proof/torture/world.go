package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"recount/deploy/client"
	"recount/deploy/proof/loopback"
	"recount/schemas/failpoint"
	"recount/schemas/query"
)

// settings is a configuration in which cuts, snapshots and jobs happen often, so that a fault
// meets all of them.
const settings = `
log: {partitions: 3, max_bytes: 64MiB%s}
object_store: {url: %q}
clickhouse: {url: %q}
landing: {cut_interval: 200ms, cut_rows: 5000, cut_bytes: 16MiB}
speed: {snapshot_interval: 300ms}
query: {timeout: 5s}
events:
  hit: {fields: {page: string, user: string, n: int64}}
views:
  hits:
    event: hit
    dimensions: [page]
    measures: {hits: {count: {}}, n: {sum: n}, users: {distinct: user}}
jobs:
  recompute: {schedule: "@every 1s"}
  collect: {schedule: "@every 2s"}
  expire: {schedule: "@every 1s"}
`

// world is where one round is played: servers with their data, and a client.
type world struct {
	h    *harness
	name string
	dir  string
	rng  *rand.Rand

	config  string
	servers []*server
	engines *engines // engines is nil where each server has its own.
	load    *load
	onClose []func()
}

// server is a recount process and, after a kill, the next process over the same data.
type server struct {
	w         *world
	n         int
	roles     string // roles are separated by commas; empty means all roles.
	listen    string
	dir       string // dir is the data_dir.
	asker     *client.Client
	proc      *process
	newLog    bool      // newLog lets the server go on with a new log in place of the one that is gone.
	downSince time.Time // downSince is when the server ended; it is zero while the server answers.
}

func (s *server) url() string { return "http://" + s.listen }

// open creates servers with every role, over shared engines or over engines inside each server.
func (w *world) open(ctx context.Context, servers int, shared bool) error {
	if !shared {
		return w.openRoles(ctx, make([]string, servers), nil)
	}
	return w.openRoles(ctx, make([]string, servers), engineKinds)
}

// openRoles creates one server for each entry of roles. The servers share engines of the given
// kinds; without kinds each server has its own.
func (w *world) openRoles(ctx context.Context, roles, kinds []string) error {
	if err := os.MkdirAll(w.dir, 0o750); err != nil {
		return err
	}
	config := fmt.Sprintf(settings, "", "embedded", "embedded")
	if kinds != nil {
		var err error
		if w.engines, err = openEngines(ctx, w, kinds); err != nil {
			return err
		}
		config = w.engines.settings()
	}
	w.config = filepath.Join(w.dir, "recount.yaml")
	if err := os.WriteFile(w.config, []byte(config), 0o600); err != nil {
		return err
	}
	var urls []string
	for n, r := range roles {
		listen, err := w.reserve()
		if err != nil {
			return err
		}
		s := &server{w: w, n: n, roles: r, listen: listen, dir: filepath.Join(w.dir, fmt.Sprintf("data%d", n))}
		if s.asker, err = newAsker(s.url()); err != nil {
			return err
		}
		w.onClose = append(w.onClose, s.asker.Close)
		w.servers = append(w.servers, s)
		if r == "" || strings.Contains(r, "ingest") {
			urls = append(urls, s.url())
		}
	}
	var err error
	w.load, err = newLoad(w.rng.Uint64(), filepath.Join(w.dir, "acks.ndjson"), urls...)
	return err
}

// begin opens the world and starts every server and the client.
func (w *world) begin(ctx context.Context, servers int, shared bool) error {
	if err := w.open(ctx, servers, shared); err != nil {
		return err
	}
	return w.start(ctx)
}

// start starts every server and the client.
func (w *world) start(ctx context.Context) error {
	for _, s := range w.servers {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	w.load.start(ctx)
	return nil
}

// reserve returns a loopback address that a server keeps until the world is closed.
func (w *world) reserve() (string, error) {
	address, release, err := loopback.Reserve()
	if err != nil {
		return "", err
	}
	w.onClose = append(w.onClose, func() { _ = release() }) // The address is not used again.
	return address, nil
}

// launch starts the server and waits until it listens. The script says what happens at which
// failpoints. When launch returns an error, the process may have ended.
func (s *server) launch(ctx context.Context, script ...string) (err error) {
	command := []string{"up"}
	if s.roles != "" {
		command = []string{"serve", "--role", s.roles}
	}
	if s.newLog {
		command = append(command, "--replace-log")
	}
	args := append(command, "--config", s.w.config, "--data-dir", s.dir, "--listen", s.listen, "--log-level",
		s.w.h.logLevel)
	cmd := exec.Command(s.w.h.binary, args...)
	cmd.Env = append(s.w.engineKeys(), failpoint.ScriptEnv+"="+strings.Join(script, ","),
		failpoint.ClockEnv+"="+s.clockFile())
	s.proc, err = s.w.h.launch(ctx, fmt.Sprintf("server %d", s.n), cmd)
	return err
}

// engineKeys returns the environment with the keys of the shared object store.
func (w *world) engineKeys() []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+engineKey, "AWS_SECRET_ACCESS_KEY="+engineSecret)
}

// clockFile is the file that holds the error of the server's clock. Only clockRound writes it.
func (s *server) clockFile() string { return s.dir + ".clock" }

// answerLimit is how long after its start a server may need until its first answer.
const answerLimit = 60 * time.Second

// start launches the server, waits for its first answer and reports how long it was down.
func (s *server) start(ctx context.Context, script ...string) error {
	if err := s.launch(ctx, script...); err != nil {
		return err
	}
	return s.waitForAnswer(ctx)
}

// waitForAnswer waits until the server answers an exact query.
func (s *server) waitForAnswer(ctx context.Context) error {
	err := eventually(ctx, answerLimit, func() error {
		if s.proc.endsWithin(0) {
			return fmt.Errorf("%s %w: %s", s.proc.name, errEnded, s.proc.cmd.ProcessState)
		}
		_, err := s.query(ctx, query.Exact)
		return err
	})
	if err == nil && !s.downSince.IsZero() {
		s.w.h.report.recovered(time.Since(s.downSince))
		s.downSince = time.Time{}
	}
	return err
}

// kill ends the server with SIGKILL.
func (s *server) kill() {
	if s.proc != nil {
		s.proc.kill()
	}
	s.markDown()
}

// markDown records that the server has just ended.
func (s *server) markDown() {
	if s.downSince.IsZero() {
		s.downSince = time.Now()
	}
}

func (w *world) acked() int64 {
	if w.load == nil {
		return 0
	}
	return w.load.acked.Load()
}

func (w *world) retried() int64 {
	if w.load == nil {
		return 0
	}
	return w.load.retries.Load()
}

// logs returns the last lines that every process of the world printed.
func (w *world) logs() string {
	var b strings.Builder
	for _, s := range w.servers {
		if s.proc != nil {
			fmt.Fprintf(&b, "--- %s\n%s", s.proc.name, s.proc.logs)
		}
	}
	if w.engines != nil {
		for _, p := range w.engines.procs {
			fmt.Fprintf(&b, "--- %s\n%s", p.name, p.logs)
		}
	}
	return b.String()
}

// close ends every process of the world, unmounts its volumes and releases its addresses.
func (w *world) close() {
	w.h.report.load(w.acked(), w.retried())
	if w.load != nil {
		w.load.close()
	}
	for _, s := range w.servers {
		if s.proc != nil {
			s.proc.kill()
		}
	}
	if w.engines != nil {
		w.engines.close()
	}
	for _, f := range w.onClose {
		f()
	}
}

// eventually repeats f until it returns nil, for at most limit. An error that wraps
// errEnded is final.
func eventually(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no success within %s: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// randomDuration draws a duration between least and most.
func (w *world) randomDuration(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

func (w *world) say(format string, args ...any) { w.h.say(w.name, format, args...) }
