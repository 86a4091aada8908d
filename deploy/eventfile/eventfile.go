// Package eventfile reads files of events — NDJSON, CSV, Parquet — as newline-
// delimited CloudEvents, a line at a time, in bounded memory.
package eventfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/catalog"
)

// Mapping says how the rows of CSV and Parquet files become events. NDJSON files
// hold CloudEvents and need none.
type Mapping struct {
	Type    string             // event type of every row
	Source  string             // CloudEvents source; the file's name when empty
	ID      string             // column of the id; file name and row number when empty, so that sending the file again counts once
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

// Open opens a file by its extension: .ndjson, .jsonl, .json, .csv or .parquet.
func Open(path string, m Mapping) (Reader, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if m.Type == "" && (ext == ".csv" || ext == ".parquet") {
		return nil, fmt.Errorf("%s: name the event type of its rows with --type", path)
	}
	if m.Source == "" {
		m.Source = filepath.Base(path)
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
	case ".ndjson", ".jsonl", ".json":
		r = newLines(f, stat.Size())
	case ".csv":
		r, err = newCSV(f, stat.Size(), m)
	case ".parquet":
		r, err = newParquet(f, stat.Size(), m)
	default:
		err = errors.New("unknown kind of file; use .ndjson, .jsonl, .csv or .parquet")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
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
	row    int64
	id     []byte // JSON of the attributes, empty when the row has none
	time   []byte
	subj   []byte
	data   []byte
	buffer []byte
}

func (e *event) begin() {
	e.row++
	e.id, e.time, e.subj, e.data = e.id[:0], e.time[:0], e.subj[:0], e.data[:0]
}

// put adds a column's value, given as JSON.
func (e *event) put(column string, value []byte) {
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

func (e *event) json() []byte {
	if e.m.ID == "" {
		e.id = appendString(e.id, e.m.Source+"#"+strconv.FormatInt(e.row, 10))
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
