package eventfile

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
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
	c := &csvFile{file: f, reader: csv.NewReader(f), total: size, event: e}
	c.reader.ReuseRecord = true
	header, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: the first line has to name the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("read the header line: %w", err)
	}
	c.names = append(c.names, header...)
	c.names[0] = strings.TrimPrefix(c.names[0], "\ufeff") // Spreadsheets begin a file with a byte order mark.
	return c, e.mapping.checkColumns(c.names)
}

func (c *csvFile) Next() ([]byte, error) {
	row, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, err // The error of encoding/csv names the line.
	}
	c.event.beginRow()
	for i, text := range row {
		if !utf8.ValidString(text) {
			line, _ := c.reader.FieldPos(i)
			return nil, fmt.Errorf("line %d: column %s is not UTF-8; convert the file", line, c.names[i])
		}
		if text != "" { // An empty cell is a missing field.
			c.event.addColumn(c.names[i], c.value(c.names[i], text))
		}
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
