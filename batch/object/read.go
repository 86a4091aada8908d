package object

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go"

	"recount/schemas/eventbatch"
)

// rowsPerChunk bounds the Arrow records that Read yields. It is one page, so the values of all
// columns are still in the processor's cache when the caller uses them.
const rowsPerChunk = rowsPerPage

// AllColumns stands for all columns of a file, by name, in a list of those that are wanted. No column is called so.
const AllColumns = "*"

// Read yields the rows [from, to) in file order, in Arrow records of at most 16,384 rows. A record
// has the wanted columns that the file has, in the wanted order. A wanted column that is not in the
// record is null in every row. Any column may be wanted, also ColSeq and ColIndex.
//
// A string column is an array.Dictionary of int32 over array.String if the file has a dictionary for
// it, else an array.String. Records that share a dictionary share its Data().Dictionary(), so a
// caller may keep what it has computed for the values. All records of one call share it while the
// object has one row group. Columns.Tenant, Source and Subject are nil for dictionaries: use
// Columns.Field. Records own their memory, unless Lend made the file. An error ends the sequence, and
// wraps ErrMalformed if the object is malformed.
//
// The bytes of a column that [from, to) needs are fetched with one read.
func (f *File) Read(ctx context.Context, columns []string, from, to int64) iter.Seq2[eventbatch.Columns, error] {
	return func(yield func(eventbatch.Columns, error) bool) {
		if from < 0 || to > f.object.Rows || from > to {
			yield(eventbatch.Columns{},
				fmt.Errorf("read %s: rows [%d, %d) of %d", f.object.Key, from, to, f.object.Rows))
			return
		}
		names := f.presentColumns(columns)
		for i, group := range f.file.RowGroups() {
			rows := group.NumRows()
			if from < min(to, rows) && !f.readGroup(ctx, i, names, from, min(to, rows), yield) {
				return
			}
			from = max(from-rows, 0)
			to -= rows
		}
	}
}

// presentColumns returns the wanted columns that the file has, each once.
func (f *File) presentColumns(columns []string) (names []string) {
	if slices.Contains(columns, AllColumns) {
		columns = slices.Sorted(maps.Keys(f.leaves))
	}
	for _, name := range columns {
		if _, ok := f.leaves[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readGroup reads a part of one row group. It returns false to end the reading.
func (f *File) readGroup(ctx context.Context, group int, names []string, from, to int64,
	yield func(eventbatch.Columns, error) bool) bool {
	g, err := f.openGroup(group, names, from, to)
	defer g.close()
	for err == nil && from < to {
		if err = ctx.Err(); err != nil {
			break
		}
		// Chunks end where pages end, so that no chunk needs parts of two pages.
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

// groupReader reads the wanted columns of a row group together.
type groupReader struct {
	key      string
	decoders []*decoder
	names    []string
	schema   *arrow.Schema
}

// openGroup opens the columns of a row group for the rows [from, to).
func (f *File) openGroup(group int, names []string, from, to int64) (g *groupReader, err error) {
	g = &groupReader{key: f.object.Key, names: names}
	defer guard(&err, g.key)
	chunks := f.file.RowGroups()[group].ColumnChunks()
	metadata := f.file.Metadata().RowGroups[group].Columns
	fields := make([]arrow.Field, 0, len(names))
	for _, name := range names {
		l := f.leaves[name]
		d, err := f.openDecoder(chunks[l.index].(*parquet.FileColumnChunk), &metadata[l.index].MetaData, l, from,
			to)
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

// bindColumns is eventbatch.NewColumns for records of the lake. Strings may be dictionaries in them;
// the typed columns are nil then.
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
