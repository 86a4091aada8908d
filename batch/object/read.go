package object

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go"

	"recount/schemas/eventbatch"
)

// rowsPerChunk bounds the records Read yields. One page: every column's values are
// then still in the processor's cache when the caller comes to them.
const rowsPerChunk = rowsPerPage

// Read yields the rows [from, to) in file order, in records of at most 16,384 rows
// that have the wanted columns the file has, in the order they are wanted. A column
// that the file does not have is null in every row; its record has no such column. Any
// column may be wanted, ColSeq and ColIndex among them.
//
// A string column is array.Dictionary of int32 over array.String where the file
// keeps it so, else array.String. Records that share a dictionary share its very
// data, Data().Dictionary(), so that what was worked out for its values holds on;
// all records of one call do while the object has one row group. Columns.Tenant,
// Source and Subject are nil for dictionaries: use Columns.Field. Records own their
// memory. Errors wrap ErrMalformed if the object is at fault; an error ends the sequence.
//
// Every column's bytes are fetched with one read of what [from, to) needs of it.
func (f *File) Read(ctx context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		if from < 0 || to > f.object.Rows || from > to {
			yield(eventbatch.Columns{},
				fmt.Errorf("read %s: rows [%d, %d) of %d", f.object.Key, from, to, f.object.Rows))
			return
		}
		names := f.present(columns)
		for i, group := range f.file.RowGroups() {
			rows := group.NumRows()
			if from < min(to, rows) && !f.readGroup(ctx, i, names, from, min(to, rows), yield) {
				return
			}
			from = max(from-rows, 0)
			to = to - rows
		}
	}
}

// present returns those of the wanted columns that the file has, once each.
func (f *File) present(columns []string) (names []string) {
	for _, name := range columns {
		if _, ok := f.leaves[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readGroup reads a part of one row group; it returns false when the reading is over.
func (f *File) readGroup(ctx context.Context, group int, names []string, from, to int64,
	yield func(eventbatch.Columns, error) bool) bool {
	g, err := f.openGroup(group, names, from, to)
	defer g.close()
	for err == nil && from < to {
		if err = ctx.Err(); err != nil {
			break
		}
		// Chunks end where pages do, so that no chunk takes parts of two pages.
		n := min(to-from, rowsPerChunk-from%rowsPerChunk)
		var c eventbatch.Columns
		if c, err = g.next(int(n)); err == nil && !yield(c, nil) {
			return false
		}
		from += n
	}
	if err != nil {
		yield(eventbatch.Columns{}, err)
	}
	return err == nil
}

// groupReader reads the wanted columns of a row group in step.
type groupReader struct {
	key      string
	decoders []*decoder
	names    []string
	schema   *arrow.Schema
}

func (f *File) openGroup(group int, names []string, from, to int64) (g *groupReader, err error) {
	g = &groupReader{key: f.object.Key, names: names}
	defer guard(&err, g.key)
	chunks := f.file.RowGroups()[group].ColumnChunks()
	metas := f.file.Metadata().RowGroups[group].Columns
	fields := make([]arrow.Field, 0, len(names))
	for _, name := range names {
		l := f.leaves[name]
		d, err := f.openDecoder(chunks[l.index].(*parquet.FileColumnChunk), &metas[l.index].MetaData, l, from, to)
		if err != nil {
			return g, fmt.Errorf("read column %s of %s: %w", name, g.key, err)
		}
		g.decoders = append(g.decoders, d)
		fields = append(fields, arrow.Field{Name: name, Type: d.arrowType(), Nullable: l.optional})
	}
	g.schema = arrow.NewSchema(fields, nil)
	return g, nil
}

// next returns the next n rows of every column.
func (g *groupReader) next(n int) (c eventbatch.Columns, err error) {
	defer guard(&err, g.key)
	arrays := make([]arrow.Array, len(g.decoders))
	for i, d := range g.decoders {
		if arrays[i], err = d.next(n); err != nil {
			return c, fmt.Errorf("read column %s of %s: %w: %w", g.names[i], g.key, ErrMalformed, err)
		}
	}
	return bindColumns(array.NewRecord(g.schema, arrays, int64(n))), nil
}

func (g *groupReader) close() {
	for _, d := range g.decoders {
		d.close()
	}
}

// bindColumns is eventbatch.NewColumns for records of the lake, whose strings may be
// dictionaries; the typed columns are nil for those.
func bindColumns(rec arrow.Record) eventbatch.Columns {
	c := eventbatch.Columns{Rec: rec}
	c.Key, _ = c.Field(eventbatch.ColKey).(*array.FixedSizeBinary)
	c.Tenant, _ = c.Field(eventbatch.ColTenant).(*array.String)
	c.Flags, _ = c.Field(eventbatch.ColFlags).(*array.Uint8)
	c.Hash, _ = c.Field(eventbatch.ColHash).(*array.Uint64)
	c.ID, _ = c.Field(eventbatch.ColID).(*array.String)
	c.Time, _ = c.Field(eventbatch.ColTime).(*array.Timestamp)
	c.Source, _ = c.Field(eventbatch.ColSource).(*array.String)
	c.Subject, _ = c.Field(eventbatch.ColSubject).(*array.String)
	c.Extra, _ = c.Field(eventbatch.ColExtra).(*array.String)
	return c
}
