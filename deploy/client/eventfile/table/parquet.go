package table

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetRows reads a Parquet file. A member of a group is a column with its path as name, such as user.id.
type parquetRows struct {
	reader  parquet.Rows
	total   int64         // total is how many rows the file says it has.
	names   []string      // names are the columns that are read.
	columns []int         // columns has one entry for each leaf of the schema: an index in names, or -1.
	convert []converter   // convert has one entry for each leaf of the schema.
	buffer  []parquet.Row // buffer is what one read fills.
	rows    []parquet.Row // rows are the part of buffer that has been read and not returned.
	done    int64         // done is how many rows have been returned.
	cells   []Cell
}

// readRows is how many rows one read returns at most.
const readRows = 1024

func newParquet(at io.ReaderAt, size int64, o Options) (p *parquetRows, err error) {
	defer func() { // The library panics on some malformed files.
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed Parquet file: %v", r)
		}
	}()
	f, err := parquet.OpenFile(at, size)
	if err != nil {
		return nil, err
	}
	p = &parquetRows{buffer: make([]parquet.Row, readRows)}
	if err := p.addColumns(f, o.Ignore); err != nil {
		return nil, err
	}
	p.reader = parquet.MultiRowGroup(filled(f.RowGroups())...).Rows()
	p.total = f.NumRows()
	return p, nil
}

// addColumns chooses a converter for each leaf of the schema.
func (p *parquetRows) addColumns(f *parquet.File, ignore []string) error {
	paths := f.Schema().Columns()
	elements := leaves(f.Metadata().Schema)
	if len(paths) > MaxColumns {
		return tooManyColumns()
	}
	if len(paths) != len(elements) {
		return fmt.Errorf("malformed Parquet file: its schema has %d leaves and %d columns", len(elements), len(paths))
	}
	for i, path := range paths {
		name := strings.Join(path, ".")
		c, err := converterOf(f, path, elements[i])
		if err != nil && Ignored(ignore, name) {
			p.columns = append(p.columns, -1)
			p.convert = append(p.convert, nil)
			continue
		}
		if err != nil {
			return fmt.Errorf("column %s %w; leave it out with --ignore %s", name, err, name)
		}
		p.columns = append(p.columns, len(p.names))
		p.names = append(p.names, name)
		p.convert = append(p.convert, c)
	}
	return nil
}

func converterOf(f *parquet.File, path []string, e *format.SchemaElement) (converter, error) {
	leaf, ok := f.Schema().Lookup(path...)
	if !ok || leaf.MaxRepetitionLevel > 0 {
		return nil, errors.New("is a list or a map, which a field cannot hold")
	}
	return newConverter(e, leaf.Node.Type())
}

// Ignored reports whether a column, or the group that holds it, is in the list.
func Ignored(ignore []string, name string) bool {
	return slices.ContainsFunc(ignore, func(i string) bool { return i == name || strings.HasPrefix(name, i+".") })
}

// leaves returns the elements of a schema that are columns.
func leaves(schema []format.SchemaElement) (out []*format.SchemaElement) {
	for i := range schema {
		if schema[i].Type.Valid {
			out = append(out, &schema[i])
		}
	}
	return out
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

func (p *parquetRows) Columns() []string { return p.names }
func (p *parquetRows) Fixed() bool       { return true }
func (p *parquetRows) Place() string     { return fmt.Sprintf("row %d", p.done) }

func (p *parquetRows) Next() (cells []Cell, err error) {
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
	row := p.rows[0]
	p.rows = p.rows[1:]
	p.done++
	p.cells = p.cells[:0]
	for _, v := range row {
		column := p.columns[v.Column()]
		if v.IsNull() || column < 0 {
			continue
		}
		kind, text, err := p.convert[v.Column()](v)
		if err != nil {
			return nil, &RowError{"invalid_value", fmt.Errorf("column %s %w", p.names[column], err)}
		}
		p.cells = append(p.cells, Cell{Column: column, Kind: kind, Text: text})
	}
	return p.cells, nil
}

// fill reads the next rows. It fails when the rows end before the number that the file states: otherwise the rows
// that a damaged file lost would be missing without an error.
func (p *parquetRows) fill() error {
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
