package chdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// expectNothingStaged waits until no INSERT has a file or a pipe any more.
func expectNothingStaged(t *testing.T, conn driver.Conn, like string) {
	t.Helper()
	path := scan[string](t.Context(), t, conn, "SELECT value FROM system.server_settings WHERE name = 'path'")
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(path, "staged", like))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%v were not removed", left)
		}
	}
}

// numbers are lines of JSON and their sum, of so many bytes at least.
func numbers(bytesAtLeast int) (lines []byte, sum uint64) {
	for n := uint64(0); len(lines) < bytesAtLeast; n++ {
		lines = fmt.Appendf(lines, "{\"n\":%d}\n", n)
		sum += n
	}
	return lines, sum
}

// TestPipedSizes inserts data of sizes around those at which a file or a pipe is full, and much more.
func TestPipedSizes(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE piped (n UInt64) ENGINE = Memory")
	for _, size := range []int{1, 1 << 12, 1 << 16, 1<<20 - 50, 1 << 20, 1<<20 + 50, 1<<20 + 1<<16, 5 << 20} {
		lines, sum := numbers(size)
		for name, data := range map[string]io.Reader{"whole": bytes.NewReader(lines),
			"halves":        iotest.HalfReader(bytes.NewReader(lines)),
			"end with data": iotest.DataErrReader(bytes.NewReader(lines))} {
			if err := conn.InsertFormat(t.Context(), "JSONEachRow", "INSERT INTO piped", data); err != nil {
				t.Fatalf("%d bytes, %s: %v", size, name, err)
			}
			if got := scan[uint64](t.Context(), t, conn, "SELECT sum(n) FROM piped"); got != sum {
				t.Errorf("%d bytes, %s: the sum is %d, want %d", size, name, got, sum)
			}
			mustExec(t, conn, "TRUNCATE TABLE piped")
		}
	}
	expectNothingStaged(t, conn, "*")
}

// TestCutData sends data that ends with an error, of a size for a file and of a size for a pipe.
func TestCutData(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE cut (n UInt64) ENGINE = Memory")
	for _, size := range []int{100, 3 << 20} {
		lines, _ := numbers(size)
		broken := errors.New("the disk is gone")
		err := conn.InsertFormat(t.Context(), "JSONEachRow", "INSERT INTO cut", io.MultiReader(bytes.NewReader(lines),
			iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("%d bytes: got %v, want %v", size, err, broken)
		}
	}
	mustExec(t, conn, "CREATE TABLE whole (a UInt64, b UInt64) ENGINE = Memory")
	const rows = 200_000
	var block []byte
	var ends []int
	block = binary.AppendUvarint(binary.AppendUvarint(block, 2), rows)
	for _, name := range []string{"a", "b"} {
		block = append(block, "\x01"+name+"\x06UInt64"...)
		block = append(block, make([]byte, 8*rows)...)
		ends = append(ends, len(block))
	}
	for _, cut := range []int{ends[0] - 4, ends[0] - 8, ends[0], ends[0] + 9, ends[1] - 8, ends[1] - 1} {
		for name, last := range map[string]error{"an error": errors.New("the disk is gone"), "its end": io.EOF} {
			err := conn.InsertFormat(t.Context(), "Native", "INSERT INTO whole",
				io.MultiReader(bytes.NewReader(block[:cut]), iotest.ErrReader(last)))
			if err == nil {
				t.Errorf("a block of %d bytes was accepted with %s after %d", len(block), name, cut)
			}
			if got := scan[uint64](t.Context(), t, conn, "SELECT count() FROM whole"); got != 0 {
				t.Fatalf("a block of %d bytes with %s after %d left %d rows", len(block), name, cut, got)
			}
		}
	}
	if err := conn.InsertFormat(t.Context(), "Native", "INSERT INTO whole", bytes.NewReader(block)); err != nil {
		t.Error(err)
	}
}

// TestRefusedData sends much data that the engine stops to read at its first line, or does not read at all.
func TestRefusedData(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE refused (n UInt64) ENGINE = Memory")
	lines, _ := numbers(20 << 20)
	for statement, want := range map[string]int32{"INSERT INTO missing": 60, "INSERT INTO refused (m)": 16} {
		err := conn.InsertFormat(t.Context(), "JSONEachRow", statement, bytes.NewReader(lines))
		if got := code(t, err); got != want {
			t.Errorf("%s: code %d, want %d", statement, got, want)
		}
	}
	bad := append([]byte("no JSON\n"), lines...)
	err := conn.InsertFormat(t.Context(), "JSONEachRow", "INSERT INTO refused", bytes.NewReader(bad))
	if got := code(t, err); got == 0 {
		t.Error("a line without JSON was accepted")
	}
}

// TestStalledData ends a request whose data does not go on. The engine must not wait for the rest.
func TestStalledData(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE stalled (n UInt64) ENGINE = Memory")
	lines, _ := numbers(3 << 20)
	reader, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	go func() { _, _ = writer.Write(lines) }()
	err := conn.InsertFormat(ctx, "JSONEachRow", "INSERT INTO stalled", reader)
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
	_ = writer.Close()
	expectNothingStaged(t, conn, "pipe-*")
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStalledSource: an INSERT ends with its request while it waits for its first data, and at once if the engine
// refuses the data that it has. Neither waits for the source.
func TestStalledSource(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE two (a UInt64, b UInt64) ENGINE = Memory")
	const rows = 200_000
	block := binary.AppendUvarint(binary.AppendUvarint(nil, 2), rows)
	block = append(block, "\x01a\x06UInt64"...)
	block = append(block, make([]byte, 8*rows)...)
	block = append(block, "\x01b\x06UInt65"...)
	for _, test := range []struct {
		data  []byte
		limit time.Duration
		ends  func(error) bool
	}{
		{block[:100_000], 300 * time.Millisecond, func(err error) bool { return err != nil }},
		{block, time.Minute, func(err error) bool { return code(t, err) == 50 }}, // There is no such type.
	} {
		reader, writer := io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), test.limit)
		go func() { _, _ = writer.Write(test.data) }()
		ended := make(chan error, 1)
		go func() { ended <- conn.InsertFormat(ctx, "Native", "INSERT INTO two", reader) }()
		select {
		case err := <-ended:
			if !test.ends(err) {
				t.Errorf("%d bytes: got %v", len(test.data), err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%d bytes: the INSERT waits for its source", len(test.data))
		}
		_ = writer.Close()
		cancel()
	}
	expectNothingStaged(t, conn, "*")
}
