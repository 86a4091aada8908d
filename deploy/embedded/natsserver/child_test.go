package natsserver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recount/deploy/embedded/natsserver"
	"recount/speed/eventlog"
)

// The test binary runs itself as the process that dies. childMode names what it does, childDir where.
const (
	childMode = "NATSSERVER_TEST_CHILD"
	childDir  = "NATSSERVER_TEST_DIR"
)

var children = map[string]func(dir string) error{
	"append":  appendUntilKilled,
	"advance": advanceThenDie,
	"full":    appendUntilFull,
}

func TestMain(m *testing.M) {
	run, isChild := children[os.Getenv(childMode)]
	if !isChild {
		goleak.VerifyTestMain(m)
		return
	}
	if err := run(os.Getenv(childDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ack is one acknowledged message, as the child reports it.
type ack struct {
	partition int
	seq       uint64
	frame     string
}

// runChild returns the acks a child reported before it ended, and how it ended.
func runChild(t *testing.T, mode, dir string) ([]ack, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if stderr.Len() > 0 {
		t.Log(stderr.String())
	}
	var acks []ack
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var a ack
		if n, _ := fmt.Sscanf(lines.Text(), "%d %d %s .", &a.partition, &a.seq, &a.frame); n == 3 {
			acks = append(acks, a)
		}
	}
	return acks, err
}

// report is one write, so that a killed child leaves whole lines.
func report(p int, seq uint64, frame string) {
	_, _ = fmt.Fprintf(os.Stdout, "%d %d %s .\n", p, seq, frame)
}

func openBoth(ctx context.Context, dir string) (*natsserver.Server, *eventlog.Log, error) {
	return openPatient(ctx, dir, eventlog.DefaultAckTimeout)
}

// openPatient is openBoth with another time to wait for an ack.
func openPatient(ctx context.Context, dir string, ack time.Duration) (*natsserver.Server, *eventlog.Log, error) {
	s, err := natsserver.Open(ctx, natsserver.DefaultConfig(dir))
	if err != nil {
		return nil, nil, err
	}
	c := eventlog.DefaultConfig(s)
	c.AckTimeout = ack
	l, err := eventlog.Open(ctx, c)
	if err != nil {
		s.Close()
	}
	return s, l, err
}

// appendUntilKilled keeps appends in flight on all partitions and kills itself after
// a few hundred acks.
func appendUntilKilled(dir string) error {
	ctx := context.Background()
	_, l, err := openBoth(ctx, dir)
	if err != nil {
		return err
	}
	var acks atomic.Int64
	errs := make(chan error)
	for p := range l.Partitions() {
		for w := range 4 {
			go func() { errs <- appendForever(ctx, l, p, w, &acks) }()
		}
	}
	return <-errs
}

func appendForever(ctx context.Context, l *eventlog.Log, p, w int, acks *atomic.Int64) error {
	for i := 0; ; i++ {
		frame := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
		seq, err := l.Append(ctx, p, []byte(frame), frame)
		if err != nil {
			return err
		}
		report(p, seq, frame)
		if acks.Add(1) == 400 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
}

func advanceThenDie(dir string) error {
	ctx := context.Background()
	_, l, err := openBoth(ctx, dir)
	if err != nil {
		return err
	}
	for range 5 {
		if _, err := l.Append(ctx, 0, []byte("old"), ""); err != nil {
			return err
		}
	}
	for p, next := range map[int]uint64{0: 1000, 1: 2000} {
		if err := l.Advance(ctx, p, next); err != nil {
			return err
		}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// appendUntilFull limits the size of files as a full disk would and appends until the
// log halts. It succeeds if the log says so.
func appendUntilFull(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	s, l, err := openPatient(ctx, dir, 2*time.Second) // One of them is waited out.
	if err != nil {
		return err
	}
	if err := s.NeedsRestart(); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
		return err
	}
	if err := fill(ctx, l); err != nil {
		return err
	}
	if _, err := l.Append(ctx, 0, []byte("x"), ""); !errors.Is(err, eventlog.ErrHalted) {
		return fmt.Errorf("append after the alarm: got %w, want halted", err)
	}
	if s.NeedsRestart() == nil { // The disk itself has space.
		return errors.New("a halted log with space on its disk does not ask for a restart")
	}
	return nil
}

// fill appends until the log is halted. An append without an ack may also be one that a busy
// disk takes longer for; then the log is sound.
func fill(ctx context.Context, l *eventlog.Log) error {
	pad := string(bytes.Repeat([]byte("x"), 32<<10))
	unknown := 0
	for i := 0; unknown < 10; i++ {
		seq, err := l.Append(ctx, 0, []byte(strconv.Itoa(i)+pad), "")
		if err == nil {
			report(0, seq, strconv.Itoa(i))
			continue
		}
		if !errors.Is(err, eventlog.ErrUnavailable) {
			return fmt.Errorf("write beyond the disk: got %w, want an unknown outcome", err)
		}
		if errors.Is(l.Healthy(ctx), eventlog.ErrHalted) {
			return nil
		}
		unknown++
	}
	return fmt.Errorf("healthy after %d appends without an ack: got %w, want halted", unknown, l.Healthy(ctx))
}
