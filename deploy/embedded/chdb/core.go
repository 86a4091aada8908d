package chdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"recount/schemas/durable"
)

// killEvery is the pause between two attempts to kill an abandoned query. One may miss: a query is not
// listed before it was parsed.
const killEvery = 20 * time.Millisecond

// How often the engine is started before an error is final, and the pause between two attempts.
const (
	openAttempts = 3
	openPause    = 100 * time.Millisecond
)

// core is the running engine: one session that keeps the library's server alive, and the bound on the others.
type core struct {
	cfg      Config
	lib      *library
	args     []string
	log      *slog.Logger
	metrics  *metrics
	stageDir string
	keeper   *session
	slots    chan struct{} // one element per running query
	nextID   atomic.Uint64

	mu      sync.Mutex // guards stopped against running.Add
	stopped bool
	running sync.WaitGroup
	closing chan struct{}
}

func start(cfg Config) (*core, error) {
	path, err := Find(cfg.Library)
	if err != nil {
		return nil, err
	}
	c := &core{
		cfg: cfg, log: cfg.Logger, slots: make(chan struct{}, cfg.Sessions), closing: make(chan struct{}),
		stageDir: filepath.Join(cfg.DataDir, "staged"),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.makeFolders(); err != nil {
		return nil, err
	}
	xml, err := cfg.writeEngineXML()
	if err != nil {
		return nil, err
	}
	// The engine would look for a configuration in the working directory and in $HOME without the second.
	c.args = []string{"clickhouse", "--path=" + cfg.DataDir, "--config-file=" + xml}
	if c.lib, err = load(path); err != nil {
		return nil, err
	}
	if c.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.openKeeper(); err != nil {
		c.metrics.unregister()
		return nil, fmt.Errorf("%w %d times: its reason is on standard error", err, openAttempts)
	}
	c.log.Info("embedded ClickHouse is open", "data_dir", cfg.DataDir, "library", path, "took", time.Since(began))
	return c, nil
}

// openKeeper starts the library's server. The engine has once failed to start for a reason of its own ("recursive_mutex
// lock failed", the use of a lock that is gone), and the next start succeeded. A failed start leaves nothing in the
// process, so it is tried again here: an operator could do no more.
func (c *core) openKeeper() (err error) {
	for attempt := 1; ; attempt++ {
		c.lib.keepSignals(func() { c.keeper, err = c.lib.open(c.args) })
		if err == nil || attempt == openAttempts {
			return err
		}
		c.log.Warn("the embedded ClickHouse did not start and is started again; its reason is on standard error",
			"data_dir", c.cfg.DataDir, "attempt", attempt)
		time.Sleep(openPause)
	}
}

// makeFolders creates the data folder and empties the one for staged inserts, where a killed process leaves
// files. It drops broken entries of mutations and followed links. All only once no other process has the engine there.
func (c *core) makeFolders() error {
	if err := os.MkdirAll(c.cfg.DataDir, 0o755); err != nil {
		return err
	}
	if err := checkUnlocked(filepath.Join(c.cfg.DataDir, "status")); err != nil {
		return err
	}
	dropped, err := dropBrokenMutations(c.cfg.DataDir)
	if err != nil {
		return err
	}
	if dropped > 0 {
		c.log.Warn("dropped broken entries of mutations, as a full disk leaves them", "files", dropped)
	}
	copies, err := dropFollowedLinks(c.cfg.DataDir)
	if err != nil {
		return err
	}
	if copies > 0 {
		c.log.Warn("removed second copies of tables, as a tool makes them that follows symbolic links; the tables "+
			"themselves are in the folder store", "folders", copies)
	}
	if err := os.RemoveAll(c.stageDir); err != nil {
		return err
	}
	return os.Mkdir(c.stageDir, 0o700)
}

// checkUnlocked says so when another process holds the engine's lock file. The engine would refuse as well,
// but tell only standard error why. The lock is given back at once for the engine to take.
func checkUnlocked(status string) error {
	f, err := durable.LockShared(status)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, durable.ErrLocked):
		return fmt.Errorf("%w: stop it, or choose another data_dir", err)
	case err != nil:
		return err
	}
	return f.Close()
}

// run waits for a place, gives f a new session and an id to mark its query with, and returns f's error. When
// ctx ends first it returns ctx's error at once and has the query killed; f goes on until the engine lets go.
// done is called exactly once, after f or in its stead.
func (c *core) run(ctx context.Context, done func(), f func(s *session, id string) error) error {
	if err := c.acquire(ctx); err != nil {
		done()
		return err
	}
	id := "recount-" + strconv.FormatUint(c.nextID.Add(1), 10)
	result := make(chan error, 1)
	go func() {
		err := c.onSession(ctx, id, f)
		done()
		c.release()
		result <- err
	}()
	var err error
	select {
	case err = <-result:
		c.metrics.count(err)
		c.running.Done()
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.closing:
		err = errClosed
	}
	go c.abandon(id, result)
	return err
}

func (c *core) onSession(ctx context.Context, id string, f func(s *session, id string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := c.lib.open(c.args)
	if err != nil {
		return newException(err.Error())
	}
	defer s.close()
	return f(s, id)
}

// acquire waits for a place and counts the request as running, which stop waits for.
func (c *core) acquire(ctx context.Context) error {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return errClosed
	}
	c.running.Add(1)
	c.mu.Unlock()
	c.metrics.waiting.Inc()
	defer c.metrics.waiting.Dec()
	err := errClosed
	select {
	case c.slots <- struct{}{}:
		c.metrics.running.Inc()
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.closing:
	}
	c.running.Done()
	return err
}

func (c *core) release() {
	c.metrics.running.Dec()
	<-c.slots
}

// abandon kills the query marked id until it ended. Its place stays taken meanwhile, so the abandoned queries
// are as bounded as the running ones.
func (c *core) abandon(id string, result <-chan error) {
	defer c.running.Done()
	c.metrics.abandoned.Inc()
	c.log.Debug("killing an abandoned query", "id", id)
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	for {
		c.kill(id)
		select {
		case <-result:
			return
		case <-tick.C:
		}
	}
}

func (c *core) kill(id string) {
	s, err := c.lib.open(c.args)
	if err != nil {
		return
	}
	defer s.close()
	if err := s.exec("KILL QUERY WHERE Settings['log_comment'] = " + quote(id) + " ASYNC"); err != nil {
		c.log.Warn("cannot kill an abandoned query", "id", id, "error", err)
	}
}

// stopWait is how long stop waits for the statements that it has killed.
const stopWait = 5 * time.Second

// stop waits until the killed statements have ended, but not for ever: the engine does not look at a kill within one
// call of a function. It leaves the engine open then, and the end of the process ends it, which the data outlive like
// any kill of the process.
func (c *core) stop() error {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	close(c.closing)
	c.metrics.unregister()
	ended := make(chan struct{})
	go func() {
		c.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopWait):
		return fmt.Errorf("embedded ClickHouse in %s still runs a statement %s after it was killed; the end of the "+
			"process ends it", c.cfg.DataDir, stopWait)
	}
	c.keeper.close()
	c.log.Info("embedded ClickHouse is closed", "data_dir", c.cfg.DataDir)
	return nil
}
