package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount/schemas/record"
)

const dirTemp = ".new-"

// DirCommitLog keeps create-only records as files: key a/b is the file a/b. It is for
// tests and single machines. A key cannot also be a folder of others.
type DirCommitLog struct{ root string }

// OpenDir returns the commit log in a directory, made if it is missing.
func OpenDir(root string) (*DirCommitLog, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("open commit log: %w", err)
	}
	return &DirCommitLog{root: root}, nil
}

// Create is CommitLog.Create. Link is what makes it create-only: it fails if the name
// exists, where rename would replace it.
func (l *DirCommitLog) Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error) {
	path, err := l.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return record.Unknown, nil, fmt.Errorf("create %s: %w", key, err)
	}
	err = l.link(path, record.WithDigest(body))
	if errors.Is(err, fs.ErrExist) {
		// The other writer may not have got to its fsync yet.
		err = syncFolder(filepath.Dir(path))
	} else if err == nil {
		return record.Created, nil, nil
	}
	if err != nil {
		return record.Unknown, nil, fmt.Errorf("create %s: the outcome is unknown: %w", key, err)
	}
	there, err := l.Get(ctx, key)
	if err != nil {
		return record.Unknown, nil, fmt.Errorf("create %s: the outcome is unknown: %w", key, err)
	}
	if bytes.Equal(there, body) {
		return record.Created, nil, nil
	}
	return record.Exists, there, nil
}

// link writes body to a temporary file, fsyncs it, and gives it its name.
func (l *DirCommitLog) link(path string, body []byte) error {
	folder := filepath.Dir(path)
	if err := l.makeFolder(folder); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, dirTemp)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(body)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// makeFolder makes a folder and those above it durable. It fsyncs also those that
// exist: another writer may have made them and not got to it yet.
func (l *DirCommitLog) makeFolder(folder string) error {
	if folder == l.root {
		return nil
	}
	parent := filepath.Dir(folder)
	if err := l.makeFolder(parent); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l *DirCommitLog) path(key string) (string, error) {
	local, err := filepath.Localize(key)
	if err != nil || key == "." || strings.HasPrefix(filepath.Base(local), dirTemp) {
		return "", fmt.Errorf("key %q cannot be a file name", key)
	}
	return filepath.Join(l.root, local), nil
}

// Get returns a record. The error wraps ErrNotFound if there is none.
func (l *DirCommitLog) Get(ctx context.Context, key string) ([]byte, error) {
	path, err := l.path(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	stored, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	raw, err := record.CheckDigest(stored)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return raw, nil
}

// List returns the keys of the records below prefix in byte order.
func (l *DirCommitLog) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := filepath.WalkDir(l.root, func(path string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), dirTemp) {
			return nil
		}
		key, err := filepath.Rel(l.root, path)
		if key = filepath.ToSlash(key); strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	slices.Sort(keys)
	return keys, nil
}
