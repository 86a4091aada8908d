// Package input finds the bytes of files: on the disk, on the standard input, and in buckets.
package input

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File is a file that can be read.
type File struct {
	Name     string // Name is how messages call the file. Its extension says what the file holds.
	Identity string // Identity is a part of the ids of rows without an id.
	Open     func() (*Content, error)
	Once     bool // Once means that Open works once, because what was read is gone.
}

// Content is an open file.
type Content struct {
	io.Reader
	At    io.ReaderAt // At reads anywhere. It is nil when the content can only be read from begin to end.
	Size  int64       // Size is the number of bytes, or 0 when it is not known.
	Close func() error
}

// Local returns a file of the disk. Its identity is its name without folders, so that it may be moved. A pipe or a
// device can be read once only, because what was read of it is gone.
func Local(path string) File {
	info, err := os.Stat(path)
	once := err == nil && !info.IsDir() && !info.Mode().IsRegular()
	return File{Name: path, Identity: filepath.Base(path), Once: once, Open: func() (*Content, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		switch {
		case err == nil && info.IsDir():
			err = errors.New("it is a folder; name the files in it, as in " + filepath.Join(path, "*.csv"))
		case err == nil && !info.Mode().IsRegular(): // A pipe has no size and cannot be read twice.
			return &Content{Reader: f, Close: f.Close}, nil
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &Content{Reader: f, At: f, Size: info.Size(), Close: f.Close}, nil
	}}
}

// Standard returns what arrives on the standard input. It has no identity.
func Standard(in io.Reader) File {
	return File{Name: "the standard input", Once: true, Open: func() (*Content, error) {
		return &Content{Reader: in, Close: func() error { return nil }}, nil
	}}
}

// Spool copies content into a temporary file, for a format that cannot be read from begin to end. Nothing is left of
// the file when it is closed.
func Spool(from io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "recount-spool-")
	if err != nil {
		return nil, 0, err
	}
	err = os.Remove(f.Name()) // The open file keeps its content.
	var size int64
	if err == nil {
		size, err = io.Copy(f, from)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("copy the file into %s: %w", os.TempDir(), err), f.Close())
	}
	return f, size, nil
}
