package s3server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"recount/schemas/durable"
)

// A directory of format 1 is carried over in three steps, each of which may end anywhere and begin again:
//
//	PLAN   read every object file, and write what to do with it to the file carry-over
//	MOVE   the record that older programs begin with first, then the tombstone in its place, then all others
//	SEAL   write the format file, which says that it is done
//
// Bytes are not copied: metadata and footer are cut off the end of a file, and the file is renamed. Whether that is
// done already could not be told from the file, because an object may end like one of format 1. So the plan says
// how long the body is. A file that has another name too, which a backup by hard links gives it, is copied instead.

// carried says what to do with one object file of format 1.
type carried struct {
	Bucket  string  `json:"bucket"`
	Key     string  `json:"key"`
	Version version `json:"version"`
}

// planEnd is the last line of a plan.
type planEnd struct {
	Objects int `json:"objects"`
}

// carrier carries a directory over.
type carrier struct {
	cfg     Config
	from    string
	to      *backend
	changed func() error // is called before each change; nil does nothing
}

func carryOver(cfg Config) error {
	c := &carrier{cfg: cfg, from: filepath.Join(cfg.Dir, firstFolder), to: newBackend(cfg.Dir, cfg.Now)}
	return c.run()
}

// change calls the hook of tests.
func (c *carrier) change() error {
	if c.changed == nil {
		return nil
	}
	return c.changed()
}

func (c *carrier) run() error {
	if err := os.MkdirAll(c.to.tmp, 0o700); err != nil {
		return err
	}
	if err := sweep(c.to.tmp); err != nil {
		return err
	}
	plan := filepath.Join(c.cfg.Dir, planFile)
	if !exists(plan) {
		if err := c.change(); err != nil {
			return err
		}
		if err := (durable.File{Path: plan, Mode: 0o600}).Replace(c.writePlan); err != nil {
			return fmt.Errorf("write %s: %w", plan, err)
		}
	}
	if err := c.makeBuckets(); err != nil {
		return err
	}
	if err := c.moveFirst(plan); err != nil {
		return err
	}
	moved, err := eachPlanned(plan, c.move)
	if err != nil {
		return err
	}
	left := c.removeEmpty()
	syscall.Sync() // Everything is durable before the format file says so.
	c.cfg.Logger.Info("carried the object store over to plain files", "objects", moved,
		"folder", c.to.objects, "left_in_old_folder", left)
	return nil
}

// makeBuckets makes the folders of all buckets.
func (c *carrier) makeBuckets() error {
	if err := os.MkdirAll(c.to.metadata, 0o700); err != nil {
		return err
	}
	buckets, err := os.ReadDir(c.from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // It may be removed already.
		return err
	}
	for _, bucket := range buckets {
		if bucket.IsDir() {
			if err := os.MkdirAll(filepath.Join(c.to.objects, bucket.Name()), 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

// writePlan writes what to do with every object.
func (c *carrier) writePlan(w *os.File) error {
	buffered := bufio.NewWriterSize(w, copyBuffer)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	buckets, err := os.ReadDir(c.from)
	if err != nil {
		return err
	}
	end := planEnd{}
	for _, bucket := range buckets {
		if !bucket.IsDir() {
			continue
		}
		err := c.eachObject(bucket.Name(), func(o carried) error {
			end.Objects++
			return lines.Encode(o)
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(lines.Encode(end), buffered.Flush())
}

// eachObject calls do for each object of a bucket of format 1. Files that are no objects, because a person has put them
// there, stay where they are.
func (c *carrier) eachObject(bucket string, do func(carried) error) error {
	dir := filepath.Join(c.from, bucket)
	w := &walk{ctx: context.Background(), listings: &listings{byDir: map[string][]entry{}, parse: parseFirstName}}
	w.visit = func(key, path string) (bool, error) {
		if want, err := firstPath(dir, key); err != nil || want != path || c.isTombstone(bucket, key, path) {
			return true, nil
		}
		o, err := c.plan(bucket, key, path)
		if err != nil {
			return false, err
		}
		return true, do(o)
	}
	_, err := w.folder(dir, "")
	return err
}

func (c *carrier) isTombstone(bucket, key, path string) bool {
	t := c.cfg.Tombstone
	if bucket != t.Bucket || key != t.Key {
		return false
	}
	raw, err := os.ReadFile(path)
	return err == nil && bytes.Equal(raw, t.Body)
}

// plan reads what the file of an object says about it.
func (c *carrier) plan(bucket, key, path string) (carried, error) {
	if _, err := objectPath(c.to.objects, key); err != nil {
		return carried{}, fmt.Errorf("object %q of bucket %s: %w", key, bucket, err)
	}
	s, err := openFirst(path)
	if err != nil {
		return carried{}, err
	}
	defer s.File.Close()
	if s.MD5 == nil {
		if err := s.sum(); err != nil {
			return carried{}, err
		}
	}
	return carried{Bucket: bucket, Key: key, Version: newVersion(
		spooled{size: s.Size, md5: s.MD5, modified: s.Modified}, s.Headers)}, nil
}

// eachPlanned calls do for each object of a plan.
func eachPlanned(plan string, do func(carried) error) (objects int, err error) {
	f, err := os.Open(plan)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := json.NewDecoder(bufio.NewReaderSize(f, copyBuffer))
	for {
		var line struct {
			carried
			planEnd
		}
		if err := lines.Decode(&line); err != nil {
			return 0, fmt.Errorf("%s is damaged: %w: restore the folder from a copy", plan, err)
		}
		if line.Bucket == "" {
			if line.Objects != objects {
				return 0, fmt.Errorf("%s has %d objects and says %d: restore the folder from a copy", plan, objects,
					line.Objects)
			}
			return objects, nil
		}
		if err := do(line.carried); err != nil {
			return 0, fmt.Errorf("object %q of bucket %s: %w", line.Key, line.Bucket, err)
		}
		objects++
	}
}

// moveFirst moves the object whose place the tombstone takes, and puts the tombstone there. From then on an older
// program refuses the directory.
func (c *carrier) moveFirst(plan string) error {
	t := c.cfg.Tombstone
	if t.Key == "" {
		return nil
	}
	_, err := eachPlanned(plan, func(o carried) error {
		if o.Bucket != t.Bucket || o.Key != t.Key {
			return nil
		}
		return c.move(o)
	})
	if err != nil {
		return err
	}
	syscall.Sync() // The object has its new place before the tombstone has the old one.
	if err := c.change(); err != nil {
		return err
	}
	return putTombstone(c.cfg)
}

// move carries one object over, unless that is done.
func (c *carrier) move(o carried) error {
	from, err := firstPath(filepath.Join(c.from, o.Bucket), o.Key)
	if err != nil {
		return err
	}
	to, err := objectPath(filepath.Join(c.to.objects, o.Bucket), o.Key)
	if err != nil {
		return err
	}
	if exists(to) {
		return c.cut(to, o.Version) // A power failure may have kept the name and not the length.
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if !o.Version.isPlain() {
		if err := c.writeMetadata(to, o.Version); err != nil {
			return err
		}
	}
	if from, err = c.owned(from, o.Version.Size); err != nil {
		return err
	}
	if err := c.cut(from, o.Version); err != nil {
		return err
	}
	if err := c.change(); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// cut takes what follows the body off a file, and gives it the time of the object.
func (c *carrier) cut(path string, v version) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() < v.Size {
		return fmt.Errorf("%s has %d bytes, and had %d when it was read first: restore the folder from a copy", path,
			st.Size(), v.Size)
	}
	if st.Size() > v.Size {
		if err := c.change(); err != nil {
			return err
		}
		if err := os.Truncate(path, v.Size); err != nil {
			return err
		}
	}
	at := time.Unix(0, v.Modified)
	return os.Chtimes(path, at, at)
}

// owned returns a file with the content of path that has no other name.
func (c *carrier) owned(path string, size int64) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Nlink < 2 {
		return path, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	body, err := spool(c.to.tmp, io.LimitReader(f, size), size, (*os.File).Sync)
	if err != nil {
		return "", err
	}
	if err := c.change(); err != nil {
		return "", err
	}
	return path, os.Rename(body.path, path)
}

// writeMetadata writes the metadata file of an object. It is durable with all others at the end.
func (c *carrier) writeMetadata(path string, v version) error {
	if err := c.change(); err != nil {
		return err
	}
	file := c.to.metadataPath(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	raw, err := encodeMetadata(metadataFile{Versions: []version{v}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// removeEmpty removes the empty folders of format 1 and returns how many files are left but for the tombstone.
func (c *carrier) removeEmpty() (left int) {
	tombstone, _ := firstPath(filepath.Join(c.from, c.cfg.Tombstone.Bucket), c.cfg.Tombstone.Key)
	var dirs []string
	_ = filepath.WalkDir(c.from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // What cannot be read stays.
		case d.IsDir():
			dirs = append(dirs, path)
		case path != tombstone:
			left++
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i]) // It stays if it is not empty.
	}
	return left
}
