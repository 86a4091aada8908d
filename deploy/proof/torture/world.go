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

	"recount/deploy/proof/loopback"
	"recount/schemas/failpoint"
)

// settings make everything happen often, so that a fault meets all of it.
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

// world is what one round plays in: servers over data of their own, and a client.
type world struct {
	h    *harness
	name string
	dir  string
	rng  *rand.Rand

	config  string
	servers []*server
	engines *engines // nil: each server has its own
	load    *load
	onClose []func()
}

// server is one recount process, and its next one after it was killed.
type server struct {
	w      *world
	n      int
	roles  string // separated by commas; empty: all
	listen string
	dir    string // its data_dir
	proc   *process
	died   time.Time // zero while it answers
}

func (s *server) url() string { return "http://" + s.listen }

// open makes a world of servers with every role, with engines inside them or over shared ones.
func (w *world) open(ctx context.Context, servers int, shared bool) error {
	if !shared {
		return w.openRoles(ctx, make([]string, servers), nil)
	}
	return w.openRoles(ctx, make([]string, servers), engineKinds)
}

// openRoles makes a world of one server for each entry of roles, over engines of the kinds
// or, without kinds, over its own.
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
		w.servers = append(w.servers, s)
		if r == "" || strings.Contains(r, "ingest") {
			urls = append(urls, s.url())
		}
	}
	var err error
	w.load, err = newLoad(w.rng.Uint64(), filepath.Join(w.dir, "acks.ndjson"), urls...)
	return err
}

// begin is open, then every server up and the client at work.
func (w *world) begin(ctx context.Context, servers int, shared bool) error {
	if err := w.open(ctx, servers, shared); err != nil {
		return err
	}
	return w.start(ctx)
}

// start has every server up and the client at work.
func (w *world) start(ctx context.Context) error {
	for _, s := range w.servers {
		if err := s.up(ctx); err != nil {
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
	w.onClose = append(w.onClose, func() { _ = release() }) // Nobody asks for it again.
	return address, nil
}

// launch starts the server and waits until it listens. The points of the script do
// something; the process may also be gone when it returns an error.
func (s *server) launch(ctx context.Context, script ...string) (err error) {
	command := []string{"up"}
	if s.roles != "" {
		command = []string{"serve", "--role", s.roles}
	}
	args := append(command, "--config", s.w.config, "--data-dir", s.dir, "--listen", s.listen, "--log-level",
		s.w.h.logLevel)
	cmd := exec.Command(s.w.h.binary, args...)
	cmd.Env = append(s.w.engineKeys(), failpoint.ScriptEnv+"="+strings.Join(script, ","),
		failpoint.ClockEnv+"="+s.clockFile())
	s.proc, err = s.w.h.launch(ctx, fmt.Sprintf("server %d", s.n), cmd)
	return err
}

// engineKeys is the environment with the keys of the shared object store.
func (w *world) engineKeys() []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+engineKey, "AWS_SECRET_ACCESS_KEY="+engineSecret)
}

// clockFile holds how far the server's clock is off; it exists only where a round writes it.
func (s *server) clockFile() string { return s.dir + ".clock" }

// answerLimit is how long a server may take from its start to its first answer.
const answerLimit = 60 * time.Second

// up launches the server, waits for its first answer and notes how long it was away.
func (s *server) up(ctx context.Context, script ...string) error {
	if err := s.launch(ctx, script...); err != nil {
		return err
	}
	return s.answers(ctx)
}

// answers waits until the server answers an exact query.
func (s *server) answers(ctx context.Context) error {
	err := eventually(ctx, answerLimit, func() error {
		if s.proc.ended(0) {
			return fmt.Errorf("%s %w: %s", s.proc.name, errEnded, s.proc.cmd.ProcessState)
		}
		_, err := s.query(ctx, "exact")
		return err
	})
	if err == nil && !s.died.IsZero() {
		s.w.h.report.recovered(time.Since(s.died))
		s.died = time.Time{}
	}
	return err
}

// kill ends the server without a word.
func (s *server) kill() {
	if s.proc != nil {
		s.proc.kill()
	}
	s.down()
}

// down notes that the server has just ended.
func (s *server) down() {
	if s.died.IsZero() {
		s.died = time.Now()
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

// logs is the end of what every process of the world said.
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

// close ends every process of the world and takes back what the round did to the machine.
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
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// between draws a duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

func (w *world) say(format string, args ...any) { w.h.say(w.name, format, args...) }
