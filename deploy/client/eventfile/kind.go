package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// head is how many bytes of a file checkKind looks at.
const head = 4 << 10

var byteOrderMark = []byte("\ufeff")

var errCarriageReturn = errors.New("a line ends with a carriage return alone; convert the line ends, as in " +
	`tr '\r' '\n'`)

// errNotUTF8 continues a sentence that names a column.
var errNotUTF8 = errors.New("is not UTF-8; convert the file, as in iconv -f latin1 -t utf-8")

// foreign lists how files of other kinds begin, and what to do with them.
var foreign = []struct {
	begin, is string
	ext       string // ext is the extension that may begin like this.
}{
	{"PAR1", "a Parquet file; give it a name that ends with .parquet", ".parquet"},
	{"PARE", "an encrypted Parquet file; write it without encryption", ""},
	{"\x1f\x8b", "compressed with gzip; decompress it with gunzip", ""},
	{"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it with unzstd", ""},
	{"BZh", "compressed with bzip2; decompress it with bunzip2", ""},
	{"\xfd7zXZ\x00", "compressed with xz; decompress it with unxz", ""},
	{"PK\x03\x04", "a zip archive, as .xlsx files are; unpack it, or save the sheet as CSV in UTF-8", ""},
	{"\xd0\xcf\x11\xe0", "an Office file; save the sheet as CSV in UTF-8", ""},
	{"\xff\xfe", "UTF-16; save it as UTF-8, as in iconv -f utf-16 -t utf-8", ""},
	{"\xfe\xff", "UTF-16; save it as UTF-8, as in iconv -f utf-16 -t utf-8", ""},
	{"ARROW1", "an Arrow file; write it as Parquet", ""},
	{"Obj\x01", "an Avro file; write it as Parquet or NDJSON", ""},
	{"ORC", "an ORC file; write it as Parquet", ""},
	{"SQLite format 3\x00", "a database of SQLite; export a table as CSV", ""},
}

// checkKind fails when the content of a file begins like a file of another kind than its extension says.
func checkKind(f *os.File, ext string) error {
	b := make([]byte, head)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	b = b[:n]
	for _, k := range foreign {
		if k.ext != ext && bytes.HasPrefix(b, []byte(k.begin)) {
			return errors.New("the file is " + k.is)
		}
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(b, byteOrderMark))
	switch {
	case ext == ".parquet" && !bytes.HasPrefix(b, []byte("PAR1")):
		return errors.New("the file is no Parquet file, because it does not begin with PAR1; check what wrote it")
	case ext == ".parquet" || len(text) == 0:
		return nil
	case ext == ".csv":
		return checkCSV(text)
	}
	return checkLines(text)
}

// checkCSV looks at the begin of a CSV file.
func checkCSV(text []byte) error {
	switch text[0] {
	case '{', '[':
		return errors.New("the file holds JSON; write one CloudEvent a line, and give it a name that ends with .ndjson")
	case '<':
		return errors.New("the file holds HTML or XML instead of CSV; check what wrote it")
	}
	return nil
}

// checkLines looks at the begin of an NDJSON file.
func checkLines(text []byte) error {
	first, _, more := bytes.Cut(text, []byte("\n"))
	switch {
	case text[0] == '[':
		return errors.New("the file is one JSON array; write one event a line, as in jq -c '.[]'")
	case text[0] != '{':
		return errors.New("the first line is not a JSON object; write one CloudEvent a line, or give a file of rows " +
			"a name that ends with .csv")
	case more && string(bytes.TrimSpace(first)) == "{":
		return errors.New("an event has several lines; write one event a line, with jq -c . FILE")
	}
	return nil
}

// csvText passes on the text of a CSV file, and fails where package csv would read something else than was meant: at a
// carriage return that alone ends a line, and at a NUL byte.
type csvText struct {
	text     io.Reader
	line     int64 // line is the number of line ends so far.
	quoted   bool  // quoted means inside quotation marks, where a carriage return is part of a value.
	returned bool  // returned means that the last byte was a carriage return outside quotation marks.
}

func (c *csvText) Read(p []byte) (int, error) {
	n, err := c.text.Read(p)
	for i, b := range p[:n] {
		switch {
		case c.returned && b != '\n':
			return i, fmt.Errorf("line %d: %w", c.line+1, errCarriageReturn)
		case b == 0:
			return i, fmt.Errorf("line %d: it holds a NUL byte; save the file as UTF-8", c.line+1)
		case b == '"':
			c.quoted = !c.quoted
		case b == '\n':
			c.line++
		}
		c.returned = b == '\r' && !c.quoted
	}
	return n, err
}
