// Package acklog is the file a load client keeps of what the server promised it: the
// witness that "nothing lost, nothing counted twice" is judged by.
//
// The file holds one JSON object a line, appended as outcomes arrive. Events of one run
// are numbered from 0 and event i of run r has the id "r-i", so a line names a range of
// ids in a few bytes and millions of events are judged in a bitmap.
package acklog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Kind says what a line reports.
type Kind string

// The kinds of lines. A range may appear in many lines: retries and duplicates repeat it.
const (
	Acked    Kind = "acked"    // the server promised that the events are durable, but for Rejected
	Rejected Kind = "rejected" // the server refused all of the events for good
	Unknown  Kind = "unknown"  // sent, and no answer: they may or may not count
	Answer   Kind = "answer"   // a query and what was answered (V7)
)

// Line is one outcome. Times are microseconds since 1970 by the client's clock.
//
//	{"kind":"acked","run":"r7","first":500,"count":500,"refused":[503],"receipt":"…","intended":…,"done":…}
//	{"kind":"unknown","run":"r7","first":1000,"count":500,"intended":…,"done":…}
//	{"kind":"answer","intended":…,"done":…,"query":{"view":"hits",…},"response":{"rows":[…],"accuracy":{…}}}
type Line struct {
	Kind     Kind    `json:"kind"`
	Tenant   string  `json:"tenant,omitempty"` // empty is the default tenant
	Run      string  `json:"run,omitempty"`
	First    int64   `json:"first,omitempty"`    // number of the first event
	Count    int64   `json:"count,omitempty"`    // of consecutive events
	Refused  []int64 `json:"refused,omitempty"`  // of an Acked range, the numbers refused for good
	Pending  []int64 `json:"pending,omitempty"`  // of an Acked range, the numbers whose outcome is unknown
	Receipt  string  `json:"receipt,omitempty"`  // as the server gave it
	Intended int64   `json:"intended,omitempty"` // when the schedule wanted the request sent
	Done     int64   `json:"done,omitempty"`     // when its outcome was known

	Query    json.RawMessage `json:"query,omitempty"`    // of an Answer: the body of POST /v1/query
	Response json.RawMessage `json:"response,omitempty"` // of an Answer: the whole body, accuracy included
}

// ID is the id of event number i of a run.
func ID(run string, i int64) string { return run + "-" + strconv.FormatInt(i, 10) }

// ParseID is the reverse of ID; ok is false for an id that no run made.
func ParseID(id string) (run string, i int64, ok bool) {
	at := strings.LastIndexByte(id, '-')
	if at < 1 {
		return "", 0, false
	}
	i, err := strconv.ParseInt(id[at+1:], 10, 64)
	return id[:at], i, err == nil && i >= 0 && ID(id[:at], i) == id
}

// Writer appends lines to a file. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	buf *bufio.Writer
	enc *json.Encoder
}

// NewWriter returns a writer over w, which the caller closes after Flush.
func NewWriter(w io.Writer) *Writer {
	buf := bufio.NewWriterSize(w, 64<<10)
	return &Writer{buf: buf, enc: json.NewEncoder(buf)}
}

// Write appends a line. An error means that the file is no longer a witness.
func (w *Writer) Write(l Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.enc.Encode(l); err != nil {
		return fmt.Errorf("write acknowledgement log: %w", err)
	}
	return nil
}

// Flush hands what was written to the operating system.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Flush()
}

// maxLine is the largest line in bytes: an answer of many rows.
const maxLine = 64 << 20

// Read calls each for every line. A last line without its end, as a client that was
// killed leaves it, is passed over: what it reported was not known to anybody.
func Read(r io.Reader, each func(Line) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		raw, err := readLine(br)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("acknowledgement log, line %d: %w", n, err)
		}
		var l Line
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("acknowledgement log, line %d: %w", n, err)
		}
		if l.Count < 0 || l.First < 0 || l.Kind != Answer && l.Run == "" {
			return fmt.Errorf("acknowledgement log, line %d: %d events from number %d of run %q", n, l.Count, l.First,
				l.Run)
		}
		if err := each(l); err != nil {
			return fmt.Errorf("acknowledgement log, line %d: %w", n, err)
		}
	}
}

// readLine returns a line without its end, or io.EOF where no whole line follows.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxLine:
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
	}
}
