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
	total   int64
	names   []string
	convert []convert // by column
	rows    []parquet.Row
	at, n   int
	done    int64
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
	p = &parquetFile{file: f, rows: make([]parquet.Row, 1024), event: e}
	for i, field := range pf.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("column %s is nested; only flat files can be read", field.Name())
		}
		// The root comes first.
		c, err := converter(&pf.Metadata().Schema[i+1], field.Type(), e.m.instant(field.Name()))
		if err != nil {
			return nil, fmt.Errorf("column %s %w", field.Name(), err)
		}
		p.names = append(p.names, field.Name())
		p.convert = append(p.convert, c)
	}
	p.reader = parquet.MultiRowGroup(pf.RowGroups()...).Rows()
	p.total = pf.NumRows()
	return p, e.m.checkColumns(p.names)
}

// instant reports whether a column has to be a time with RFC 3339's precision.
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
	if p.at == p.n {
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
	p.event.begin()
	for _, v := range p.rows[p.at] {
		if v.IsNull() {
			continue
		}
		value, err := p.convert[v.Column()](v)
		if err != nil {
			return nil, fmt.Errorf("row %d: column %s %w", p.done+1, p.names[v.Column()], err)
		}
		p.event.put(p.names[v.Column()], value)
	}
	p.at++
	p.done++
	return p.event.json(), nil
}

// fill reads the next rows. The end is where the file said it would be, or an error: rows that a
// damaged file hides would be missing without a word.
func (p *parquetFile) fill() error {
	n, err := p.reader.ReadRows(p.rows)
	switch {
	case n > 0:
		p.at = 0
		p.n = n
		return nil
	case err == nil || errors.Is(err, io.EOF) && p.done != p.total:
		return fmt.Errorf("malformed Parquet file: it ends behind %d of %d rows", p.done, p.total)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("row %d: %w", p.done, err)
}

func (p *parquetFile) Progress() (int64, int64) { return p.done, p.total }

func (p *parquetFile) Close() error { return errors.Join(p.reader.Close(), p.file.Close()) }
