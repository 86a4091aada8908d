package s3server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rclone/gofakes3"
)

// ListBucket implements gofakes3.Backend: keys in byte order, after the marker, with
// those that share a delimited prefix rolled up into one.
func (b *backend) ListBucket(ctx context.Context, bucket string, prefix *gofakes3.Prefix,
	page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	dir, ok := b.bucketDir(bucket)
	if !ok {
		return nil, gofakes3.BucketNotFound(bucket)
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	out := gofakes3.NewObjectList()
	w := &walk{ctx: ctx, listings: &b.listings, prefix: prefix.Prefix, after: page.Marker}
	if rolled, ok := rollUp(page.Marker, prefix); ok && rolled == page.Marker {
		w.skip = rolled // the page before ended with this prefix
	}
	w.visit = func(key, path string) (bool, error) {
		if page.MaxKeys > 0 && int64(len(out.Contents)+len(out.CommonPrefixes)) == page.MaxKeys {
			out.IsTruncated = true
			return false, nil
		}
		if rolled, ok := rollUp(key, prefix); ok {
			out.AddPrefix(rolled)
			out.NextMarker = rolled
			w.skip = rolled
			return true, nil
		}
		c, err := b.content(key, path)
		if c != nil {
			out.Add(c)
			out.NextMarker = key
		}
		return true, err
	}
	_, err := w.folder(dir, "")
	if !out.IsTruncated {
		out.NextMarker = ""
	}
	return out, err
}

// rollUp returns the common prefix a key belongs to, if a delimiter asks for one.
func rollUp(key string, p *gofakes3.Prefix) (string, bool) {
	rest, ok := strings.CutPrefix(key, p.Prefix)
	if !ok || p.Delimiter == "" {
		return "", false
	}
	i := strings.Index(rest, p.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(p.Prefix)+i+len(p.Delimiter)], true
}

// content describes an object in a listing, or nil if it was deleted meanwhile.
func (b *backend) content(key, path string) (*gofakes3.Content, error) {
	s, err := b.openFile(key, path, false)
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &gofakes3.Content{
		Key: key, Size: s.Size, ETag: `"` + hex.EncodeToString(s.MD5) + `"`,
		LastModified: gofakes3.NewContentTime(s.Modified.UTC()), StorageClass: gofakes3.StorageStandard,
	}, s.File.Close()
}

// walk visits the keys of a bucket in byte order without reading folders that cannot
// hold a wanted one.
type walk struct {
	ctx      context.Context
	listings *listings
	prefix   string
	after    string
	skip     string // keys with this prefix are not visited, if not empty
	visit    func(key, path string) (more bool, err error)
}

// folder visits what is below a folder whose keys all begin with base.
func (w *walk) folder(dir, base string) (more bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	entries, err := w.listings.read(dir)
	if err != nil {
		return false, fmt.Errorf("list folder: %w", err)
	}
	// Every entry that sorts before this one is before the marker or the prefix.
	from := max(w.after, w.prefix)
	first, _ := slices.BinarySearchFunc(entries, from, func(e entry, from string) int {
		if name := base + e.part; name >= from || e.isFolder() && strings.HasPrefix(from, name) {
			return 1
		}
		return -1
	})
	for _, e := range entries[first:] {
		if more, err := w.entry(dir, base, e); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

func (w *walk) entry(dir, base string, e entry) (more bool, err error) {
	name := base + e.part
	switch {
	case w.skip != "" && strings.HasPrefix(name, w.skip):
		return true, nil
	case e.isFolder() && (strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)):
		return w.folder(filepath.Join(dir, e.file), name)
	case !e.isFolder() && strings.HasPrefix(name, w.prefix) && name > w.after:
		return w.visit(name, filepath.Join(dir, e.file))
	}
	return name <= w.prefix || strings.HasPrefix(name, w.prefix), nil
}

// entry is a name in a folder: part is the segment it stands for, with a slash if
// it is a folder. Entries sorted by part have their keys in byte order. A name that this store
// does not give is its own segment: it is listed, so that an operator finds it, and no key reads it.
type entry struct{ part, file string }

func (e entry) isFolder() bool { return strings.HasSuffix(e.part, "/") }

// listings caches the sorted entries of large folders: a listing is asked for by pages
// of 1000 keys, and reading a folder of a million names for each would be quadratic.
type listings struct {
	mu      sync.Mutex
	changes uint64
	byDir   map[string][]entry
	parse   func(name string, isDir bool) (part string, ok bool) // parseName of the directory's format
}

const (
	cachedListings = 8
	largeFolder    = 1000 // entries; a page
)

// changed forgets a folder in which a name came or went.
func (l *listings) changed(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	delete(l.byDir, dir)
}

func (l *listings) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	clear(l.byDir)
}

// read returns the sorted entries of a folder; one that does not exist has none.
func (l *listings) read(dir string) ([]entry, error) {
	l.mu.Lock()
	cached, ok := l.byDir[dir]
	before := l.changes
	l.mu.Unlock()
	if ok {
		return cached, nil
	}
	entries, err := l.readFolder(dir)
	if err != nil || len(entries) <= largeFolder {
		return entries, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A change since then may be one we did not see.
	if l.changes == before {
		if len(l.byDir) >= cachedListings {
			clear(l.byDir)
		}
		l.byDir[dir] = entries
	}
	return entries, nil
}

func (l *listings) readFolder(dir string) ([]entry, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := d.ReadDir(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(names))
	for _, e := range names {
		if !e.IsDir() && !e.Type().IsRegular() {
			continue // A link, a socket: a person put it there, and it is no object.
		}
		part, ok := l.parse(e.Name(), e.IsDir())
		if !ok {
			part = e.Name()
			if e.IsDir() {
				part += "/"
			}
		}
		entries = append(entries, entry{part: part, file: e.Name()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.part, b.part) })
	return entries, nil
}
