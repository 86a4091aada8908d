package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// answerCell is a value of an answer in CSV. There null is an empty field and the empty text is a pair of quotation
// marks, which package encoding/csv does not tell apart.
type answerCell struct {
	text     string
	isNull   bool
	isOthers bool // it stands for all groups that no row shows
}

// othersName is what a table shows in the row of the others.
const othersName = "(others)"

// String returns the cell as a table shows it: a dash is null, "" is the empty text, and (others) are the groups that
// no row shows. A text that could be taken for one of these, or whose spaces at the ends nobody would see, is in
// quotation marks as in CSV.
func (c answerCell) String() string {
	switch {
	case c.isNull:
		return "-"
	case c.isOthers:
		return othersName
	case c.text == othersName:
		return `"` + othersName + `"`
	}
	return shownText(c.text)
}

// shownText returns a text that is there, as a table shows it.
func shownText(text string) string {
	if text == "" || text == "-" || text[0] == '"' || strings.TrimSpace(text) != text {
		text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return escapeControls(text)
}

// answerTable is an answer in CSV. All rows have as many cells as the header.
type answerTable struct {
	header []string
	rows   [][]answerCell
}

// readAnswer reads an answer in CSV, as RFC 4180 has it.
func readAnswer(body io.Reader) (*answerTable, error) {
	raw, err := io.ReadAll(body)
	if err == nil && len(raw) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	t := &answerTable{}
	for line := 1; len(raw) > 0; line++ {
		var row []answerCell
		if row, raw, err = cutRow(raw); err == nil && t.header != nil && len(row) != len(t.header) {
			err = fmt.Errorf("it has %d cells, and there are %d columns", len(row), len(t.header))
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("read line %d of the answer: %w", line, err)
		case t.header == nil:
			for _, c := range row {
				t.header = append(t.header, c.text)
			}
		default:
			// The server quotes a null that is alone, and nothing else alone is empty.
			row[0].isNull = row[0].isNull || len(row) == 1 && row[0].text == ""
			t.rows = append(t.rows, row)
		}
	}
	t.nameOthers()
	return t, nil
}

// nameOthers replaces the last column, which says of each row whether it is one of the others, by a name in the place
// of their first dimension.
func (t *answerTable) nameOthers() {
	last := len(t.header) - 1
	if t.header[last] != "__others" {
		return
	}
	dimension := 1 + t.column("time")
	for i, row := range t.rows {
		if row[last].text == "true" {
			row[dimension] = answerCell{isOthers: true}
		}
		t.rows[i] = row[:last]
	}
	t.header = t.header[:last]
}

var errQuotes = errors.New("a quotation mark is not closed, or in the middle of a cell")

// cutRow reads one row of CSV and returns what follows it.
func cutRow(raw []byte) (row []answerCell, rest []byte, err error) {
	for {
		var c answerCell
		if c, raw, err = cutCell(raw); err != nil {
			return nil, nil, err
		}
		row = append(row, c)
		switch {
		case len(raw) == 0:
			return row, nil, nil
		case raw[0] == ',':
			raw = raw[1:]
		default:
			return row, bytes.TrimPrefix(bytes.TrimPrefix(raw, []byte("\r")), []byte("\n")), nil
		}
	}
}

// cutCell reads one cell. The rest is empty, or begins with the comma or the end of the line after it.
func cutCell(raw []byte) (c answerCell, rest []byte, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		end := bytes.IndexAny(raw, ",\r\n")
		if end < 0 {
			end = len(raw)
		}
		return answerCell{text: string(raw[:end]), isNull: end == 0}, raw[end:], nil
	}
	var text []byte
	for raw = raw[1:]; ; {
		end := bytes.IndexByte(raw, '"')
		if end < 0 {
			return c, nil, errQuotes
		}
		text = append(text, raw[:end]...)
		if raw = raw[end+1:]; len(raw) == 0 || raw[0] == ',' || raw[0] == '\r' || raw[0] == '\n' {
			return answerCell{text: string(text)}, raw, nil
		}
		if raw[0] != '"' {
			return c, nil, errQuotes
		}
		text = append(text, '"')
		raw = raw[1:]
	}
}

// column returns the place of a column, or -1.
func (t *answerTable) column(name string) int { return slices.Index(t.header, name) }

// shownColumns returns the columns that a table shows: all but empty ones of live parts and bounds.
func (t *answerTable) shownColumns() (columns []int) {
	for i, name := range t.header {
		filled := slices.ContainsFunc(t.rows, func(row []answerCell) bool { return !row[i].isNull })
		if filled || !strings.Contains(name, "__") {
			columns = append(columns, i)
		}
	}
	return columns
}

// print prints aligned columns.
func (t *answerTable) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	columns := t.shownColumns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = escapeControls(t.header[c])
	}
	fmt.Fprintln(w, strings.Join(names, "\t"))
	for _, row := range t.rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = row[c].String()
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printTable prints an answer in CSV in aligned columns.
func printTable(out io.Writer, body io.Reader) error {
	t, err := readAnswer(body)
	if err != nil {
		return err
	}
	return t.print(out)
}
