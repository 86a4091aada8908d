// Package eventfile reads files of events — NDJSON, CSV, Parquet — as newline-
// delimited CloudEvents, a line at a time, in bounded memory.
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

// Mapping says how the rows of CSV and Parquet files become events. NDJSON files
// hold CloudEvents and need none.
type Mapping struct {
	Type   string // event type of every row
	Source string // CloudEvents source; the file's name when empty
	// column of the id; when empty, a row is identified by file name, number and content (event.identify)
	ID      string
	Time    string             // column of the event time, RFC 3339; none: the server's time
	Subject string             // column of the subject; may be empty
	Fields  *catalog.EventType // declared types, which decide how CSV text is read; nil: guess from the text
}

// Reader reads one file. Next returns one CloudEvent as JSON without a newline,
// valid until the next call, and io.EOF at the end.
type Reader interface {
	Next() ([]byte, error)
	// Progress returns how much of the file has been read, and its size, in the same unit.
	Progress() (done, total int64)
	Close() error
}

// MaxLine is the longest line of an NDJSON file in bytes.
const MaxLine = 4 << 20

// kind is a file's extension, and whether it holds rows, which the mapping makes events.
func kind(path string) (ext string, rows bool) {
	ext = strings.ToLower(filepath.Ext(path))
	return ext, ext == ".csv" || ext == ".parquet"
}

// Check fails when files cannot be read with the mapping, by their names alone, or when rows of two
// of them would get the same id.
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
			return fmt.Errorf("%s and %s have the same name, which identifies their rows: equal ones would count "+
				"once. Name the column of the id with --id, or send each file with a --source of its own", other, path)
		}
		named[name] = path
	}
	return nil
}

// Open opens a file by its extension: .ndjson, .jsonl, .json, .csv or .parquet. Its name is not
// in errors about what it holds.
func Open(path string, m Mapping) (Reader, error) {
	if err := Check([]string{path}, m); err != nil {
		return nil, err
	}
	ext, _ := kind(path)
	e := event{m: m, file: filepath.Base(path)}
	if m.Source == "" {
		e.m.Source = e.file
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
		r = newLines(f, stat.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

type lines struct {
	file  *os.File
	scan  *bufio.Scanner
	done  int64
	total int64
}

func newLines(f *os.File, size int64) *lines {
	l := &lines{file: f, scan: bufio.NewScanner(f), total: size}
	l.scan.Buffer(make([]byte, 64<<10), MaxLine)
	return l
}

func (l *lines) Next() ([]byte, error) {
	for l.scan.Scan() {
		line := l.scan.Bytes()
		l.done += int64(len(line)) + 1
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
	if err := l.scan.Err(); err != nil {
		return nil, fmt.Errorf("byte %d: %w (a line has at most %d bytes)", l.done, err, MaxLine)
	}
	l.done = l.total // Line ends of two bytes were counted as one.
	return nil, io.EOF
}

func (l *lines) Progress() (int64, int64) { return min(l.done, l.total), l.total }
func (l *lines) Close() error             { return l.file.Close() }

// event builds the JSON of one row.
type event struct {
	m      Mapping
	file   string // its name without folders
	row    int64
	id     []byte // JSON of the attributes, empty when the row has none
	time   []byte
	subj   []byte
	data   []byte
	cells  []byte // what identify hashes of the row
	buffer []byte
}

func (e *event) begin() {
	e.row++
	e.id = e.id[:0]
	e.time = e.time[:0]
	e.subj = e.subj[:0]
	e.data = e.data[:0]
	e.cells = e.cells[:0]
}

// put adds a column's value, given as JSON.
func (e *event) put(column string, value []byte) {
	if e.m.ID == "" { // Text and number are one: what a file holds does not depend on what --config declares.
		e.cells = append(appendString(e.cells, column), asString(value)...)
	}
	switch column {
	case e.m.ID:
		e.id = append(e.id, asString(value)...)
	case e.m.Time:
		e.time = append(e.time, value...)
	case e.m.Subject:
		e.subj = append(e.subj, asString(value)...)
	default:
		if len(e.data) > 0 {
			e.data = append(e.data, ',')
		}
		e.data = append(appendString(e.data, column), ':')
		e.data = append(e.data, value...)
	}
}

// identify gives a row an id when no column does. Sending the file again, wherever it lies now, or with
// more rows behind, counts each row once. The hash keeps another file of the same name apart: with the
// number alone its rows would be taken for copies, and lost. Rows that are equal in every column stay
// apart by the number, so a row that is inserted makes those behind it other events: only a column of
// ids can tell those.
func (e *event) identify() {
	h := sha256.New()
	h.Write(appendString(appendString(nil, e.m.Type), e.m.Source))
	h.Write(e.cells)
	e.id = appendString(e.id, fmt.Sprintf("%s#%d#%x", e.file, e.row, h.Sum(nil)[:8]))
}

func (e *event) json() []byte {
	if e.m.ID == "" {
		e.identify()
	}
	b := append(e.buffer[:0], `{"specversion":"1.0","type":`...)
	b = appendString(b, e.m.Type)
	b = appendString(append(b, `,"source":`...), e.m.Source)
	for _, a := range []struct {
		name  string
		value []byte
	}{{"id", e.id}, {"time", e.time}, {"subject", e.subj}} {
		if len(a.value) > 0 {
			b = append(append(append(append(b, `,"`...), a.name...), `":`...), a.value...)
		}
	}
	b = append(append(append(b, `,"data":{`...), e.data...), "}}"...)
	e.buffer = b
	return b
}

// asString makes a JSON string of a JSON scalar.
func asString(v []byte) []byte {
	if len(v) > 0 && v[0] == '"' {
		return v
	}
	return appendString(nil, string(v))
}

func appendString(dst []byte, s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		panic("eventfile: a string does not encode: " + err.Error())
	}
	return append(dst, raw...)
}

// checkColumns fails when a column cannot be a field, or a mapping names one the file
// does not have.
func (m Mapping) checkColumns(columns []string) error {
	for i, name := range columns {
		if name == "" {
			return fmt.Errorf("column %d has no name; every column becomes a field, so name it", i+1)
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
