package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// saveEvery is how often the file of --resume is written.
const saveEvery = time.Second

// journal remembers which rows of files were sent, in the file of --resume. Without one it forgets them.
type journal struct {
	path string

	mu      sync.Mutex
	Version int                  `json:"version"`
	Files   map[string]*sentRows `json:"files"`
	saved   time.Time
}

// journalVersion is the version of the file's format.
const journalVersion = 2

// maxRequests is how many requests of a file may wait for the first of them, so that one that is slow does not let them
// fill the memory.
const maxRequests = 1024

// sentRows are the first rows of a file, all of which were accepted. They end before the first request with a rejected
// row, so that a row which is mended is sent.
type sentRows struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"` // Digest is that of all of them.

	journal  *journal
	requests []*request // requests are those under way and those after the first of them, in order.
	finished map[*request]bool
	slots    chan struct{} // slots has as many elements as there are requests.
	stopped  bool          // stopped means that a row was rejected, and that no later row counts as sent.
}

func openJournal(path string) (*journal, error) {
	j := &journal{path: path, Version: journalVersion, Files: map[string]*sentRows{}}
	if path == "" {
		return j, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, j)
	}
	if j.Files == nil { // The file says null.
		j.Files = map[string]*sentRows{}
	}
	if err == nil && j.Version != journalVersion {
		err = fmt.Errorf("its version is %d, and this program knows %d", j.Version, journalVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("--resume %s: %w; name another file, or remove it to send all rows again", path, err)
	}
	return j, nil
}

// rowsOf returns the rows of a file that were sent.
func (j *journal) rowsOf(name string) *sentRows {
	s := j.Files[name]
	if s == nil {
		s = &sentRows{}
		j.Files[name] = s
	}
	s.journal = j
	s.finished = map[*request]bool{}
	s.slots = make(chan struct{}, maxRequests)
	return s
}

// begin notes a request. The returned function tells that all its events have an outcome. Requests end in any order,
// and rows count as sent when no request before theirs is under way. begin waits while too many requests have ended
// after one that is under way, and fails when ctx ends.
func (s *sentRows) begin(ctx context.Context, q *request) (done func(), err error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.requests = append(s.requests, q)
	return func() {
		s.journal.mu.Lock()
		defer s.journal.mu.Unlock()
		s.finished[q] = true
		q.body = nil // Its place in the order is all that is needed of it.
		q.numbers = nil
		for len(s.requests) > 0 && s.finished[s.requests[0]] {
			first := s.requests[0]
			s.requests = s.requests[1:]
			delete(s.finished, first)
			<-s.slots
			s.stopped = s.stopped || first.rejected
			if first.rows > s.Rows && !s.stopped {
				s.Rows = first.rows
				s.Digest = first.digest.text()
			}
		}
		if time.Since(s.journal.saved) >= saveEvery {
			_ = s.journal.write() // The last write reports what keeps it from working.
		}
	}, nil
}

// save writes the file.
func (j *journal) save() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write()
}

// write replaces the file. mu must be held.
func (j *journal) write() error {
	if j.path == "" {
		return nil
	}
	j.saved = time.Now()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(j)
	if err == nil {
		err = os.WriteFile(j.path+".new", text.Bytes(), 0o600)
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	return nil
}
