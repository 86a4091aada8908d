package janitor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount/speed/eventlog"
)

// halfDown is a log whose last partition does not answer.
type halfDown struct{ *eventlog.Log }

func (h halfDown) Bounds(ctx context.Context, p int) (first, next uint64, err error) {
	if p == h.Partitions()-1 {
		return 0, 0, errors.New("no answer")
	}
	return h.Log.Bounds(ctx, p)
}

// TestMarksReachTheFile writes the marks of one partition while another does not answer, and again after
// a write has failed.
func TestMarksReachTheFile(t *testing.T) {
	t.Parallel()
	log := halfDown{freshLog(t, 2)}
	dir := t.TempDir()
	open := func() *Marks {
		m, err := OpenMarks(dir, log, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	fill(t, log.Log, "a", 3)
	if err := m.Advance(t.Context()); err != nil {
		t.Error(err)
	}
	if got := open().marks[0].Next; got != 4 {
		t.Errorf("after the third message the file has next %d, want 4", got)
	}

	fill(t, log.Log, "b", 1)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := m.Advance(t.Context()); err == nil {
		t.Error("Advance succeeded although the folder is missing")
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	if err := m.Advance(t.Context()); err != nil {
		t.Error(err)
	}
	if got := open().marks[0].Next; got != 5 {
		t.Errorf("after a failed write and a second one the file has next %d, want 5", got)
	}
}

// TestMarksOfTheFirstFormat reads the file that older programs wrote, an array, and writes the current one.
func TestMarksOfTheFirstFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "high-water.json")
	const old = `[{"epoch":1,"next":43,"crc32c":305419896,"promised":1200,"voided":3}]`
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	log := freshLog(t, 1)
	m, err := OpenMarks(dir, log, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	want := mark{Epoch: 1, Next: 43, Digest: 305419896, Promised: 1200, Voided: 3}
	if m.marks[0] != want {
		t.Errorf("got %+v, want %+v", m.marks[0], want)
	}
	if err := errors.Join(m.claim("mine"), m.write()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || string(raw) != `{"format":1,"installation":"mine","partitions":`+old+`,"sum":1415856643}` {
		t.Errorf("written again: %s, %v", raw, err)
	}
	if m, err = OpenMarks(dir, log, slog.New(slog.DiscardHandler)); err != nil || m.marks[0] != want {
		t.Fatal(m, err)
	}
	if err := m.claim("other"); err == nil || !strings.Contains(err.Error(), "belongs to installation mine") {
		t.Errorf("marks of another installation: got %v", err)
	}
	later := strings.Replace(string(raw), `"format":1`, `"format":2`, 1)
	if err := os.WriteFile(path, []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMarks(dir, log, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "format 2") {
		t.Errorf("marks of a later format: got %v", err)
	}
}

// TestEveryFlippedBitOfTheMarks flips each bit of the file. The marks are the same or refused: a changed digit must not
// look like a log that lost what it acknowledged.
func TestEveryFlippedBitOfTheMarks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "high-water.json")
	log := freshLog(t, 1)
	open := func() (*Marks, error) { return OpenMarks(dir, log, slog.New(slog.DiscardHandler)) }
	m, err := open()
	if err != nil {
		t.Fatal(err)
	}
	want := mark{Epoch: 1, Next: 43, Digest: 305419896, Promised: 1200, Voided: 3, Holes: 1}
	m.marks[0] = want
	if err := errors.Join(m.claim("mine"), m.write()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := open(); err == nil && (m.marks[0] != want || m.installation != "mine") {
			t.Errorf("%s: got %+v of %s", raw, m.marks[0], m.installation)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

func TestMarksOfAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "high-water.json"), []byte("[{}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenMarks(dir, freshLog(t, 2), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "damaged: it has marks of 1 partitions, want 2") {
		t.Errorf("got %v, want both numbers", err)
	}
}
