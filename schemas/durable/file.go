// Package durable replaces files so that a crash leaves the old or the new content, and locks
// files so that one process owns a folder.
//
// It is the one package of schemas that does I/O. The real-time views and the servers below deploy
// need it, and schemas is the only layer that all of them may import.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"recount/schemas/failpoint"
)

// TempSuffix ends the name of a file that is being written. A crash may leave one; the next
// Replace of the same file removes it.
const TempSuffix = ".tmp"

// File describes a file that is only ever replaced as a whole. Callers make sure that no two
// processes or goroutines replace it at the same time.
type File struct {
	Path string
	Mode fs.FileMode // Mode is the mode of the new file before the process's umask.

	// KeepOwner gives the new file the owner of the replaced one, so that a server can still read a
	// file that root has changed.
	KeepOwner bool
	// Points begins the names of the failpoints at the steps of Replace. It is empty if there are none.
	Points string
}

// Replace gives the file new content: temporary file, fsync, rename, fsync of the folder. After an
// error the file still has its old content. Only if the fsync of the folder failed, it shows the
// new content, and a power failure may bring the old one back.
func (f File) Replace(write func(*os.File) error) error {
	// The folder is opened before the rename, so that a process that has no file descriptor left fails
	// while nothing has changed.
	folder, err := os.Open(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	defer folder.Close()
	f.reach("temp.before")
	temp := f.Path + TempSuffix
	if err := f.writeTemp(temp, write); err != nil {
		return errors.Join(err, removeFile(temp))
	}
	f.reach("rename.before")
	if err := os.Rename(temp, f.Path); err != nil {
		return errors.Join(err, removeFile(temp))
	}
	f.reach("rename.after")
	defer f.reach("folder.after")
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("fsync %s: %w", folder.Name(), err)
	}
	return nil
}

// WriteAll is Replace with content that is in memory.
func (f File) WriteAll(content []byte) error {
	return f.Replace(func(w *os.File) error {
		_, err := w.Write(content)
		return err
	})
}

// writeTemp writes and fsyncs the temporary file. It never opens an existing file, because that
// may be a link to another place.
func (f File) writeTemp(temp string, write func(*os.File) error) error {
	if err := removeFile(temp); err != nil {
		return err
	}
	w, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode)
	if err != nil {
		return err
	}
	if f.KeepOwner {
		err = keepOwner(w, f.Path)
	}
	if err == nil {
		err = write(w)
	}
	f.reach("fsync.before")
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func (f File) reach(step string) {
	if f.Points != "" {
		failpoint.Point(f.Points + "." + step)
	}
}

// keepOwner gives w the owner of the file at path, if there is one of another owner.
func keepOwner(w *os.File, path string) error {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return w.Chown(int(owner.Uid), int(owner.Gid))
}

// removeFile removes a file that may not be there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
