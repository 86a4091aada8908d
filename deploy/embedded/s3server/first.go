package s3server

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strings"
)

// Format 1 kept an object as one file:
//
//	body       the object's bytes
//	metadata   JSON: {"key", "md5" (hex, of the body), "meta" (response headers)}
//	footer     24 bytes, little endian:
//	             0  uint64  length of body
//	             8  uint32  length of metadata
//	            12  uint32  CRC-32C of metadata followed by footer bytes 0 to 11
//	            16  8 bytes magic "recount\x01"
//
// Its folder was buckets/, and every file name ended in %.
const (
	footerSize = 24
	magic      = "recount\x01"
	tailGuess  = 4 << 10 // bytes of the end read at once, nearly always all of footer and metadata
)

var errFormat = errors.New("not an object file")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// firstMetadata describes an object of format 1.
type firstMetadata struct {
	Key  string            `json:"key"`
	MD5  string            `json:"md5"`
	Meta map[string]string `json:"meta,omitempty"`
}

func firstFileName(segment string) string { return escape(segment) + mark }

func firstFolderName(segment string) string {
	if segment == "" {
		return emptyFolder
	}
	return escape(segment)
}

// firstPath is objectPath of format 1.
func firstPath(bucketDir, key string) (string, error) {
	return pathOf(bucketDir, key, firstFileName, firstFolderName)
}

// parseFirstName is parseName of format 1.
func parseFirstName(name string, isDir bool) (part string, ok bool) {
	if isDir && name == emptyFolder {
		return "/", true
	}
	base, marked := strings.CutSuffix(name, mark)
	segment, ok := unescape(base)
	switch {
	case !ok || marked == isDir:
		return "", false
	case isDir:
		return segment + "/", segment != ""
	}
	return segment, true
}

// openFirst opens an object file of format 1 and reads its metadata. A file that no server wrote,
// or that a person or a disk changed, is an object of all its bytes without metadata. Its reader
// finds the damage by digest or format and names the object. An error here would hide every
// other object of the folder from a listing.
func openFirst(path string) (*stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := readFirst(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return s, nil
}

func readFirst(f *os.File) (*stored, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &stored{File: f, Size: st.Size(), Modified: st.ModTime()}
	body, m, err := readTail(f, st.Size())
	if errors.Is(err, errFormat) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.Size = body
	s.Headers = m.Meta
	if at, err := http.ParseTime(m.Meta["Last-Modified"]); err == nil {
		s.Modified = at
	}
	s.MD5, err = hex.DecodeString(m.MD5)
	return s, err
}

// readTail returns the length of the body and the metadata of an object file.
func readTail(f io.ReaderAt, size int64) (body int64, m firstMetadata, err error) {
	tail, err := readEnd(f, size, tailGuess)
	if err != nil {
		return 0, m, err
	}
	body, length, err := parseFooter(tail, size)
	if err != nil {
		return 0, m, err
	}
	if tail, err = readEnd(f, size, footerSize+length); err != nil {
		return 0, m, err
	}
	m, err = parseTail(tail)
	return body, m, err
}

func readEnd(f io.ReaderAt, size, n int64) ([]byte, error) {
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
func parseTail(tail []byte) (m firstMetadata, err error) {
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
