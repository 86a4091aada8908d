package s3server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"recount/schemas/durable"
)

// Folders and files of the directory.
const (
	objectsFolder  = "objects"
	metadataFolder = "metadata"
	firstFolder    = "buckets" // of format 1
	formatFile     = "format"
	planFile       = "carry-over"
)

// currentFormat is the format that this program writes.
const currentFormat = 2

// formatContent is the content of the format file.
type formatContent struct {
	Format int `json:"format"`
}

// readFormat returns the format of the objects in a directory; a directory without any has the current one. The format
// file may be lost: then the folders tell.
func readFormat(dir string) (int, error) {
	path := filepath.Join(dir, formatFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if exists(filepath.Join(dir, planFile)) ||
			exists(filepath.Join(dir, firstFolder)) && !exists(filepath.Join(dir, objectsFolder)) {
			return 1, nil
		}
		return currentFormat, nil
	}
	if err != nil {
		return 0, err
	}
	var c formatContent
	if err := json.Unmarshal(raw, &c); err != nil || c.Format < 1 {
		return 0, fmt.Errorf("%s does not say in which format the objects are: write {\"format\":%d} into it if the "+
			"folder has %s/", path, currentFormat, objectsFolder)
	}
	if c.Format > currentFormat {
		return 0, fmt.Errorf("%s says that the objects have format %d, and this program knows formats 1 to %d: use "+
			"the version of recount that wrote it, or a later one", path, c.Format, currentFormat)
	}
	return c.Format, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ObjectFile returns the file of an object in a directory, for those who read it without a server. In one of format 1
// the object's bytes are the begin of that file.
func ObjectFile(dir, bucket, key string) (string, error) {
	format, err := readFormat(dir)
	if err != nil {
		return "", err
	}
	path, err := objectPath(filepath.Join(dir, objectsFolder, bucket), key)
	if err != nil || format == currentFormat || exists(path) {
		return path, err
	}
	return firstPath(filepath.Join(dir, firstFolder, bucket), key)
}

// openFormat brings the directory into the current format.
func openFormat(cfg Config) error {
	format, err := readFormat(cfg.Dir)
	if err != nil {
		return err
	}
	if err := checkObjects(cfg, format); err != nil {
		return err
	}
	c := newCarrier(cfg)
	if format < currentFormat {
		if err := c.run(); err != nil {
			return fmt.Errorf("carry the objects over to format %d: %w", currentFormat, err)
		}
	}
	// Without the folder of the objects, the tombstone would look like an object of format 1.
	made := folders{durable: map[string]struct{}{}}
	if err := made.ensure(cfg.Dir, filepath.Join(cfg.Dir, objectsFolder), (*os.File).Sync); err != nil {
		return err
	}
	if err := putTombstone(cfg); err != nil {
		return fmt.Errorf("write the tombstone for older programs: %w", err)
	}
	if format < currentFormat || !exists(filepath.Join(cfg.Dir, formatFile)) {
		if err := c.checkLeft(); err != nil {
			return err
		}
		raw, err := json.Marshal(formatContent{Format: currentFormat})
		if err != nil {
			return err
		}
		file := durable.File{Path: filepath.Join(cfg.Dir, formatFile), Mode: 0o600}
		if err := file.WriteAll(append(raw, '\n')); err != nil {
			return err
		}
	}
	err = os.Remove(filepath.Join(cfg.Dir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// checkObjects refuses a directory that lost its objects and its format file: the tombstone tells that there were some.
func checkObjects(cfg Config, format int) error {
	if format == currentFormat || exists(filepath.Join(cfg.Dir, planFile)) {
		return nil
	}
	there, err := hasTombstone(cfg)
	if err != nil || !there {
		return err
	}
	return fmt.Errorf("%s is missing, and the tombstone in %s tells that objects were there: restore the folder "+
		"from a copy", filepath.Join(cfg.Dir, objectsFolder), filepath.Join(cfg.Dir, firstFolder))
}

// tombstonePath returns the file of the tombstone.
func tombstonePath(cfg Config) (string, error) {
	return firstPath(filepath.Join(cfg.Dir, firstFolder, cfg.Tombstone.Bucket), cfg.Tombstone.Key)
}

// hasTombstone reports whether the tombstone is in its place. Before it, an object of format 1 may be there.
func hasTombstone(cfg Config) (bool, error) {
	if cfg.Tombstone.Key == "" {
		return false, nil
	}
	path, err := tombstonePath(cfg)
	if err != nil {
		return false, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return bytes.Equal(raw, cfg.Tombstone.Body), err
}

// putTombstone writes the tombstone into a directory of format 2, if it is not there.
func putTombstone(cfg Config) error {
	if cfg.Tombstone.Key == "" {
		return nil
	}
	there, err := hasTombstone(cfg)
	if err != nil || there {
		return err
	}
	path, err := tombstonePath(cfg)
	if err != nil {
		return err
	}
	if exists(path) {
		return fmt.Errorf("%s holds something else: an older version wrote it, or it is damaged; move it out of %s",
			path, filepath.Join(cfg.Dir, firstFolder))
	}
	return writeTombstone(cfg)
}

// writeTombstone writes the object that a program finds which knows format 1 only, in place of the one that it would
// begin with. It is complete or not there, and durable before anything else of format 2 is written.
func writeTombstone(cfg Config) error {
	path, err := tombstonePath(cfg)
	if err != nil {
		return err
	}
	made := folders{durable: map[string]struct{}{}}
	if err := made.ensure(cfg.Dir, filepath.Dir(path), (*os.File).Sync); err != nil {
		return err
	}
	return durable.File{Path: path, Mode: 0o600}.WriteAll(cfg.Tombstone.Body)
}
