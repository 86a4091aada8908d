// Package eventfile reads files as CloudEvents, one at a time, in bounded memory. A file holds events already, as JSON,
// or it holds rows that a Mapping makes events of. Package input finds its bytes, package table its rows, and package
// timeformat reads its times.
package eventfile

import (
	"encoding/json"
	"errors"
	"fmt"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
)

// Mapping says how rows become events. Columns have the names that Rename gives them, except in Rename and Ignore.
type Mapping struct {
	Type    string   // Type is the event type of every row.
	Source  string   // Source is the CloudEvents source of every row. Empty means what newEvent says.
	ID      []string // ID names the columns of the id. None means that event.identify makes the ids.
	Time    string   // Time names the column of the event time. Empty means the server's time.
	Subject string   // Subject names the column of the subject. Empty means that events have none.

	// Fields are the declared fields of the event type, or those of them that are known. Text is read as their types,
	// and the types of other columns are guessed from the text.
	Fields *catalog.EventType

	Rename      map[string]string  // Rename gives columns of the file other names.
	Ignore      []string           // Ignore are columns of the file that are not sent.
	Extra       Extra              // Extra says what becomes of columns that are no field.
	Nulls       []string           // Nulls are the texts that stand for a missing value, beside the empty one.
	Times       *timeformat.Format // Times reads the event time. Nil reads times with a zone.
	AssignTimes bool               // AssignTimes lets rows without a time count at the time of sending.
	Table       table.Options
}

// Extra says what becomes of columns that are no field of the event type.
type Extra string

// The choices. The empty one is RefuseExtra.
const (
	RefuseExtra Extra = "refuse"
	KeepExtra   Extra = "keep"   // KeepExtra sends them. They count when a field is declared.
	IgnoreExtra Extra = "ignore" // IgnoreExtra does not send them.
)

// Reader reads the events of one file.
type Reader struct {
	Found []string // Found says what was found out about the file, such as "separated by tabs".
	Rows  bool     // Rows means that the file holds rows and not events.

	file    *table.File
	rows    *rowReader // rows is nil for a file of events.
	queue   []result   // queue holds what Probe has read.
	read    int64
	refused map[string]int64
}

// result is what one call of Next returns.
type result struct {
	event []byte
	err   error
}

// Refused is the error of a row that cannot become an event. The rows after it can be read.
type Refused struct {
	Place  string // Place is where the row is, such as "line 7".
	Reason string // Reason is the same for all rows of one mistake, such as missing_time.
	Err    error
}

func (r *Refused) Error() string { return r.Place + ": " + r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// Open opens a file. Errors about its content do not name the file.
func Open(f input.File, m Mapping) (*Reader, error) {
	content, err := f.Open()
	if err != nil {
		return nil, err
	}
	m.Table.Ignore = m.Ignore
	opened, err := table.Open(f.Name, content, m.Table)
	if err != nil {
		return nil, err
	}
	r := &Reader{file: opened, refused: map[string]int64{}}
	if err := r.open(f, m); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return r, nil
}

func (r *Reader) open(f input.File, m Mapping) error {
	defer func() { r.Found = r.file.Found }()
	if r.Rows = r.file.Format != table.JSON || m.Type != "" && !isEvent(r.file.Objects().Peek()); !r.Rows {
		return nil
	}
	switch {
	case m.Type == "":
		return errors.New("name the event type of its rows with --type")
	case f.Identity == "" && len(m.ID) == 0 && m.Source == "":
		return fmt.Errorf("%s has no name, which would be a part of the ids of its rows: name the columns of the id "+
			"with --id, or what is sent with --source", f.Name)
	}
	rows, err := r.file.Rows()
	if err != nil {
		return err
	}
	r.rows, err = newRowReader(rows, m, f.Identity)
	if err != nil && r.file.Format == table.CSV {
		return fmt.Errorf("line 1: %w", err)
	}
	return err
}

// isEvent reports whether an object is a CloudEvent and no row.
func isEvent(object []byte) bool {
	var e struct{ Specversion *string }
	return json.Unmarshal(object, &e) == nil && e.Specversion != nil
}

// Next returns one CloudEvent as JSON without a newline, valid until the next call. It returns io.EOF at the end.
// After a *Refused it can be called again.
func (r *Reader) Next() ([]byte, error) {
	if len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		return next.event, next.err
	}
	return r.next()
}

func (r *Reader) next() (event []byte, err error) {
	if r.rows == nil {
		event, err = r.file.Objects().Next()
	} else {
		event, err = r.rows.next()
	}
	var refused *Refused
	switch {
	case err == nil:
		r.read++
	case errors.As(err, &refused):
		r.read++
		r.refused[refused.Reason]++
	}
	return event, err
}

// The most that Probe reads and keeps.
const (
	probeRows  = 1000
	probeBytes = 8 << 20
)

// Probe reads the first rows and keeps them for Next. It fails when they show that the file was not meant to be read
// like this, so that nothing of it need be sent.
func (r *Reader) Probe() error {
	size := 0
	refused := 0
	var first error
	for len(r.queue) < probeRows && size < probeBytes {
		event, err := r.next()
		var row *Refused
		switch {
		case errors.As(err, &row) && row.Reason == reasonColumn:
			return err
		case errors.As(err, &row):
			if refused++; first == nil {
				first = err
			}
		case errors.Is(err, errNoColumn):
			return err
		case err != nil:
			r.queue = append(r.queue, result{err: err})
			return r.conclude(refused, first)
		}
		size += len(event)
		r.queue = append(r.queue, result{append([]byte(nil), event...), err})
	}
	return r.conclude(refused, first)
}

// conclude judges the rows that Probe has read.
func (r *Reader) conclude(refused int, first error) error {
	if r.rows == nil {
		return nil
	}
	if err := r.rows.suspects(); err != nil {
		return err
	}
	if refused > 0 && refused == int(r.read) {
		return fmt.Errorf("%w (no row of the first %d can be sent)", first, refused)
	}
	return nil
}

// Tally is what became of the rows that were read.
type Tally struct {
	Read    int64            // Read is how many rows or events were read.
	Refused map[string]int64 // Refused counts the rows that were refused here, by reason.
	Nulls   []Nulls          // Nulls are the columns that some rows have no value for.
	Twice   int64            // Twice counts local times that clocks showed twice, and that were read as the first.
}

// Nulls are the rows without a value in a column.
type Nulls struct {
	Column string
	Rows   int64
}

// Tally returns the numbers of what was read so far.
func (r *Reader) Tally() Tally {
	t := Tally{Read: r.read, Refused: r.refused}
	if r.rows != nil {
		t.Nulls = r.rows.nulls()
		t.Twice = r.rows.twice
	}
	return t
}

// Progress returns how much of the file has been read, and its size in the same unit, or 0 when that is not known.
func (r *Reader) Progress() (done, total int64) { return r.file.Progress() }

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
