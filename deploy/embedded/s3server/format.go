package s3server

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	footerSize  = 24
	magic       = "recount\x01"
	maxMetadata = 64 << 10 // bytes; gofakes3 lets through 2 KB of headers and a key
	tailGuess   = 4 << 10  // bytes of the end read at once, nearly always all of footer and metadata
)

var errFormat = errors.New("not an object file")

// metadata describes an object; it is stored after the body.
type metadata struct {
	Key  string            `json:"key"`
	MD5  string            `json:"md5"`
	Meta map[string]string `json:"meta,omitempty"`
}

// appendTail appends metadata and footer as they follow a body of size bytes.
func appendTail(buf []byte, size int64, m metadata) ([]byte, error) {
	start := len(buf)
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata of %q: %w", m.Key, err)
	}
	if len(raw) > maxMetadata {
		return nil, fmt.Errorf("metadata of %q has %d bytes; at most %d", m.Key, len(raw), maxMetadata)
	}
	buf = append(buf, raw...)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(size))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(raw)))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
	return append(buf, magic...), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stored is an open object file. The caller closes File.
type stored struct {
	metadata
	File *os.File
	Size int64 // of the body
	Hash []byte
}

// openStored opens an object file and reads its metadata. A file that this store did not write,
// or that a person or a disk changed, is an object of all its bytes without metadata. Its reader
// finds the damage by digest or format and names the object. An error here would hide every
// other object of the folder from a listing.
func openStored(path string) (*stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := readStored(f)
	if errors.Is(err, errFormat) {
		s, err = wholeFile(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return s, nil
}

// Inspect reads the ends of at most most object files of a bucket's folder. It returns how many it has read, and the
// paths of those that are not whole. It changes nothing, and a server may use the folder: a name always holds a whole
// file (E1). Files below data/ come last, because they are many, and all others say what they hold.
func Inspect(folder string, most int) (looked int, damaged []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, nil, err
	}
	if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "data" }); i >= 0 {
		entries = append(slices.Delete(slices.Clone(entries), i, i+1), entries[i])
	}
	look := func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // It was deleted meanwhile.
		case err != nil || !e.Type().IsRegular():
			return err
		case looked == most:
			return fs.SkipAll
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		looked++
		_, err = readStored(f)
		if errors.Is(err, errFormat) {
			damaged = append(damaged, path)
			err = nil
		}
		return err
	}
	for _, e := range entries {
		if err := filepath.WalkDir(filepath.Join(folder, e.Name()), look); err != nil {
			return looked, damaged, err
		}
	}
	return looked, damaged, nil
}

func readStored(f *os.File) (*stored, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail, err := readEnd(f, st.Size(), tailGuess)
	if err != nil {
		return nil, err
	}
	body, meta, err := parseFooter(tail, st.Size())
	if err != nil {
		return nil, err
	}
	if tail, err = readEnd(f, st.Size(), footerSize+meta); err != nil {
		return nil, err
	}
	s := &stored{File: f, Size: body}
	if s.metadata, err = parseTail(tail); err != nil {
		return nil, err
	}
	s.Hash, err = hex.DecodeString(s.MD5)
	return s, err
}

func wholeFile(f *os.File) (*stored, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &stored{File: f, Size: st.Size()}, nil
}

func readEnd(f *os.File, size, n int64) ([]byte, error) {
	n = min(n, size)
	buf := make([]byte, n)
	_, err := f.ReadAt(buf, size-n)
	if errors.Is(err, io.EOF) && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return buf, err
}

// parseFooter returns the lengths of body and metadata of a file of size bytes.
func parseFooter(tail []byte, size int64) (body, meta int64, err error) {
	if len(tail) < footerSize || string(tail[len(tail)-len(magic):]) != magic {
		return 0, 0, fmt.Errorf("%w: no footer", errFormat)
	}
	footer := tail[len(tail)-footerSize:]
	body = int64(binary.LittleEndian.Uint64(footer))
	meta = int64(binary.LittleEndian.Uint32(footer[8:]))
	if body < 0 || meta > maxMetadata || body != size-meta-footerSize {
		return 0, 0, fmt.Errorf("%w: footer says %d and %d bytes, the file has %d", errFormat, body, meta, size)
	}
	return body, meta, nil
}

// parseTail checks and decodes exactly the metadata and footer of a file.
func parseTail(tail []byte) (m metadata, err error) {
	if len(tail) < footerSize {
		return m, fmt.Errorf("%w: no footer", errFormat)
	}
	covered := tail[:len(tail)-footerSize+12]
	if crc32.Checksum(covered, castagnoli) != binary.LittleEndian.Uint32(tail[len(covered):]) {
		return m, fmt.Errorf("%w: checksum of the metadata is wrong", errFormat)
	}
	if err := json.Unmarshal(tail[:len(tail)-footerSize], &m); err != nil {
		return m, fmt.Errorf("%w: decode its metadata: %w", errFormat, err)
	}
	return m, nil
}
