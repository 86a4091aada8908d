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
	"strings"
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
//
// Until the tombstone is in its place an older program may run again and store more. So the plan is written anew by
// each start until then, and the first record is copied and not moved: an older program finds it or the tombstone.

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

// namedFiles is how many files an error names.
const namedFiles = 10

func newCarrier(cfg Config) *carrier {
	return &carrier{cfg: cfg, from: filepath.Join(cfg.Dir, firstFolder), to: newBackend(cfg.Dir, cfg.Now)}
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
	sealedOff, err := hasTombstone(c.cfg)
	if err != nil {
		return err
	}
	if err := c.checkFolders(); err != nil {
		return err
	}
	plan := filepath.Join(c.cfg.Dir, planFile)
	if !exists(plan) || c.cfg.Tombstone.Key != "" && !sealedOff {
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
	if !sealedOff {
		if err := c.copyFirst(plan); err != nil {
			return err
		}
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

// checkFolders refuses what could not be renamed, while nothing has changed yet: links, and folders of another file
// system. Older programs follow a link, and a carry-over would miss what it leads to.
func (c *carrier) checkFolders() error {
	return filepath.WalkDir(c.from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == c.from {
			return nil // It may be removed already.
		}
		if err != nil {
			return err
		}
		_, asFile := parseFirstName(d.Name(), false)
		_, asFolder := parseFirstName(d.Name(), true)
		switch {
		case d.Type()&fs.ModeSymlink != 0 && (asFile || asFolder):
			return fmt.Errorf("%s is a symbolic link: move what it leads to back into %s, in place of the link", path,
				filepath.Dir(path))
		case d.IsDir():
			return sameFileSystem(c.to.tmp, path)
		}
		return nil
	})
}

// sameFileSystem refuses a folder to which files of another one cannot be renamed. It tries to rename a file that is
// not there, and changes nothing: only the kernel knows which mounts a path crosses.
func sameFileSystem(from, to string) error {
	err := os.Rename(filepath.Join(from, "not-there"), filepath.Join(to, "not-there"))
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%s is on another file system than %s: move what it holds into a folder there, in its place",
			to, filepath.Dir(from))
	}
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

// eachObject calls do for each object of a bucket of format 1.
func (c *carrier) eachObject(bucket string, do func(carried) error) error {
	return c.eachFile(bucket, func(key, path string) error {
		o, err := c.plan(bucket, key, path)
		if err != nil {
			return err
		}
		return do(o)
	})
}

// eachFile calls do for each object file of a bucket of format 1, but for the tombstone. Files that are no objects,
// because a person has put them there, stay where they are.
func (c *carrier) eachFile(bucket string, do func(key, path string) error) error {
	dir := filepath.Join(c.from, bucket)
	w := &walk{ctx: context.Background(), listings: &listings{byDir: map[string][]entry{}, parse: parseFirstName}}
	w.visit = func(key, path string) (bool, error) {
		if want, err := firstPath(dir, key); err != nil || want != path || c.isTombstone(bucket, key, path) {
			return true, nil
		}
		err := do(key, path)
		return err == nil, err
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

// checkLeft refuses to call a directory carried over while buckets/ holds objects of format 1 beside the tombstone.
func (c *carrier) checkLeft() error {
	buckets, err := os.ReadDir(c.from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var left []string
	for _, bucket := range buckets {
		if !bucket.IsDir() {
			continue
		}
		err := c.eachFile(bucket.Name(), func(_, path string) error {
			left = append(left, path)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("%d objects are left in %s, which were stored there after the others were carried over to %s: "+
		"move away those that have a newer one there, and ask for help with the others; they are %s",
		len(left), c.from, c.to.objects, strings.Join(left[:min(len(left), namedFiles)], ", "))
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

// copyFirst copies the object whose place the tombstone takes, durably, and replaces the old file by the tombstone in
// one step. From then on an older program refuses the directory.
func (c *carrier) copyFirst(plan string) error {
	t := c.cfg.Tombstone
	if t.Key == "" {
		return nil
	}
	_, err := eachPlanned(plan, func(o carried) error {
		if o.Bucket != t.Bucket || o.Key != t.Key {
			return nil
		}
		return c.copy(o)
	})
	if err != nil {
		return err
	}
	if err := c.change(); err != nil {
		return err
	}
	return writeTombstone(c.cfg)
}

// copy gives an object its new place, and leaves the old file as it is. It replaces the copy of a start that was ended,
// because an older program may have replaced the object since.
func (c *carrier) copy(o carried) error {
	from, err := firstPath(filepath.Join(c.from, o.Bucket), o.Key)
	if err != nil {
		return err
	}
	to, err := objectPath(filepath.Join(c.to.objects, o.Bucket), o.Key)
	if err != nil {
		return err
	}
	if err := c.writeMetadata(to, o.Version); err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := spool(c.to.tmp, io.LimitReader(f, o.Version.Size), o.Version.Size, (*os.File).Sync)
	if err != nil {
		return err
	}
	if err := c.to.folders.ensure(c.cfg.Dir, filepath.Dir(to), (*os.File).Sync); err != nil {
		return err
	}
	if err := c.change(); err != nil {
		return err
	}
	return c.to.change(filepath.Dir(to), func() error { return os.Rename(body.path, to) })
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
	if err := c.writeMetadata(to, o.Version); err != nil { // A power failure may have kept the object alone.
		return err
	}
	if exists(to) {
		return c.cut(to, o.Version) // It may have kept the name and not the length.
	}
	if c.isTombstone(o.Bucket, o.Key, from) {
		return fmt.Errorf("%s is missing: restore the folder from a copy", to)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
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

// writeMetadata writes the metadata file of an object, if it needs one. It is durable with all others at the end.
func (c *carrier) writeMetadata(path string, v version) error {
	if v.isPlain() {
		return nil
	}
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
