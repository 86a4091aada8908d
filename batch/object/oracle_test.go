package object

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"recount/schemas/eventbatch"
)

// encodeByValues writes the object with the writer of parquet-go, a value at a time.
func encodeByValues(t *Table) ([]byte, error) {
	var e Encoder
	if err := e.load(t); err != nil {
		return nil, err
	}
	rows := orderByTime(e.time.words)
	specs := map[string]spec{}
	schema := parquet.Group{}
	for _, s := range t.columns() {
		specs[s.name] = s
		schema[s.name] = s.node(s.repeats(t.batches, t.rows))
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[any](&out, parquet.NewSchema("event", schema), parquet.Compression(compression),
		parquet.CreatedBy("recount", "1", "0"), parquet.DictionaryMaxBytes(dictionaryLimit),
		parquet.PageBufferSize(rowsPerPage*8), parquet.WriteBufferSize(0),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending(eventbatch.ColTime), parquet.Ascending(ColSeq), parquet.Ascending(ColIndex))))
	fields := w.Schema().Fields()
	values := make([]parquet.Value, rowsPerPage)
	for len(rows) > 0 {
		group := rows[:min(len(rows), rowsPerGroup)]
		for i, writer := range w.ColumnWriters() {
			c, err := e.column(t, specs[fields[i].Name()])
			if err != nil {
				return nil, err
			}
			if err := writeColumn(writer, c, group, values); err != nil {
				return nil, err
			}
		}
		if err := w.Flush(); err != nil {
			return nil, err
		}
		rows = rows[len(group):]
	}
	err := w.Close()
	return out.Bytes(), err
}

// writeColumn writes the rows of a column. values is the memory for a page.
func writeColumn(w *parquet.ColumnWriter, c *column, rows []uint32, values []parquet.Value) error {
	for len(rows) > 0 {
		page := rows[:min(len(rows), rowsPerPage)]
		c.fill(values[:len(page)], page)
		if _, err := w.WriteRowValues(values[:len(page)]); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		rows = rows[len(page):]
	}
	return nil
}

// fill sets values to the Parquet values of the rows. They refer to the bytes of the column.
func (c *column) fill(values []parquet.Value, rows []uint32) {
	switch c.kind {
	case kindString:
		fillEach(values, rows, func(r uint32) parquet.Value { return parquet.ByteArrayValue(c.stringAt(r)) })
	case kindKey:
		fillEach(values, rows, func(r uint32) parquet.Value { return parquet.FixedLenByteArrayValue(c.keyAt(r)) })
	case kindFloat64:
		fillEach(values, rows, func(r uint32) parquet.Value {
			return parquet.DoubleValue(math.Float64frombits(c.words[r]))
		})
	case kindBool:
		fillEach(values, rows, func(r uint32) parquet.Value { return parquet.BooleanValue(c.words[r] != 0) })
	case kindUint8, kindInt32:
		fillEach(values, rows, func(r uint32) parquet.Value { return parquet.Int32Value(int32(c.words[r])) })
	default:
		fillEach(values, rows, func(r uint32) parquet.Value { return parquet.Int64Value(int64(c.words[r])) })
	}
	if c.optional {
		c.setLevels(values, rows)
	}
}

func fillEach(values []parquet.Value, rows []uint32, value func(uint32) parquet.Value) {
	for i, r := range rows {
		values[i] = value(r)
	}
}

// setLevels sets the definition levels: 1 for a value, 0 for a null.
func (c *column) setLevels(values []parquet.Value, rows []uint32) {
	for i, r := range rows {
		if len(c.present) > 0 && !c.present[r] {
			values[i] = parquet.NullValue()
		} else {
			values[i] = values[i].Level(0, 1, 0)
		}
	}
}

// TestWriterMatchesParquetGo compares the bytes of objects with those of parquet-go's own writer.
func TestWriterMatchesParquetGo(t *testing.T) {
	t.Parallel()
	check := func(t interface{ Fatalf(string, ...any) }, e *Encoder, table *Table) {
		got, _, err := e.Encode(table)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		want, err := encodeByValues(table)
		if err != nil {
			t.Fatalf("encode by values: %v", err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes differ from the %d bytes of parquet-go", len(got), len(want))
		}
	}
	var e Encoder
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable(flightType.Name, 2, 3, time.Hour)
		fill(t, table)
		check(t, &e, table)
	})
	check(t, &e, benchTable(t, 3*rowsPerPage+77))
	check(t, &e, benchTable(t, rowsPerGroup+rowsPerPage+5))
	check(t, &e, tableOfLongStrings(t))
	check(t, &e, tableOfEmptyPages(t))
}

// tableOfEmptyPages returns a table with pages in which every id is empty and every extra is null. Other pages come
// before and after them. Every source is empty.
func tableOfEmptyPages(t testing.TB) *Table {
	table := benchTable(t, 5*rowsPerPage)
	for i, b := range table.batches {
		table.batches[i] = replaceColumn(b, eventbatch.ColExtra, func(row int) any {
			if i < 2 || i > 7 {
				return fmt.Sprint(i, row)
			}
			return nil
		})
		table.batches[i] = replaceColumn(table.batches[i], eventbatch.ColSource, func(int) any { return "" })
		if i >= 2 && i <= 7 {
			table.batches[i] = replaceColumn(table.batches[i], eventbatch.ColID, func(int) any { return "" })
		}
	}
	return table
}

// tableOfLongStrings returns a table in which a dictionary passes its limit.
func tableOfLongStrings(t testing.TB) *Table {
	table := benchTable(t, 3*rowsPerPage)
	for i, b := range table.batches {
		table.batches[i] = replaceColumn(b, "origin", func(row int) any {
			if row%2 == 0 {
				return "same"
			}
			return fmt.Sprintf("%06d-%0500d", 8192*i+row, 0)
		})
	}
	return table
}
