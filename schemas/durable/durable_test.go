package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// names returns what is in the folder of a file.
func names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestReplace(t *testing.T) {
	t.Parallel()
	f := File{Path: filepath.Join(t.TempDir(), "marks"), Mode: 0o600, KeepOwner: true}
	for _, want := range []string{"old", "new", ""} {
		if err := f.WriteAll([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, f.Path); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != f.Mode {
		t.Errorf("mode %v, want %v: %v", info.Mode().Perm(), f.Mode, err)
	}
	if got := names(t, f.Path); got != "marks" {
		t.Errorf("the folder holds %s, want marks alone", got)
	}
}

// TestFailedReplaceLeavesTheOld fails at each step that can fail.
func TestFailedReplaceLeavesTheOld(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	f := File{Path: filepath.Join(t.TempDir(), "marks"), Mode: 0o600}
	if err := f.WriteAll([]byte("old")); err != nil {
		t.Fatal(err)
	}
	err := f.Replace(func(w *os.File) error {
		if _, err := w.WriteString("half of the ne"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of write", err)
	}
	if got := content(t, f.Path); got != "old" {
		t.Errorf("got %q, want the old content", got)
	}
	if got := names(t, f.Path); got != "marks" {
		t.Errorf("the folder holds %s, want marks alone", got)
	}

	folder := File{Path: filepath.Join(t.TempDir(), "folder"), Mode: 0o600}
	if err := os.MkdirAll(filepath.Join(folder.Path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := folder.WriteAll(nil); err == nil || names(t, folder.Path) != "folder" {
		t.Errorf("a file replaced a folder: %v; left is %s", err, names(t, folder.Path))
	}
	missing := File{Path: filepath.Join(t.TempDir(), "missing", "marks"), Mode: 0o600}
	if err := missing.WriteAll(nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: got %v", err)
	}
}

// TestReplaceDoesNotFollowLinks leaves in place of the temporary file what a crash, or another
// user of the folder, can leave there.
func TestReplaceDoesNotFollowLinks(t *testing.T) {
	t.Parallel()
	victim := filepath.Join(t.TempDir(), "victim")
	f := File{Path: filepath.Join(t.TempDir(), "keys"), Mode: 0o600}
	for _, leave := range []func() error{
		func() error { return os.WriteFile(victim, []byte("kept"), 0o600) },
		func() error { return os.WriteFile(f.Path+TempSuffix, []byte("longer than what is written"), 0o666) },
		func() error { return os.Symlink(victim, f.Path+TempSuffix) },
	} {
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteAll([]byte("new")); err != nil {
			t.Fatal(err)
		}
		if got := content(t, f.Path); got != "new" {
			t.Errorf("got %q, want new", got)
		}
	}
	if got := content(t, victim); got != "kept" {
		t.Errorf("the target of the link holds %q now", got)
	}
	if info, err := os.Lstat(f.Path); err != nil || info.Mode() != f.Mode {
		t.Errorf("the file is %v, want %v: %v", info.Mode(), f.Mode, err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	if _, err := LockShared(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a reader of a folder without a lock: got %v", err)
	}
	owner, err := Lock(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, 0o600); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Errorf("a second owner: got %v, want ErrLocked and the folder", err)
	}
	if _, err := LockShared(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a reader beside the owner: got %v, want ErrLocked", err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	var readers []*Held
	for range 2 {
		r, err := LockShared(path)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	if _, err := Lock(path, 0o600); !errors.Is(err, ErrLocked) {
		t.Errorf("an owner beside readers: got %v, want ErrLocked", err)
	}
	for _, r := range readers {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := WaitLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		f, err := WaitLock(dir)
		if err == nil {
			err = f.Close()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("the second did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestCloseUnlocks: a copy of the descriptor, such as a child process has while it starts, does not keep the lock.
func TestCloseUnlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "LOCK")
	held, err := Lock(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(int(held.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(copied) }()
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	again, err := Lock(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
