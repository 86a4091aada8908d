// Package eventfile reads files of events (NDJSON, CSV or Parquet) as CloudEvents, one at a time, in bounded memory.
package eventfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount/schemas/catalog"
)

// Mapping says how the rows of CSV and Parquet files become events. NDJSON files hold CloudEvents and need no mapping.
type Mapping struct {
	Type    string // Type is the event type of every row.
	Source  string // Source is the CloudEvents source of every row. Empty means the file's name.
	ID      string // ID names the column of the id. Empty means that event.identify makes the ids.
	Time    string // Time names the column of the event time in RFC 3339. Empty means the server's time.
	Subject string // Subject names the column of the subject. Empty means that events have none.

	// Fields declares the types that CSV text is read as. Nil means that types are guessed from the text.
	Fields *catalog.EventType
}

// Reader reads one file.
type Reader interface {
	// Next returns one CloudEvent as JSON without a newline, valid until the next call. It returns io.EOF at the end.
	Next() ([]byte, error)
	// Progress returns how much of the file has been read, and the file's size in the same unit.
	Progress() (done, total int64)
	Close() error
}

// MaxLine is the longest line of an NDJSON file in bytes.
const MaxLine = 4 << 20

// kind returns a file's extension in lower case, and whether the file holds rows that need a mapping.
func kind(path string) (ext string, rows bool) {
	ext = strings.ToLower(filepath.Ext(path))
	return ext, ext == ".csv" || ext == ".parquet"
}

// Check looks at the names of files without opening them. It fails when a name has an unknown extension, when rows
// have no event type, or when rows of two files would get the same id.
func Check(paths []string, m Mapping) error {
	named := map[string]string{}
	for _, path := range paths {
		ext, rows := kind(path)
		if !rows && !slices.Contains([]string{".ndjson", ".jsonl", ".json"}, ext) {
			return fmt.Errorf("%s: unknown kind of file; use .ndjson, .jsonl, .csv or .parquet", path)
		}
		if !rows {
			continue
		}
		if m.Type == "" {
			return fmt.Errorf("%s: name the event type of its rows with --type", path)
		}
		name := filepath.Base(path)
		if other, ok := named[name]; ok && m.ID == "" {
			return fmt.Errorf("%s and %s have the same name, which identifies their rows: a row that is equal in "+
				"both would count once. Name the column of the id with --id, or send each file with its own --source",
				other, path)
		}
		named[name] = path
	}
	return nil
}

// Open opens a file by its extension: .ndjson, .jsonl, .json, .csv or .parquet. Errors about the file's content do
// not name the file.
func Open(path string, m Mapping) (Reader, error) {
	if err := Check([]string{path}, m); err != nil {
		return nil, err
	}
	ext, _ := kind(path)
	e := event{mapping: m, file: filepath.Base(path)}
	if m.Source == "" {
		e.mapping.Source = e.file
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var r Reader
	switch ext {
	case ".csv":
		r, err = newCSV(f, stat.Size(), e)
	case ".parquet":
		r, err = newParquet(f, stat.Size(), e)
	default:
		r = newNDJSON(f, stat.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

type ndjsonFile struct {
	file    *os.File
	scanner *bufio.Scanner
	done    int64
	total   int64
}

func newNDJSON(file *os.File, size int64) *ndjsonFile {
	f := &ndjsonFile{file: file, scanner: bufio.NewScanner(file), total: size}
	f.scanner.Buffer(make([]byte, 64<<10), MaxLine)
	return f
}

func (f *ndjsonFile) Next() ([]byte, error) {
	for f.scanner.Scan() {
		line := f.scanner.Bytes()
		f.done += int64(len(line)) + 1
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
	if err := f.scanner.Err(); err != nil {
		return nil, fmt.Errorf("byte %d: %w (a line has at most %d bytes)", f.done, err, MaxLine)
	}
	f.done = f.total // Line ends of two bytes were counted as one.
	return nil, io.EOF
}

func (f *ndjsonFile) Progress() (int64, int64) { return min(f.done, f.total), f.total }
func (f *ndjsonFile) Close() error             { return f.file.Close() }

// event builds the JSON of one row.
type event struct {
	mapping Mapping
	file    string // file is the file's name without folders.
	row     int64
	content []byte // content is what identify hashes.
	buffer  []byte

	// The JSON values of the attributes, each empty when the row has none, and the members of data.
	id      []byte
	time    []byte
	subject []byte
	data    []byte
}

// beginRow starts the next row.
func (e *event) beginRow() {
	e.row++
	e.id = e.id[:0]
	e.time = e.time[:0]
	e.subject = e.subject[:0]
	e.data = e.data[:0]
	e.content = e.content[:0]
}

// addColumn adds a column's value, given as JSON.
func (e *event) addColumn(column string, value []byte) {
	if e.mapping.ID == "" { // Numbers are hashed as text, so that an id does not depend on the declared types.
		e.content = append(appendString(e.content, column), asString(value)...)
	}
	switch column {
	case e.mapping.ID:
		e.id = append(e.id, asString(value)...)
	case e.mapping.Time:
		e.time = append(e.time, value...)
	case e.mapping.Subject:
		e.subject = append(e.subject, asString(value)...)
	default:
		if len(e.data) > 0 {
			e.data = append(e.data, ',')
		}
		e.data = append(appendString(e.data, column), ':')
		e.data = append(e.data, value...)
	}
}

// identify makes an id of the file's name, the row's number and a hash of the row's content. The file may be sent
// again from another folder, or with rows appended, and each row counts once. The hash tells apart the rows of
// different files with the same name: with the number alone they would be dropped as duplicates. The number tells
// apart rows of equal content. For that reason an inserted row changes the ids of all rows after it; only a column
// of ids avoids that.
func (e *event) identify() {
	h := sha256.New()
	h.Write(appendString(appendString(nil, e.mapping.Type), e.mapping.Source))
	h.Write(e.content)
	e.id = appendString(e.id, fmt.Sprintf("%s#%d#%x", e.file, e.row, h.Sum(nil)[:8]))
}

// json returns the event, valid until the next call.
func (e *event) json() []byte {
	if e.mapping.ID == "" {
		e.identify()
	}
	b := append(e.buffer[:0], `{"specversion":"1.0","type":`...)
	b = appendString(b, e.mapping.Type)
	b = appendString(append(b, `,"source":`...), e.mapping.Source)
	for _, a := range []struct {
		name  string
		value []byte
	}{{"id", e.id}, {"time", e.time}, {"subject", e.subject}} {
		if len(a.value) > 0 {
			b = append(append(append(append(b, `,"`...), a.name...), `":`...), a.value...)
		}
	}
	b = append(append(append(b, `,"data":{`...), e.data...), "}}"...)
	e.buffer = b
	return b
}

// asString turns a JSON scalar into a JSON string.
func asString(v []byte) []byte {
	if len(v) > 0 && v[0] == '"' {
		return v
	}
	return appendString(nil, string(v))
}

func appendString(dst []byte, s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("eventfile: encode a string as JSON: " + err.Error())
	}
	return append(dst, raw...)
}

// checkColumns fails when a column cannot become a field, or when the mapping names a column that the file does not
// have.
func (m Mapping) checkColumns(columns []string) error {
	for i, name := range columns {
		if name == "" {
			return fmt.Errorf("column %d has no name; name it, because every column becomes a field", i+1)
		}
		if slices.Contains(columns[:i], name) {
			return fmt.Errorf("two columns are named %s; rename one", name)
		}
	}
	for flag, name := range map[string]string{"--id": m.ID, "--time": m.Time, "--subject": m.Subject} {
		if name != "" && !slices.Contains(columns, name) {
			return fmt.Errorf("%s %s: no such column; the file has %s", flag, name, strings.Join(columns, ", "))
		}
	}
	return nil
}
