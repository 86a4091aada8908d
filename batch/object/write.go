package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

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

// Encoder encodes tables. It keeps its memory from one table to the next, because the pages of new memory
// cost more time than the columns in them. One goroutine may use it at a time.
type Encoder struct {
	key, flags, hash, time, seq, index column
	other                              column // the column that is being written
	file                               fileWriter
}

// Encode is the Encode of a new Encoder.
func (t *Table) Encode() ([]byte, record.Object, error) { return new(Encoder).Encode(t) }

// Encode returns the rows of the table as a Parquet object, sorted by event time, then position (C2),
// and its entry for the commit record (C3), to which the caller adds the key. The same rows give the
// same bytes. Encode does not change the events of the table.
func (e *Encoder) Encode(t *Table) ([]byte, record.Object, error) {
	if t.rows == 0 {
		return nil, record.Object{}, fmt.Errorf("encode parquet object of %s: no events", t.eventType)
	}
	out, o, err := e.encode(t)
	e.file.forget()
	if err != nil {
		return nil, record.Object{}, fmt.Errorf("encode parquet object of %s: %w", t.eventType, err)
	}
	return out, o, nil
}

func (e *Encoder) encode(t *Table) ([]byte, record.Object, error) {
	if err := t.join(); err != nil {
		return nil, record.Object{}, err
	}
	if err := e.load(t); err != nil {
		return nil, record.Object{}, err
	}
	rows := orderByTime(e.time.words)
	var out bytes.Buffer
	out.Grow(t.rows * 64)
	if err := e.write(&out, t, rows); err != nil {
		return nil, record.Object{}, err
	}
	sum := sha256.Sum256(out.Bytes())
	return out.Bytes(), record.Object{
		Type: t.eventType, Size: int64(out.Len()), SHA256: hex.EncodeToString(sum[:]),
		Digest: e.digest(rows), Rows: int64(t.rows), Schema: t.EventType().SchemaID(), Uniform: !t.mixed,
		Buckets: e.buckets(rows, t.bucket),
	}, nil
}

// load reads the columns that are needed for more than one purpose.
func (e *Encoder) load(t *Table) error {
	for _, s := range baseColumns() {
		if c := e.loaded(s.name); c != nil {
			if err := c.load(s, t); err != nil {
				return err
			}
		}
	}
	e.seq.reset(spec{name: ColSeq, kind: kindInt64}, t.rows)
	e.index.reset(spec{name: ColIndex, kind: kindInt32}, t.rows)
	for _, m := range t.messages {
		e.seq.appendWord(m.seq, int(m.rows))
		for i := range m.rows {
			e.index.words = append(e.index.words, uint64(m.index+i))
		}
	}
	return nil
}

// loaded returns the column that load reads, or nil.
func (e *Encoder) loaded(name string) *column {
	switch name {
	case eventbatch.ColKey:
		return &e.key
	case eventbatch.ColFlags:
		return &e.flags
	case eventbatch.ColHash:
		return &e.hash
	case eventbatch.ColTime:
		return &e.time
	case ColSeq:
		return &e.seq
	case ColIndex:
		return &e.index
	}
	return nil
}

// column returns a column of the table. It is valid until the next call.
func (e *Encoder) column(t *Table, s spec) (*column, error) {
	if c := e.loaded(s.name); c != nil {
		return c, nil
	}
	switch s.name {
	case ColPartition:
		e.other.reset(s, t.rows)
		e.other.appendWord(uint64(t.partition), t.rows)
		return &e.other, nil
	case ColEpoch:
		e.other.reset(s, t.rows)
		e.other.appendWord(uint64(t.epoch), t.rows)
		return &e.other, nil
	}
	return &e.other, e.other.load(s, t)
}

// columns returns the columns of the object.
func (t *Table) columns() []spec {
	out := append(baseColumns(), spec{name: ColSeq, kind: kindInt64}, spec{name: ColIndex, kind: kindInt32},
		spec{name: ColPartition, kind: kindInt32}, spec{name: ColEpoch, kind: kindInt32})
	for name, k := range t.declared {
		out = append(out, spec{name: name, kind: k, optional: true})
	}
	overflows := slices.ContainsFunc(t.batches, func(b eventbatch.Columns) bool {
		return b.Overflow != nil && b.Overflow.NullN() < b.Overflow.Len()
	})
	if !overflows { // The batches of the log lack the column too, because most have no such event.
		out = slices.DeleteFunc(out, func(s spec) bool { return s.name == eventbatch.ColOverflow })
	}
	return out
}

// write writes the columns one after another, a page at a time.
func (e *Encoder) write(out *bytes.Buffer, t *Table, rows []uint32) error {
	specs := map[string]spec{}
	coded := map[string]bool{}
	schema := parquet.Group{}
	for _, s := range t.columns() {
		specs[s.name] = s
		coded[s.name] = s.repeats(t.batches, t.rows)
		schema[s.name] = s.node(coded[s.name])
	}
	e.file.reset(out, parquet.NewSchema("event", schema))
	for len(rows) > 0 {
		group := rows[:min(len(rows), rowsPerGroup)]
		e.file.beginGroup(len(group))
		for _, f := range e.file.fields {
			c, err := e.column(t, specs[f.Name()])
			if err != nil {
				return err
			}
			if err := e.file.writeChunk(c, group, coded[f.Name()]); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
		}
		rows = rows[len(group):]
	}
	return e.file.close(eventbatch.ColTime, ColSeq, ColIndex)
}

// node returns the Parquet column, with a dictionary if its values repeat. Other strings are plain.
// The default of parquet-go for them is DELTA_LENGTH_BYTE_ARRAY. Spark 3.5.3 silently read wrong
// values from such pages, after the first vector of rows (SPARK-52240).
func (s spec) node(repeats bool) parquet.Node {
	n := s.kind.node()
	switch {
	case repeats:
		n = parquet.Encoded(n, &parquet.RLEDictionary)
	case s.kind == kindString:
		n = parquet.Encoded(n, &parquet.Plain)
	}
	if s.optional {
		n = parquet.Optional(n)
	}
	return n
}

// digest returns the logical digest of the rows in file order (C8); doc.go describes it. The key
// represents the id, because it is a cryptographic hash of it.
func (e *Encoder) digest(rows []uint32) string {
	h := sha256.New()
	encoded := make([]byte, 0, 36*1024)
	for _, r := range rows {
		encoded = binary.LittleEndian.AppendUint64(encoded, e.seq.words[r])
		encoded = binary.LittleEndian.AppendUint32(encoded, uint32(e.index.words[r]))
		encoded = append(encoded, e.key.keyAt(r)...)
		encoded = binary.LittleEndian.AppendUint64(encoded, e.hash.words[r])
		if len(encoded) == cap(encoded) {
			h.Write(encoded)
			encoded = encoded[:0]
		}
	}
	h.Write(encoded)
	return hex.EncodeToString(h.Sum(nil))
}

// buckets returns the run of rows of each bucket, in file order, so that buckets ascend.
func (e *Encoder) buckets(rows []uint32, width time.Duration) []record.BucketRows {
	var runs []record.BucketRows
	times := e.time.words
	flags := e.flags.words
	end := int64(0)
	for _, r := range rows {
		at := int64(times[r])
		if len(runs) == 0 || at >= end {
			start := window.Floor(at, width)
			end = start + width.Microseconds()
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
