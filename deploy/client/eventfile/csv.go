package eventfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"recount/schemas/catalog"
)

type csvFile struct {
	file   *os.File
	reader *csv.Reader
	names  []string // names are the columns of the header.
	total  int64
	event  event
}

func newCSV(f *os.File, size int64, e event) (*csvFile, error) {
	text := bufio.NewReader(f)
	if mark, err := text.Peek(len(byteOrderMark)); err == nil && bytes.Equal(mark, byteOrderMark) {
		_, _ = text.Discard(len(mark)) // Spreadsheets begin a file with it. Peek has read it already.
		size -= int64(len(mark))
	}
	c := &csvFile{file: f, reader: csv.NewReader(&csvText{text: text}), total: size, event: e}
	c.reader.ReuseRecord = true
	header, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: the first line has to name the columns")
	}
	if err != nil {
		return nil, explainCSV(err)
	}
	c.names = append(c.names, header...)
	if err := e.mapping.checkColumns(c.names); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	return c, nil
}

// explainCSV says what to do about an error of package csv. Errors of csvText name the line themselves.
func explainCSV(err error) error {
	var wrong *csv.ParseError
	switch {
	case !errors.As(err, &wrong):
		return err
	case errors.Is(err, csv.ErrFieldCount):
		return fmt.Errorf("line %d: it has another number of values than the first line has names; put values that "+
			"hold commas in quotation marks", wrong.StartLine)
	}
	return fmt.Errorf("line %d: a quotation mark at byte %d does not begin or end a value; put the value in quotation "+
		"marks, and double those inside it", wrong.Line, wrong.Column)
}

func (c *csvFile) Next() ([]byte, error) {
	row, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, explainCSV(err)
	}
	c.event.beginRow()
	for i, text := range row {
		if !utf8.ValidString(text) {
			line, _ := c.reader.FieldPos(i)
			return nil, fmt.Errorf("line %d: column %s %w", line, c.names[i], errNotUTF8)
		}
		if text != "" { // An empty cell is a missing field.
			c.event.addColumn(c.names[i], c.value(c.names[i], text))
		}
	}
	if err := c.event.check(); err != nil {
		line, _ := c.reader.FieldPos(0)
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return c.event.json(), nil
}

// value returns text as JSON. A field that is declared as string or timestamp stays text. Any other text that looks
// like a number or a boolean becomes one.
func (c *csvFile) value(name, text string) []byte {
	if t := c.event.mapping.Fields; t != nil {
		if declared, ok := t.Column(name); ok && (declared == catalog.String || declared == catalog.Timestamp) {
			return appendString(nil, text)
		}
	}
	_, err := strconv.ParseFloat(text, 64)
	if err == nil && json.Valid([]byte(text)) || text == "true" || text == "false" {
		return []byte(text)
	}
	return appendString(nil, text)
}

func (c *csvFile) Progress() (int64, int64) { return c.reader.InputOffset(), c.total }
func (c *csvFile) Close() error             { return c.file.Close() }
