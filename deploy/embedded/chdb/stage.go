package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// leastPiped is how much data an INSERT must have to get it through a pipe. It is more than a pipe holds, so the writer
// cannot have closed the pipe before the engine has opened it.
const leastPiped = 1<<20 + 1

// staged is a statement, and the data that it reads FROM INFILE. The zero path is that of a statement without data.
//
// Much data goes through a named pipe, and little data through a file. A file of many megabytes takes as many of new
// memory for its pages, which costs more than the copy, and the engine would wait until all of it is written.
type staged struct {
	sql  string
	path string
	pipe *os.File      // end closes it.
	body io.Closer     // of the request; nil if it has none. end closes it if the engine stopped early.
	fed  chan struct{} // closed after the last write to the pipe, and before the engine sees the end of the data
	err  error         // of the data or the pipe, once fed is closed
}

// stage lets an INSERT read its data by a path.
func (c *core) stage(r *request) (*staged, error) {
	if r.data == nil {
		return &staged{sql: r.text}, nil
	}
	var head bytes.Buffer
	_, err := io.CopyN(&head, r.data, leastPiped)
	s := &staged{body: r.body}
	switch all := io.MultiReader(&head, r.data); {
	case errors.Is(err, io.EOF):
		err = s.writeFile(c.stageDir, &head)
	case err == nil && runtime.GOOS == "linux" && s.openPipe(c.stageDir, c.nextID.Add(1), all):
	case err == nil: // Also where the file system of the folder has no named pipes.
		err = s.writeFile(c.stageDir, all)
	}
	if err != nil {
		s.remove()
		return nil, fmt.Errorf("stage insert: %w", err)
	}
	s.sql = r.withInfile(s.path)
	return s, nil
}

func (s *staged) writeFile(dir string, data io.Reader) error {
	f, err := os.CreateTemp(dir, "insert-*")
	if err != nil {
		return err
	}
	s.path = f.Name()
	_, err = io.Copy(f, data)
	return errors.Join(err, f.Close())
}

// openPipe makes a named pipe and starts to write the data to it. It is opened for reading too, so that this does not
// wait for the engine. If it returns false, nothing of the data was read.
func (s *staged) openPipe(dir string, id uint64, data io.Reader) bool {
	path := filepath.Join(dir, "pipe-"+strconv.FormatUint(id, 10))
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return false
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		_ = os.Remove(path)
		return false
	}
	s.path = path
	s.pipe = pipe
	s.fed = make(chan struct{})
	go func() {
		_, s.err = io.Copy(pipe, data)
		close(s.fed)
		_ = pipe.Close() // A named pipe has nothing to lose.
	}()
	return true
}

// end stops the writer of the pipe after the engine has stopped to read. It returns err, which is what the engine says,
// or why the engine did not get all of the data.
//
// A writer may wait for data that its source does not send. If the engine has refused what it had, nothing needs that
// data, so the body is closed. A source that is slow must not keep a place among the sessions. If the context of the
// request ends, the transport closes the body.
func (s *staged) end(err error) error {
	if s.pipe == nil {
		return err
	}
	_ = s.pipe.Close() // It is closed already unless the engine stopped early.
	select {
	case <-s.fed:
	default:
		if err != nil && s.body != nil {
			_ = s.body.Close()
			<-s.fed
			return err
		}
		<-s.fed
	}
	var failed *fs.PathError
	switch {
	case s.err == nil:
		return err
	case err != nil && errors.As(s.err, &failed) && failed.Path == s.path:
		return err // The engine stopped early because of it.
	}
	return fmt.Errorf("the engine did not get all data of the INSERT: %w", s.err)
}

// remove deletes the file or the pipe, whether or not the statement has run.
func (s *staged) remove() {
	if s.path == "" {
		return
	}
	_ = s.end(nil)
	_ = os.Remove(s.path)
}
