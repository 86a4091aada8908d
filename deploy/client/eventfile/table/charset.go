package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// Encoding is how text is written as bytes.
type Encoding string

// The encodings. Programs that speak of latin-1 nearly always write windows-1252, which has more characters.
const (
	UTF8   Encoding = "utf-8"
	Latin1 Encoding = "latin-1"
	UTF16  Encoding = "utf-16"
)

var byteOrderMark = []byte("\ufeff")

// errNotUTF8 continues a sentence that names a place.
var errNotUTF8 = errors.New("is not UTF-8, as the begin of the file is; if it is latin-1 (windows-1252), say " +
	"--encoding latin-1")

// text is the content of a file of text.
type text struct {
	*bufio.Reader
	whole bool // whole means that peek returned the whole content.
}

// newText returns the text of a file of some bytes, or of 0 when that is not known.
func newText(from io.Reader, size int64) *text {
	if size <= 0 || size >= sniffed {
		size = sniffed
	}
	return &text{Reader: bufio.NewReaderSize(from, int(size))}
}

// peek returns the first bytes without reading them.
func (t *text) peek() ([]byte, error) {
	head, err := t.Peek(t.Size())
	if errors.Is(err, io.EOF) {
		t.whole = true
		err = nil
	}
	return head, err
}

// decode makes the content UTF-8 without a byte order mark. It returns what it found, unless it is plain UTF-8.
func (t *text) decode(given Encoding) (found string, err error) {
	head, err := t.peek()
	if err != nil {
		return "", err
	}
	encoding := given
	if encoding == "" {
		if encoding, err = encodingOf(head, t.whole); err != nil {
			return "", err
		}
	}
	switch encoding {
	case UTF8:
		if bytes.HasPrefix(head, byteOrderMark) {
			_, err = t.Discard(len(byteOrderMark)) // Spreadsheets begin a file with it.
		}
		return "", err
	case UTF16:
		order := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
		*t = *newText(order.NewDecoder().Reader(t.Reader), 0)
		return "UTF-16", nil
	}
	*t = *newText(charmap.Windows1252.NewDecoder().Reader(t.Reader), 0)
	return "latin-1 (windows-1252)", nil
}

// encodingOf guesses the encoding from the first bytes of a file. It fails when they are a mixture.
func encodingOf(head []byte, whole bool) (Encoding, error) {
	if isUTF16(head) {
		return UTF16, nil
	}
	if !whole { // The last character may be cut.
		for range utf8.UTFMax - 1 {
			if r, size := utf8.DecodeLastRune(head); r != utf8.RuneError || size > 1 || len(head) == 0 {
				break
			}
			head = head[:len(head)-1]
		}
	}
	if utf8.Valid(head) {
		return UTF8, nil
	}
	line := 1
	for len(head) > 0 {
		r, size := utf8.DecodeRune(head)
		switch b := head[0]; {
		case b == '\n':
			line++
		case r != utf8.RuneError && size > 1:
			return "", fmt.Errorf("line %d has characters in UTF-8 and other lines have not; convert the file, or say "+
				"--encoding latin-1 if its text is that", line)
		case r == utf8.RuneError && charmap.Windows1252.DecodeByte(b) == utf8.RuneError:
			return "", fmt.Errorf("line %d holds the byte %#x, which neither UTF-8 nor latin-1 has; convert the file "+
				"to UTF-8, as with iconv", line, b)
		}
		head = head[size:]
	}
	return Latin1, nil
}

func isUTF16(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}
