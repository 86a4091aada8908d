package s3server

import (
	"encoding/base32"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/rclone/gofakes3"
)

const (
	mark         = "%"  // ends a name that is used against its nature
	emptyFolder  = "%-" // the folder of an empty segment, as in "a//b"
	emptyFile    = "%_" // the file of an empty last segment, as in "a/"
	maxFileName  = 255  // bytes; the limit of common file systems
	maxExtension = 7    // bytes after the dot
	packMark     = "~"  // begins the packed part of a name
	maxHead      = 16   // bytes of a segment among which its "=" is sought
	plainSymbols = "-_.=+,@"
	hexDigits    = "0123456789ABCDEF"
)

// packing writes any bytes in letters that file systems do not fold, at 8 for 5 bytes where an escaped byte takes 3.
var packing = base32.HexEncoding.WithPadding(base32.NoPadding)

// objectPath returns the file of a key below the bucket's folder. Keys that cannot
// be told apart on disk or in a listing are refused rather than mangled.
func objectPath(bucketDir, key string) (string, error) {
	return pathOf(bucketDir, key, fileName, folderName)
}

// pathOf is objectPath with the names of one format.
func pathOf(bucketDir, key string, fileName, folderName func(segment string) string) (string, error) {
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
			name = fileName(s)
		}
		if len(name) > maxFileName {
			return "", gofakes3.ErrorMessage(gofakes3.ErrKeyTooLong,
				fmt.Sprintf("The key's segment %q has %d bytes as a file name; at most %d.", s, len(name), maxFileName))
		}
		names = append(names, name)
	}
	return filepath.Join(names...), nil
}

// isFile reports whether a segment is a file by nature.
func isFile(segment string) bool {
	dot := strings.LastIndexByte(segment, '.')
	extension := segment[dot+1:]
	if dot < 1 || extension == "" || len(extension) > maxExtension || strings.Contains(segment, "=") {
		return false
	}
	isLetter := func(r rune) bool { return 'a' <= r && r <= 'z' }
	isOther := func(r rune) bool { return !isLetter(r) && (r < '0' || r > '9') }
	return strings.ContainsFunc(extension, isLetter) && !strings.ContainsFunc(extension, isOther)
}

// fileName returns the name of the last segment of a key.
func fileName(segment string) string {
	switch {
	case segment == "":
		return emptyFile
	case isFile(segment):
		return shorten(segment, "")
	}
	return shorten(segment, mark)
}

// folderName returns the name of any other segment.
func folderName(segment string) string {
	switch {
	case segment == "":
		return emptyFolder
	case isFile(segment):
		return shorten(segment, mark)
	}
	return shorten(segment, "")
}

// shorten returns the escaped segment with its end. If that is too long for a file system, it returns the packed
// segment with its end: the longest event type in capitals fits. A hash would fit for every segment, but a listing
// could not tell the key from it.
func shorten(segment, end string) string {
	if name := escape(segment) + end; len(name) <= maxFileName {
		return name
	}
	return pack(segment) + end
}

// pack makes a file name of a long segment. A "=" near its begin and what precedes that stay escaped, so that a pattern
// as type=* fits.
func pack(segment string) string {
	cut := strings.IndexByte(segment[:min(len(segment), maxHead)], '=') + 1
	return escape(segment[:cut]) + packMark + strings.ToLower(packing.EncodeToString([]byte(segment[cut:])))
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
func parseName(name string, isDir bool) (part string, ok bool) {
	switch {
	case isDir && name == emptyFolder:
		return "/", true
	case !isDir && name == emptyFile:
		return "", true
	}
	base, marked := strings.CutSuffix(name, mark)
	segment, ok := unescape(base)
	if !ok {
		segment, ok = unpack(base)
		ok = ok && len(escape(segment))+len(name)-len(base) > maxFileName
	}
	if !ok || len(name) > maxFileName || segment == "" || marked == (isFile(segment) != isDir) {
		return "", false
	}
	if isDir {
		segment += "/"
	}
	return segment, true
}

// unpack is the reverse of pack. It accepts nothing that pack does not return.
func unpack(base string) (segment string, ok bool) {
	head, packed, ok := strings.Cut(base, packMark)
	if !ok {
		return "", false
	}
	tail, err := packing.DecodeString(strings.ToUpper(packed))
	if err != nil {
		return "", false
	}
	head, ok = unescape(head)
	segment = head + string(tail)
	return segment, ok && !strings.Contains(segment, "/") && pack(segment) == base
}

// unescape is the reverse of escape. It accepts nothing that escape does not return.
func unescape(name string) (segment string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		if i+2 >= len(name) {
			return "", false
		}
		hi := strings.IndexByte(hexDigits, name[i+1])
		lo := strings.IndexByte(hexDigits, name[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	segment = b.String()
	return segment, !strings.Contains(segment, "/") && escape(segment) == name
}
