package eventfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
)

// The reasons for which a row is refused here.
const (
	reasonTime   = "missing_time"
	reasonID     = "missing_id"
	reasonForm   = "invalid_time"
	reasonColumn = "unknown_column"
)

// rowReader makes events of rows.
type rowReader struct {
	rows    table.Rows
	mapping Mapping
	times   *timeformat.Format
	event   event
	columns []column
	filled  int64 // filled is how many rows became events.
	twice   int64
}

func newRowReader(rows table.Rows, m Mapping, identity string) (*rowReader, error) {
	r := &rowReader{rows: rows, mapping: m, times: m.Times, event: newEvent(m, identity)}
	if r.times == nil {
		var err error
		if r.times, err = timeformat.New("", ""); err != nil {
			return nil, err
		}
	}
	names := rows.Columns()
	if rows.Fixed() {
		if err := m.checkColumns(names); err != nil {
			return nil, err
		}
	}
	r.columns = m.columnsOf(names, 0)
	return r, nil
}

// next returns the event of the next row.
func (r *rowReader) next() ([]byte, error) {
	cells, err := r.rows.Next()
	r.event.beginRow()
	var row *table.RowError
	if errors.As(err, &row) {
		return nil, r.refuse(row.Reason, row.Err)
	}
	if err != nil {
		r.event.row--
		if errors.Is(err, io.EOF) && !r.rows.Fixed() { // Only now all columns are known.
			err = cmp.Or(r.mapping.checkSeen(r.rows.Columns()), err)
		}
		return nil, err
	}
	if names := r.rows.Columns(); len(names) > len(r.columns) { // A JSON object may have members that none had before.
		r.columns = append(r.columns, r.mapping.columnsOf(names, len(r.columns))...)
	}
	for _, cell := range cells {
		if err := r.add(cell); err != nil {
			return nil, err
		}
	}
	if err := r.complete(); err != nil {
		return nil, err
	}
	r.countFilled(cells)
	return r.event.json(), nil
}

// countFilled counts the values of a row that became an event. Those of a refused row would hide missing ones.
func (r *rowReader) countFilled(cells []table.Cell) {
	r.filled++
	for _, cell := range cells {
		if !r.mapping.isNull(cell) {
			r.columns[cell.Column].filled++
		}
	}
}

func (r *rowReader) refuse(reason string, err error) error {
	return &Refused{Place: r.rows.Place(), Reason: reason, Err: err}
}

// add adds a cell to the event.
func (r *rowReader) add(cell table.Cell) error {
	c := &r.columns[cell.Column]
	if c.wrong != nil {
		return r.refuse(reasonColumn, c.wrong)
	}
	if len(r.mapping.ID) == 0 {
		r.event.hash(c, cell)
	}
	if r.mapping.isNull(cell) {
		return nil
	}
	c.observe(cell)
	if c.isTime && len(r.event.time) > 0 || c.isSubject && len(r.event.subject) > 0 {
		return r.refuse(reasonColumn, fmt.Errorf("two columns are named %s; rename one in the file", c.name))
	}
	if c.isTime {
		if err := r.addTime(c, cell); err != nil {
			return err
		}
	}
	if c.isAttribute() || c.sent {
		value, err := r.value(c, cell)
		if err != nil {
			return err
		}
		r.event.addColumn(c, value, cell.Text)
	}
	return nil
}

// isNull reports whether a cell stands for a missing value.
func (m Mapping) isNull(cell table.Cell) bool {
	return (cell.Kind == table.Untyped || cell.Kind == table.String) && slices.Contains(m.Nulls, cell.Text)
}

// addTime reads the event time.
func (r *rowReader) addTime(c *column, cell table.Cell) error {
	rfc, err := r.instant(cell)
	if err != nil {
		return r.refuse(reasonForm, fmt.Errorf("column %s: %q %w", c.name, excerpt(cell.Text), err))
	}
	r.event.time = appendString(r.event.time, rfc)
	return nil
}

// instant reads a cell as a time in RFC 3339.
func (r *rowReader) instant(cell table.Cell) (string, error) {
	switch cell.Kind {
	case table.Instant:
		return cell.Text, nil
	case table.Date:
		date, err := timeOf(cell.Text)
		if err != nil {
			return "", err
		}
		return r.times.Date(date)
	case table.Local:
		wall, err := timeOf(cell.Text)
		if err != nil {
			return "", err
		}
		rfc, twice, err := r.times.Local(wall)
		return rfc, r.count(twice, err)
	case table.Bool, table.Other:
		return "", errors.New("is no time")
	}
	rfc, twice, err := r.times.Parse(cell.Text)
	return rfc, r.count(twice, err)
}

func (r *rowReader) count(twice bool, err error) error {
	if twice {
		r.twice++
	}
	return err
}

// complete fails when the row has no id or no time.
func (r *rowReader) complete() error {
	for i, part := range r.event.ids {
		if part == "" {
			return r.refuse(reasonID, fmt.Errorf("column %s is empty, but --id makes it the id; give every row an id",
				r.mapping.ID[i]))
		}
	}
	if r.mapping.Time != "" && len(r.event.time) == 0 && !r.mapping.AssignTimes {
		return r.refuse(reasonTime, fmt.Errorf("column %s is empty, and without a time the row would count now; fill "+
			"in the time, or say --missing-time now", r.mapping.Time))
	}
	return nil
}

// nulls returns the columns that some rows have no value for.
func (r *rowReader) nulls() (out []Nulls) {
	for i := range r.columns {
		if c := &r.columns[i]; c.filled < r.filled && (c.sent || c.isTime || c.isAttribute()) {
			out = append(out, Nulls{c.name, r.filled - c.filled})
		}
	}
	return out
}

// excerpt bounds a value in a message.
func excerpt(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
