package s3server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// dataPrefix begins the keys of the objects that Inspect looks at last, because they are many, and all others say what
// they hold.
const dataPrefix = "data/"

// Inspect looks at no more than most objects of a bucket in a directory of any format. It returns how many it has
// looked at, and the files of those that are not whole: whole says whether a body is that of a key, and in format 1 the
// file says it, too. It changes nothing, and a server may use the directory: a name always holds a whole object (E1).
func Inspect(dir, bucket string, most int, whole func(key string, body *io.SectionReader) (bool, error)) (looked int,
	damaged []string, err error) {
	b, err := newReader(dir, time.Now)
	if err != nil {
		return 0, nil, err
	}
	folder, ok := b.bucketDir(bucket)
	if !ok {
		return 0, nil, fs.ErrNotExist
	}
	w := &walk{ctx: context.Background(), listings: &b.listings}
	w.visit = func(key, path string) (bool, error) {
		if _, want, err := b.path(bucket, key); err != nil || want != path {
			return true, nil // A person put the file there.
		}
		sound, err := b.inspect(key, path, whole)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil // It was deleted meanwhile.
		}
		if !sound && err == nil {
			damaged = append(damaged, path)
		}
		looked++
		return looked < most, err
	}
	w.skip = dataPrefix
	more, err := w.folder(folder, "")
	if more && err == nil {
		w.skip = ""
		w.prefix = dataPrefix
		_, err = w.folder(folder, "")
	}
	return looked, damaged, err
}

// inspect reports whether the file of an object is whole.
func (b *backend) inspect(key, path string, whole func(string, *io.SectionReader) (bool, error)) (bool, error) {
	s, err := b.openLocked(path, false)
	if err != nil {
		return false, err
	}
	defer s.File.Close()
	if b.isFirst && s.MD5 == nil {
		return false, nil
	}
	return whole(key, io.NewSectionReader(s.File, 0, s.Size))
}
