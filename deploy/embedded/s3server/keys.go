package s3server

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/rclone/gofakes3"
)

const (
	leafMark     = "%"  // ends the file name of an object
	emptyFolder  = "%-" // the folder of an empty segment, as in "a//b"
	maxFileName  = 255  // bytes; the limit of common file systems
	plainSymbols = "-_.=+,@"
	hexDigits    = "0123456789ABCDEF"
)

// objectPath returns the file of a key below the bucket's folder. Keys that cannot
// be told apart on disk or in a listing are refused rather than mangled.
func objectPath(bucketDir, key string) (string, error) {
	if key == "" || !utf8.ValidString(key) ||
		strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", gofakes3.ErrorMessage(gofakes3.ErrInvalidArgument,
			"A key must be non-empty UTF-8 without control characters.")
	}
	if len(key) > gofakes3.KeySizeLimit {
		return "", gofakes3.ResourceError(gofakes3.ErrKeyTooLong, key)
	}
	segments := strings.Split(key, "/")
	names := make([]string, 0, len(segments)+1)
	names = append(names, bucketDir)
	for i, s := range segments {
		name := folderName(s)
		if i == len(segments)-1 {
			name = escape(s) + leafMark
		}
		if len(name) > maxFileName {
			return "", gofakes3.ErrorMessage(gofakes3.ErrKeyTooLong,
				fmt.Sprintf("The key's segment %q is longer than %d bytes when escaped.", s, maxFileName-1))
		}
		names = append(names, name)
	}
	return filepath.Join(names...), nil
}

func folderName(segment string) string {
	if segment == "" {
		return emptyFolder
	}
	return escape(segment)
}

// escape makes a file name of a segment. A leading dot is escaped, so no name is
// ".", ".." or hidden.
func escape(segment string) string {
	var b strings.Builder
	for i := range len(segment) {
		c := segment[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte(plainSymbols, c) >= 0 && (c != '.' || i > 0):
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// parseName is the reverse of objectPath: it returns an object's last segment, or a folder's
// segment with its slash, which is what both sort by in a listing.
func parseName(name string) (part string, ok bool) {
	if name == emptyFolder {
		return "/", true
	}
	base, leaf := strings.CutSuffix(name, leafMark)
	var b strings.Builder
	for i := 0; i < len(base); i++ {
		if base[i] != '%' {
			b.WriteByte(base[i])
			continue
		}
		if i+2 >= len(base) {
			return "", false
		}
		hi := strings.IndexByte(hexDigits, base[i+1])
		lo := strings.IndexByte(hexDigits, base[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	segment := b.String()
	if strings.Contains(segment, "/") || escape(segment) != base {
		return "", false
	}
	if leaf {
		return segment, true
	}
	return segment + "/", segment != ""
}
