package table

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// csvRows reads CSV.
type csvRows struct {
	reader *csv.Reader
	names  []string
	cells  []Cell
	line   int
	first  []string // first is the first row of a file without a header, until it is returned.
}

func newCSV(t *text, o Options) (rows *csvRows, found string, err error) {
	separator := o.Separator
	if separator == 0 {
		head, err := t.peek()
		if err != nil {
			return nil, "", err
		}
		if separator = separatorOf(head, t.whole); separator != ',' {
			found = "separated by " + separatorNames[separator]
		}
	}
	c := &csvRows{reader: csv.NewReader(&csvText{text: t})}
	c.reader.Comma = separator
	c.reader.ReuseRecord = true
	header, err := c.reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, found, errors.New("the file is empty: the first line has to name the columns")
	case err != nil:
		return nil, found, explainCSV(err)
	case len(header) > MaxColumns:
		return nil, found, tooManyColumns()
	case len(o.Columns) > 0 && len(o.Columns) != len(header):
		return nil, found, fmt.Errorf("--columns gives %d names, and line 1 has %d values", len(o.Columns), len(header))
	case len(o.Columns) > 0:
		c.first = slices.Clone(header)
		c.names = o.Columns
		c.line = 1
	default:
		c.names = slices.Clone(header)
	}
	for i, name := range c.names {
		if !utf8.ValidString(name) {
			return nil, found, fmt.Errorf("line 1: column %d has the name %q, which %w", i+1, name, errNotUTF8)
		}
	}
	return c, found, nil
}

func (c *csvRows) Columns() []string { return c.names }
func (c *csvRows) Fixed() bool       { return true }
func (c *csvRows) Place() string     { return fmt.Sprintf("line %d", c.line) }

func (c *csvRows) Next() ([]Cell, error) {
	row := c.first
	c.first = nil
	if row == nil {
		var err error
		row, err = c.reader.Read()
		if len(row) > 0 {
			c.line, _ = c.reader.FieldPos(0)
		}
		if err != nil {
			return nil, c.explain(err, len(row))
		}
	}
	c.cells = c.cells[:0]
	for i, text := range row {
		if text == "" { // An empty cell is a missing value.
			continue
		}
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%s: column %s %w", c.Place(), c.names[i], errNotUTF8)
		}
		c.cells = append(c.cells, Cell{Column: i, Text: text})
	}
	return c.cells, nil
}

// explain says what to do about an error of package csv. A row with another number of values is refused alone.
func (c *csvRows) explain(err error, values int) error {
	if errors.Is(err, csv.ErrFieldCount) {
		return &RowError{"wrong_columns", fmt.Errorf("it has %d values, and the file has %d columns; put values that "+
			"hold a separator in quotation marks", values, len(c.names))}
	}
	return explainCSV(err)
}

// explainCSV says what to do about an error of package csv. Errors of csvText name the line themselves.
func explainCSV(err error) error {
	var wrong *csv.ParseError
	if !errors.As(err, &wrong) {
		return err
	}
	return fmt.Errorf("line %d: a quotation mark at byte %d does not begin or end a value; put the value in quotation "+
		"marks, and double those inside it", wrong.Line, wrong.Column)
}

// errCarriageReturn continues a sentence that names a line.
var errCarriageReturn = errors.New("a line ends with a carriage return alone; convert the line ends, as in " +
	`tr '\r' '\n'`)

// csvText passes on the text of a CSV file, and fails where package csv would read something else than was meant: at a
// carriage return that alone ends a line, and at a NUL byte. It also fails at a line that is too long for memory.
type csvText struct {
	text     io.Reader
	line     int64 // line is the number of line ends so far.
	size     int   // size is how many bytes the row has so far.
	quoted   bool  // quoted means inside quotation marks, where a carriage return is part of a value.
	returned bool  // returned means that the last byte was a carriage return outside quotation marks.
}

func (c *csvText) Read(p []byte) (int, error) {
	n, err := c.text.Read(p)
	for i, b := range p[:n] {
		c.size++
		switch {
		case c.returned && b != '\n':
			return i, fmt.Errorf("line %d: %w", c.line+1, errCarriageReturn)
		case b == 0:
			return i, fmt.Errorf("line %d: it holds a NUL byte; save the file as UTF-8", c.line+1)
		case b == '"':
			c.quoted = !c.quoted
		case b == '\n':
			c.line++
			if !c.quoted {
				c.size = 0
			}
		case c.size > MaxLine:
			return i, fmt.Errorf("line %d: the row has more than %d bytes; is a quotation mark missing?", c.line+1,
				MaxLine)
		}
		c.returned = b == '\r' && !c.quoted
	}
	return n, err
}
