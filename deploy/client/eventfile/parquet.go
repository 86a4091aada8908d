package eventfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"recount/schemas/catalog"
)

type parquetFile struct {
	file    *os.File
	reader  parquet.Rows
	total   int64       // total is how many rows the file says it has.
	names   []string    // names are the columns.
	convert []converter // convert has one entry for each column.
	buffer  []parquet.Row
	rows    []parquet.Row // rows are the part of buffer that has been read and not returned.
	done    int64         // done is how many rows have been returned.
	event   event
}

func newParquet(f *os.File, size int64, e event) (p *parquetFile, err error) {
	defer func() { // The library panics on some malformed files.
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed Parquet file: %v", r)
		}
	}()
	pf, err := parquet.OpenFile(f, size)
	if err != nil {
		return nil, err
	}
	p = &parquetFile{file: f, buffer: make([]parquet.Row, 1024), event: e}
	for i, field := range pf.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("column %s is nested; only flat files can be read, so remove the column or flatten "+
				"it", field.Name())
		}
		// The schema begins with its root.
		c, err := newConverter(&pf.Metadata().Schema[i+1], field.Type(), e.mapping.instant(field.Name()))
		if err != nil {
			return nil, fmt.Errorf("column %s %w", field.Name(), err)
		}
		p.names = append(p.names, field.Name())
		p.convert = append(p.convert, c)
	}
	if err := e.mapping.checkColumns(p.names); err != nil {
		return nil, err
	}
	p.reader = parquet.MultiRowGroup(filled(pf.RowGroups())...).Rows()
	p.total = pf.NumRows()
	return p, nil
}

// filled returns the row groups that have rows. Some writers write one without rows and pages, which the library cannot
// read.
func filled(groups []parquet.RowGroup) (out []parquet.RowGroup) {
	for _, g := range groups {
		if g.NumRows() > 0 {
			out = append(out, g)
		}
	}
	return out
}

// instant reports whether an event needs a column as a time in RFC 3339.
func (m Mapping) instant(column string) bool {
	if m.Fields != nil {
		if t, ok := m.Fields.Column(column); ok && t == catalog.Timestamp {
			return true
		}
	}
	return column == m.Time
}

func (p *parquetFile) Next() (line []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed Parquet file near row %d: %v", p.done, r)
		}
	}()
	if len(p.rows) == 0 {
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
	p.event.beginRow()
	for _, v := range p.rows[0] {
		if v.IsNull() {
			continue
		}
		value, err := p.convert[v.Column()](v)
		if err != nil {
			return nil, fmt.Errorf("row %d: column %s %w", p.done+1, p.names[v.Column()], err)
		}
		p.event.addColumn(p.names[v.Column()], value)
	}
	p.rows = p.rows[1:]
	p.done++
	if err := p.event.check(); err != nil {
		return nil, fmt.Errorf("row %d: %w", p.done, err)
	}
	return p.event.json(), nil
}

// fill reads the next rows. It fails when the rows end before the number that the file states: otherwise the rows
// that a damaged file lost would be missing without an error.
func (p *parquetFile) fill() error {
	n, err := p.reader.ReadRows(p.buffer)
	switch {
	case n > 0:
		p.rows = p.buffer[:n]
		return nil
	case err == nil || errors.Is(err, io.EOF) && p.done != p.total:
		return fmt.Errorf("malformed Parquet file: it ends after %d of %d rows", p.done, p.total)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("row %d: %w", p.done, err)
}

func (p *parquetFile) Progress() (int64, int64) { return p.done, p.total }

func (p *parquetFile) Close() error { return errors.Join(p.reader.Close(), p.file.Close()) }
