package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// members reads JSON objects as rows. Each member is a column. The members of an object inside have its path, such as
// user.id.
type members struct {
	objects *Objects
	names   []string
	index   map[string]int
	cells   []Cell
	row     int64
	seen    map[int]int64 // seen is the last row that had a column.
}

func newMembers(objects *Objects) *members {
	return &members{objects: objects, index: map[string]int{}, seen: map[int]int64{}}
}

func (m *members) Columns() []string { return m.names }
func (m *members) Fixed() bool       { return false }
func (m *members) Place() string     { return m.objects.Place() }

func (m *members) Next() ([]Cell, error) {
	object, err := m.objects.Next()
	if err != nil {
		return nil, err
	}
	m.row++
	m.cells = m.cells[:0]
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if !utf8.Valid(object) {
		return nil, &RowError{"not_utf8", errNotUTF8}
	}
	if object[0] != '{' {
		return nil, &RowError{"not_json", errors.New("it is no JSON object")}
	}
	err = m.object(d, "", 0)
	if err == nil {
		_, err = d.Token()
		if err == nil {
			err = errors.New("another value follows the object; write one object a line")
		}
	}
	var row *RowError
	switch {
	case errors.Is(err, io.EOF):
		return m.cells, nil
	case errors.As(err, &row) || errors.Is(err, errColumns):
		return nil, err
	}
	return nil, &RowError{"not_json", err}
}

var errColumns = tooManyColumns()

// object reads an object whose members have the prefix.
func (m *members) object(d *json.Decoder, prefix string, depth int) error {
	if _, err := d.Token(); err != nil {
		return cut(err)
	}
	if depth > maxDepth {
		return &RowError{"too_deep", fmt.Errorf("objects lie in each other more than %d deep", maxDepth)}
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return cut(err)
		}
		name := prefix + key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return cut(err)
		}
		if value[0] == '{' {
			inner := json.NewDecoder(bytes.NewReader(value))
			if err := m.object(inner, name+".", depth+1); err != nil {
				return err
			}
			continue
		}
		if err := m.add(name, value); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return cut(err)
}

// cut tells the end inside an object from the end after it.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// add adds a value that is no object to the row.
func (m *members) add(name string, value json.RawMessage) error {
	i, known := m.index[name]
	if !known {
		if i = len(m.names); i == MaxColumns {
			return errColumns
		}
		m.names = append(m.names, strings.Clone(name))
		m.index[m.names[i]] = i
	}
	if m.seen[i] == m.row {
		return &RowError{"repeated_member", fmt.Errorf("it names %s twice", name)}
	}
	m.seen[i] = m.row
	cell := Cell{Column: i, Text: string(value)}
	switch value[0] {
	case 'n':
		return nil
	case '"':
		cell.Kind = String
		if err := json.Unmarshal(value, &cell.Text); err != nil {
			return err
		}
		if halfPair(cell.Text, value) {
			return &RowError{"not_utf8", fmt.Errorf("%s holds half of a surrogate pair, which is no character", name)}
		}
	case 't', 'f':
		cell.Kind = Bool
	case '[':
		cell.Kind = Other
	default:
		cell.Kind = Number
	}
	m.cells = append(m.cells, cell)
	return nil
}

// halfPair reports whether decoding a string put a replacement character where it holds half of a surrogate pair.
func halfPair(text string, value []byte) bool {
	return strings.ContainsRune(text, utf8.RuneError) && bytes.Contains(bytes.ToLower(value), []byte(`\ud`))
}
