package chdb_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb"
)

const childEnv, childModeEnv = "CHDB_TEST_DIR", "CHDB_TEST_MODE"

// child starts this test binary again with an engine of its own in dir, and returns its output lines.
func child(t *testing.T, mode, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	if shared == nil {
		_, err := chdb.Find("")
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childModeEnv+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func wait(t *testing.T, out *bufio.Scanner, line string) {
	t.Helper()
	for out.Scan() {
		if out.Text() == line {
			return
		}
		t.Logf("child: %s", out.Text())
	}
	t.Fatalf("the child ended before it said %q", line)
}

// runChild is the child's side.
func runChild(dir string) {
	ctx := context.Background()
	cfg := chdb.DefaultConfig(dir)
	if os.Getenv(childModeEnv) == "mend" {
		cfg.Logger = slog.New(slog.NewTextHandler(mender(filepath.Join(dir, "metadata", "recount.sql")), nil))
	}
	e, err := chdb.Open(ctx, cfg)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	do := func(sql string) {
		if err := conn.Exec(ctx, sql); err != nil {
			fmt.Println(sql, err)
			os.Exit(1)
		}
	}
	switch os.Getenv(childModeEnv) {
	case "insert":
		do("CREATE TABLE IF NOT EXISTS kept (n UInt64) ENGINE = MergeTree ORDER BY n")
		for i := range 20 {
			do(fmt.Sprintf("INSERT INTO kept SELECT number + %d FROM numbers(1000)", i*1000))
		}
		fmt.Println("acknowledged")
		select {}
	case "count", "mend":
		var n, sum uint64
		if err := conn.QueryRow(ctx, "SELECT count(), sum(n) FROM kept").Scan(&n, &sum); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("rows", n, "sum", sum)
	case "signals":
		childSignals(ctx, conn)
	case "exit":
		go conn.Exec(ctx, "SELECT sum(sleepEachRow(1)) FROM numbers(100) SETTINGS max_block_size = 1")
		fmt.Println("leaving")
		os.Exit(7)
	case "stuck":
		go conn.Exec(ctx, "SELECT ignore(base58Encode(repeat('a', 1000000)))") // It takes minutes in one call.
		time.Sleep(time.Second)
		fmt.Println("stuck", e.Close() != nil)
		os.Exit(7)
	case "reopen":
		reopen(ctx, e, dir)
		return
	}
	conn.Close()
	if err := e.Close(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("closed")
}

// childSignals shows that Go still gets its signals: a nil dereference is a panic, and SIGTERM is delivered.
func childSignals(ctx context.Context, conn clickhouse.Conn) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for range 3 {
		if err := conn.Exec(ctx, "SELECT count() FROM system.stack_trace"); err != nil {
			fmt.Println(err)
		}
		func() {
			defer func() { fmt.Println("recovered", recover() != nil) }()
			var p *int
			*p = 1
		}()
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		fmt.Println("got", <-term)
	}
}

// reopen shows that a process may open another folder once it closed the first.
func reopen(ctx context.Context, e *chdb.Engine, dir string) {
	if err := e.Close(); err != nil {
		fmt.Println(err)
	}
	for _, d := range []string{dir + "2", dir} {
		e, err := chdb.Open(ctx, chdb.DefaultConfig(d))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if err := e.Close(); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("reopened")
}

// TestCloseDoesNotWaitForever closes an engine that cannot end a statement.
func TestCloseDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "stuck", t.TempDir())
	began := time.Now()
	wait(t, out, "stuck true")
	_ = cmd.Wait() // It has ended with 7.
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out := child(t, "insert", dir)
	wait(t, out, "acknowledged")
	second, said := child(t, "count", dir)
	said.Scan()
	if err := second.Wait(); err == nil ||
		!strings.Contains(said.Text(), "is in use by another process") {
		t.Fatalf("a second process opened the folder: %v, %q", err, said.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// A full disk leaves the entry of a mutation empty, or cut between two blocks.
	folders, err := filepath.Glob(filepath.Join(dir, "store", "*", "*", "format_version.txt"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no table's folder: %v", err)
	}
	for _, f := range folders {
		for name, entry := range map[string]string{
			"mutation_98.txt": "format version: 1\ncreate time: 2026-11-29 16:16:00\ncommands: (UPDATE n = 0 WHERE",
			"mutation_99.txt": "",
		} {
			if err := os.WriteFile(filepath.Join(filepath.Dir(f), name), []byte(entry), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	again, out := child(t, "count", dir)
	wait(t, out, fmt.Sprintf("rows 20000 sum %d", 20000*19999/2))
	wait(t, out, "closed")
	if err := again.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A tool that follows symbolic links copies every table twice, and a tool that leaves them out copies none. The engine
// starts on both copies, and again after it has made the links.
func TestCopiesWithoutLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	original := filepath.Join(dir, "original")
	cmd, out := child(t, "insert", original)
	wait(t, out, "acknowledged")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for name, flags := range map[string][]string{
		"followed": {"-RL"},
		"left out": nil,
	} {
		copied := filepath.Join(dir, name)
		if flags == nil {
			copyWithoutLinks(t, original, copied)
		} else if said, err := exec.Command("cp", append(flags, original, copied)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		for range 2 {
			again, out := child(t, "count", copied)
			wait(t, out, fmt.Sprintf("rows 20000 sum %d", 20000*19999/2))
			wait(t, out, "closed")
			if err := again.Wait(); err != nil {
				t.Fatal(name, err)
			}
		}
		if info, err := os.Lstat(filepath.Join(copied, "metadata", "recount")); err != nil ||
			info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s: the engine made no link again: %v", name, err)
		}
	}
}

// mender is a log that repairs a file at the first line about a failed start. The file lacks its first byte until then.
type mender string

func (m mender) Write(line []byte) (int, error) {
	raw, err := os.ReadFile(string(m))
	if err == nil && strings.Contains(string(line), "did not start") && raw[0] != 'A' {
		err = os.WriteFile(string(m), append([]byte("A"), raw...), 0o600)
	}
	return len(line), err
}

// A start that fails is tried again in the same process, because some failures pass. One that does not pass is an
// error.
func TestFailedStartIsRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out := child(t, "insert", dir)
	wait(t, out, "acknowledged")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	path := filepath.Join(dir, "metadata", "recount.sql")
	definition, err := os.ReadFile(path) // ATTACH DATABASE …
	if err == nil {
		err = os.WriteFile(path, definition[1:], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd, said := child(t, "count", dir)
	if said.Scan(); cmd.Wait() == nil || !strings.Contains(said.Text(), "refused the connection 3 times") {
		t.Errorf("the engine on damaged data said %q", said.Text())
	}
	cmd, out = child(t, "mend", dir)
	wait(t, out, fmt.Sprintf("rows 20000 sum %d", 20000*19999/2))
	wait(t, out, "closed")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func copyWithoutLinks(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o750)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignalsStayWithGo(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "signals", t.TempDir())
	for range 3 {
		wait(t, out, "recovered true")
		wait(t, out, "got terminated")
	}
	wait(t, out, "closed")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestExitWithoutClose(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "exit", t.TempDir())
	wait(t, out, "leaving")
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Fatalf("exit: %v, want 7", cmd.ProcessState)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	cmd, out := child(t, "reopen", t.TempDir())
	wait(t, out, "reopened")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
