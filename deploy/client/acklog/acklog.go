// Package acklog reads and writes the acknowledgement log: the file in which a load client records what the server
// promised. "Nothing lost, nothing counted twice" is checked against this file.
//
// The file holds one JSON object a line, appended as outcomes arrive. The events of a run are numbered from 0, and
// event i of run r has the id "r-i". Therefore a line names a range of ids in a few bytes, and a bitmap is enough to
// check millions of events.
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

// The kinds of lines. A range may appear in many lines, because retries and duplicates repeat it.
const (
	Acked    Kind = "acked"    // The server promised that the events are durable, except Refused and Pending.
	Rejected Kind = "rejected" // The server refused all of the events, and sending them again would not help.
	Unknown  Kind = "unknown"  // The events were sent and no answer came, so they may or may not count.
	Answer   Kind = "answer"   // The line holds a query and its answer (V7).
)

// Line is the outcome of one request. Times are microseconds since 1970 by the client's clock.
//
//	{"kind":"acked","run":"r7","first":500,"count":500,"refused":[503],"receipt":"…","intended":…,"done":…}
//	{"kind":"unknown","run":"r7","first":1000,"count":500,"intended":…,"done":…}
//	{"kind":"answer","intended":…,"done":…,"query":{"view":"hits",…},"response":{"rows":[…],"accuracy":{…}}}
type Line struct {
	Kind     Kind    `json:"kind"`
	Tenant   string  `json:"tenant,omitempty"` // Tenant is empty for the default tenant.
	Run      string  `json:"run,omitempty"`
	First    int64   `json:"first,omitempty"`    // First is the number of the first event.
	Count    int64   `json:"count,omitempty"`    // Count is how many consecutive events the line is about.
	Refused  []int64 `json:"refused,omitempty"`  // Refused are the numbers of an Acked range that the server refused.
	Pending  []int64 `json:"pending,omitempty"`  // Pending are the numbers of an Acked range with unknown outcome.
	Receipt  string  `json:"receipt,omitempty"`  // Receipt is the server's, unchanged.
	Intended int64   `json:"intended,omitempty"` // Intended is when the schedule wanted the request to be sent.
	Done     int64   `json:"done,omitempty"`     // Done is when the outcome was known.

	Query    json.RawMessage `json:"query,omitempty"`    // Query is the body of POST /v1/query, for an Answer.
	Response json.RawMessage `json:"response,omitempty"` // Response is the whole body of the answer, with accuracy.
}

// ID returns the id of event number i of a run.
func ID(run string, i int64) string { return run + "-" + strconv.FormatInt(i, 10) }

// ParseID is the reverse of ID. It returns false for an id that ID does not make.
func ParseID(id string) (run string, i int64, ok bool) {
	dash := strings.LastIndexByte(id, '-')
	if dash < 1 {
		return "", 0, false
	}
	i, err := strconv.ParseInt(id[dash+1:], 10, 64)
	return id[:dash], i, err == nil && i >= 0 && ID(id[:dash], i) == id
}

// Writer appends lines to a file. It is safe for concurrent use.
type Writer struct {
	mu      sync.Mutex
	buffer  *bufio.Writer
	encoder *json.Encoder
}

// NewWriter returns a writer to w. The caller calls Flush at the end, and closes w.
func NewWriter(w io.Writer) *Writer {
	buffer := bufio.NewWriterSize(w, 64<<10)
	return &Writer{buffer: buffer, encoder: json.NewEncoder(buffer)}
}

// Write appends a line. After an error the file is incomplete and proves nothing.
func (w *Writer) Write(l Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.encoder.Encode(l); err != nil {
		return fmt.Errorf("write acknowledgement log: %w", err)
	}
	return nil
}

// Flush hands all lines written so far to the operating system.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.Flush()
}

// maxLine is the largest line in bytes. Answers of many rows are the largest lines.
const maxLine = 64 << 20

// Read calls each for every line. It ignores a last line without a line end, which a killed client leaves: the client
// had not finished recording that outcome.
func Read(r io.Reader, each func(Line) error) error {
	reader := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		raw, err := readLine(reader)
		if errors.Is(err, io.EOF) {
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
			return fmt.Errorf("acknowledgement log, line %d: %d events from number %d of run %q; the run must be "+
				"named and no number negative", n, l.Count, l.First,
				l.Run)
		}
		if err := each(l); err != nil {
			return fmt.Errorf("acknowledgement log, line %d: %w", n, err)
		}
	}
}

// readLine returns a line without its end. It returns io.EOF when no whole line follows.
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
			return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
		}
	}
}
