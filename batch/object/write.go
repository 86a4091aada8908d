package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/schemas/window"
)

const (
	// rowsPerPage is the number of rows of every page of every column. All columns break at the
	// same rows. So the offset index finds the rows of a bucket in each column, and at most one page
	// too much is decoded at either end. Measured on 1 M flights and one core: two number columns
	// read at 75 M rows/s, and a bucket of 1,000 rows in 0.2 ms. Pages of 65,536 rows give 100 M
	// rows/s but 0.6 ms a bucket. Pages of 4,096 rows give 0.1 ms a bucket, but 20 % less on views
	// with strings.
	rowsPerPage = 16384
	// rowsPerGroup bounds a row group. A segment of the default cut rule is one row group, so that
	// all rows of the object have the same dictionaries.
	rowsPerGroup = 1 << 20
	// dictionaryLimit is the size in bytes at which a dictionary costs more than it saves. The pages
	// after it are plain.
	dictionaryLimit = 4 << 20
)

// compression is the codec of every column. It costs no time, because fewer bytes are written and
// read, and it saves about two thirds of the space.
var compression = &zstd.Codec{Level: zstd.SpeedFastest}

// Encode returns the rows of the table as a Parquet object, sorted by event time, then position (C2),
// and its entry for the commit record (C3), to which the caller adds the key. The same rows give the
// same bytes. Encode does not change the table.
func (t *Table) Encode() ([]byte, record.Object, error) {
	if t.rows == 0 {
		return nil, record.Object{}, fmt.Errorf("encode parquet object of %s: no events", t.eventType)
	}
	rows := orderByTime(t.base[colTime].words)
	var out bytes.Buffer
	out.Grow(t.rows * 64)
	if err := t.write(&out, rows); err != nil {
		return nil, record.Object{}, fmt.Errorf("encode parquet object of %s: %w", t.eventType, err)
	}
	sum := sha256.Sum256(out.Bytes())
	return out.Bytes(), record.Object{
		Type: t.eventType, Size: int64(out.Len()), SHA256: hex.EncodeToString(sum[:]),
		Digest: t.digest(rows), Rows: int64(t.rows), Schema: t.EventType().SchemaID(), Uniform: !t.mixed,
		Buckets: t.buckets(rows),
	}, nil
}

// write writes the columns one after another, a page at a time. It passes values and no row structs,
// because a column writer of parquet-go accepts only values. This costs about 20 ns a value, with
// encoding and compression.
func (t *Table) write(out *bytes.Buffer, rows []uint32) error {
	columns := map[string]*column{}
	schema := parquet.Group{}
	for _, c := range append(t.columns(), t.constants()...) {
		if c.name == eventbatch.ColOverflow && c.empty() {
			continue // The batches of the log lack it too, because most have no such event.
		}
		columns[c.name] = c
		schema[c.name] = c.node()
	}
	w := parquet.NewGenericWriter[any](out, parquet.NewSchema("event", schema), parquet.Compression(compression),
		parquet.CreatedBy("recount", "1", "0"), parquet.DictionaryMaxBytes(dictionaryLimit),
		parquet.PageBufferSize(rowsPerPage*8), parquet.WriteBufferSize(0),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending(eventbatch.ColTime), parquet.Ascending(ColSeq), parquet.Ascending(ColIndex))))
	fields := w.Schema().Fields()
	values := make([]parquet.Value, min(len(rows), rowsPerPage))
	for len(rows) > 0 {
		group := rows[:min(len(rows), rowsPerGroup)]
		for i, writer := range w.ColumnWriters() {
			if err := writeColumn(writer, columns[fields[i].Name()], group, values); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		rows = rows[len(group):]
	}
	return w.Close()
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

// node returns the Parquet column, with a dictionary if its values repeat. Other strings are plain.
// The default of parquet-go for them is DELTA_LENGTH_BYTE_ARRAY. Spark 3.5.3 silently read wrong
// values from such pages, after the first vector of rows (SPARK-52240).
func (c *column) node() parquet.Node {
	n := c.kind.node()
	switch {
	case c.repeats():
		n = parquet.Encoded(n, &parquet.RLEDictionary)
	case c.kind == kindString:
		n = parquet.Encoded(n, &parquet.Plain)
	}
	if c.optional {
		n = parquet.Optional(n)
	}
	return n
}

// constants returns the columns that have the same value in every row of the object. With them the
// lake can be read without its commit records.
func (t *Table) constants() []*column {
	partition := &column{name: ColPartition, kind: kindInt32, rows: t.rows, words: make([]uint64, t.rows)}
	epoch := &column{name: ColEpoch, kind: kindInt32, rows: t.rows, words: make([]uint64, t.rows)}
	for i := range t.rows {
		partition.words[i] = uint64(t.partition)
		epoch.words[i] = uint64(t.epoch)
	}
	return []*column{partition, epoch}
}

// digest returns the logical digest of the rows in file order (C8); doc.go describes it. The key
// represents the id, because it is a cryptographic hash of it.
func (t *Table) digest(rows []uint32) string {
	h := sha256.New()
	encoded := make([]byte, 0, 36*1024)
	key := t.base[colKey]
	hash := t.base[colHash].words
	for _, r := range rows {
		encoded = binary.LittleEndian.AppendUint64(encoded, t.seq.words[r])
		encoded = binary.LittleEndian.AppendUint32(encoded, uint32(t.index.words[r]))
		encoded = append(encoded, key.keyAt(r)...)
		encoded = binary.LittleEndian.AppendUint64(encoded, hash[r])
		if len(encoded) == cap(encoded) {
			h.Write(encoded)
			encoded = encoded[:0]
		}
	}
	h.Write(encoded)
	return hex.EncodeToString(h.Sum(nil))
}

// buckets returns the run of rows of each bucket, in file order, so that buckets ascend.
func (t *Table) buckets(rows []uint32) []record.BucketRows {
	var runs []record.BucketRows
	times := t.base[colTime].words
	flags := t.base[colFlags].words
	end := int64(0)
	for _, r := range rows {
		at := int64(times[r])
		if len(runs) == 0 || at >= end {
			start := window.Floor(at, t.bucket)
			end = start + t.bucket.Microseconds()
			runs = append(runs, record.BucketRows{Bucket: start})
		}
		run := &runs[len(runs)-1]
		run.Rows++
		if uint8(flags[r])&eventbatch.FlagTimeAssigned != 0 {
			run.Assigned++
		}
	}
	return runs
}

// Tenants returns how many of the table's events each tenant sent.
func (t *Table) Tenants() map[string]int64 {
	out := map[string]int64{}
	tenants := t.base[colTenant]
	last := ""
	n := int64(0)
	for r := range uint32(t.rows) {
		if s := tenants.stringAt(r); string(s) != last {
			out[last] += n
			last = string(s)
			n = 0
		}
		n++
	}
	out[last] += n
	if out[""] == 0 {
		delete(out, "")
	}
	return out
}
