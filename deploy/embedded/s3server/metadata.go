package s3server

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"recount/schemas/record"
)

const (
	// smallBody is the size in bytes up to which the MD5 is taken from the body at each read.
	smallBody = 16 << 10
	// maxMetadata is the largest metadata file in bytes. gofakes3 lets 2 KB of headers through, of each version.
	maxMetadata = 64 << 10
	// defaultType is the content type that an object has without metadata. The SDKs send it too.
	defaultType = "application/octet-stream"
)

// version is a body that an object has, or had before it was replaced, and what the body does not say.
type version struct {
	Size     int64             `json:"size"`
	Modified int64             `json:"modified"` // time of the file, nanoseconds since 1970
	MD5      string            `json:"md5"`
	Headers  map[string]string `json:"headers,omitempty"`
}

// metadataFile is the content of a metadata file, the newest version first.
type metadataFile struct {
	Versions []version `json:"versions"`
}

// newVersion describes a body that is going to be stored with the headers of a request.
func newVersion(s spooled, headers map[string]string) version {
	v := version{Size: s.size, Modified: s.modified.UnixNano(), MD5: hex.EncodeToString(s.md5)}
	for name, value := range headers {
		if name != "Last-Modified" && (name != "Content-Type" || value != defaultType) {
			if v.Headers == nil {
				v.Headers = map[string]string{}
			}
			v.Headers[name] = value
		}
	}
	return v
}

// isPlain reports whether the body says everything, at little cost.
func (v version) isPlain() bool { return v.Headers == nil && v.Size <= smallBody }

// headers returns the headers of an answer, but for Last-Modified.
func (v version) headers() map[string]string {
	all := map[string]string{"Content-Type": defaultType}
	for name, value := range v.Headers {
		all[name] = value
	}
	return all
}

// byTime returns the version that has the size and the time of a file. A time without a fraction may be what an
// archive keeps of it.
func (m metadataFile) byTime(size int64, modified time.Time) (version, bool) {
	at := modified.UnixNano()
	for _, v := range m.Versions {
		if v.Size == size && (v.Modified == at || at%1e9 == 0 && v.Modified/1e9 == at/1e9) {
			return v, true
		}
	}
	return version{}, false
}

// byMD5 returns the version that has the bytes of a file.
func (m metadataFile) byMD5(size int64, sum []byte) (version, bool) {
	for _, v := range m.Versions {
		if v.Size == size && v.MD5 == hex.EncodeToString(sum) {
			return v, true
		}
	}
	return version{}, false
}

// metadataPath returns the metadata file of an object file.
func (b *backend) metadataPath(path string) string {
	return filepath.Join(b.metadata, path[len(b.objects):])
}

// readMetadata returns what the metadata file of an object file holds. Without one, or with a damaged one, it
// returns nothing: the object is then described by its body alone.
func (b *backend) readMetadata(path string) (m metadataFile, err error) {
	f, err := os.Open(b.metadataPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxMetadata+1))
	if err != nil {
		return m, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if raw, err = record.CheckDigest(raw); err != nil || json.Unmarshal(raw, &m) != nil {
		return metadataFile{}, nil
	}
	return m, nil
}

// encodeMetadata returns the bytes of a metadata file.
func encodeMetadata(m metadataFile) ([]byte, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	raw = record.WithDigest(raw)
	if len(raw) > maxMetadata {
		return nil, fmt.Errorf("metadata of %d bytes; at most %d", len(raw), maxMetadata)
	}
	return raw, nil
}

// writeMetadata replaces the metadata file of an object file. What a client gave is durable afterwards, and what can be
// made again from the body need not be.
func (b *backend) writeMetadata(path string, m metadataFile) error {
	raw, err := encodeMetadata(m)
	if err != nil {
		return err
	}
	durable := false
	for _, v := range m.Versions {
		durable = durable || v.Headers != nil
	}
	temp, err := spool(b.tmp, bytes.NewReader(raw), int64(len(raw)), func(f *os.File) error {
		if durable {
			return f.Sync()
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer os.Remove(temp.path) // nothing is left to remove after the rename
	to := b.metadataPath(path)
	if err := b.folders.ensure(filepath.Dir(b.metadata), filepath.Dir(to), b.sync); err != nil {
		return fmt.Errorf("make folder of metadata: %w", err)
	}
	place := func() error { return os.Rename(temp.path, to) }
	if !durable {
		return place()
	}
	return b.change(filepath.Dir(to), place)
}

// announce writes the metadata of a body that is about to take its place. The version that it replaces stays beside it,
// because the process may end before the body is there. The key's lock must be held.
func (b *backend) announce(path string, v version) error {
	m := metadataFile{Versions: []version{v}}
	st, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		old, err := b.readMetadata(path)
		if err != nil {
			return err
		}
		if replaced, ok := old.byTime(st.Size(), st.ModTime()); ok {
			m.Versions = append(m.Versions, replaced)
		}
	}
	return b.writeMetadata(path, m)
}

// removeMetadata removes the metadata file of an object file, durably: it may not come back beside another
// body with the same bytes. The key's lock must be held.
func (b *backend) removeMetadata(path string) error {
	file := b.metadataPath(path)
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return b.change(filepath.Dir(file), func() error { return os.Remove(file) })
}

// stored is an open object file. The caller closes File.
type stored struct {
	File     *os.File
	Size     int64 // of the body
	Modified time.Time
	MD5      []byte            // of the body; nil if it is not known yet
	Headers  map[string]string // of an answer
}

// openPlain opens an object file. A listing needs no headers. The key's lock must be held, at least shared.
func (b *backend) openPlain(path string, withHeaders bool) (*stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &stored{File: f}
	if err := b.describe(s, path, withHeaders); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return s, nil
}

// describe sets what is known of an open file without reading much of it.
func (b *backend) describe(s *stored, path string, withHeaders bool) error {
	st, err := s.File.Stat()
	if err != nil {
		return err
	}
	s.Size = st.Size()
	s.Modified = st.ModTime()
	if s.Size <= smallBody {
		if err := s.sum(); err != nil || !withHeaders {
			return err
		}
	}
	m, err := b.readMetadata(path)
	if err != nil {
		return err
	}
	v, ok := m.byTime(s.Size, s.Modified)
	if !ok && s.MD5 != nil {
		v, ok = m.byMD5(s.Size, s.MD5)
	}
	s.Headers = v.headers()
	if ok && s.MD5 == nil {
		s.MD5, err = hex.DecodeString(v.MD5)
	}
	return err
}

// sum reads the body and sets its MD5. The file is at its begin before and after.
func (s *stored) sum() error {
	h := md5.New()
	buf := make([]byte, min(max(s.Size, 1), 32<<10)) // A listing sums many small bodies, which need no more.
	if _, err := io.CopyBuffer(h, io.NewSectionReader(s.File, 0, s.Size), buf); err != nil {
		return err
	}
	s.MD5 = h.Sum(nil)
	return nil
}

// complete sets the MD5 of an object whose metadata file was lost, or does not fit it, and writes that file again. It
// reads the whole body, which never changes, so it holds no lock meanwhile.
func (b *backend) complete(s *stored, path string) error {
	if err := s.sum(); err != nil {
		return err
	}
	l := b.lock(path)
	l.Lock()
	defer l.Unlock()
	m, err := b.readMetadata(path)
	if err != nil {
		return err
	}
	v, _ := m.byMD5(s.Size, s.MD5)
	s.Headers = v.headers()
	now, err := os.Stat(path)
	if err != nil || b.readOnly || now.Size() != s.Size || !now.ModTime().Equal(s.Modified) {
		return nil // The object is another one by now, or nothing may be written.
	}
	v.Size = s.Size
	v.Modified = s.Modified.UnixNano()
	v.MD5 = hex.EncodeToString(s.MD5)
	return b.writeMetadata(path, metadataFile{Versions: []version{v}})
}
