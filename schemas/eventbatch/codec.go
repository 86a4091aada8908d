package eventbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Append appends the records, all of one schema and type, to dst as one frame. They were decoded by a generation of the
// catalog, 0 if that is not known. The caller keeps the frame under MaxFrame and MaxEvents; larger is an error.
func Append(dst []byte, eventType string, generation uint64, appended int64, recs ...arrow.Record) ([]byte, error) {
	start := len(dst)
	events := 0
	columns := 0
	for _, r := range recs {
		events += int(r.NumRows())
		columns += int(r.NumCols())
	}
	if events == 0 || events > MaxEvents || len(eventType) > maxType {
		return dst, fmt.Errorf("encode log message: %d events of type %q; a message holds 1 to %d", events, eventType,
			MaxEvents)
	}
	if columns > maxColumns {
		return dst, fmt.Errorf("encode log message: %d columns in all batches; at most %d", columns, maxColumns)
	}
	e := encoder{frame: appendHeader(dst, Header{Kind: Events, Type: eventType, Events: events, Appended: appended,
		Generation: generation})}
	requires := requiredBy(recs[0].Schema())
	e.frame = append(append(e.frame, byte(len(requires))), requires...)
	for _, r := range recs {
		if r.NumRows() == 0 {
			continue
		}
		if err := e.appendBatch(r); err != nil {
			return dst, fmt.Errorf("encode log message: %w", err)
		}
	}
	if size := len(e.frame) - start; size > MaxFrame || e.decoded > maxDecoded {
		return dst, fmt.Errorf("encode log message: %d bytes, %d decoded; at most %d and %d", size, e.decoded, MaxFrame,
			maxDecoded)
	}
	binary.LittleEndian.PutUint32(e.frame[start+headerSize1:], uint32(e.decoded))
	return seal(e.frame, start), nil
}

// Decode checks a frame and returns its header and record batches. The records refer to
// the frame, which must not change any more. A heartbeat has no records. Decode never
// panics: the Arrow library's panics on malformed input become ErrCorrupt.
func Decode(frame []byte) (h Header, recs []Columns, err error) {
	defer func() {
		if p := recover(); p != nil {
			recs = nil
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	h, body, err := readHeader(frame)
	if err != nil || h.Kind == Heartbeat {
		return h, nil, err
	}
	if frame[8] == 1 {
		recs, err = decodeStream(h, body)
	} else {
		recs, err = decodeBatches(h, body, int(binary.LittleEndian.Uint32(frame[headerSize1:])))
	}
	if err != nil {
		return h, nil, err
	}
	if events := countEvents(recs); events != h.Events {
		return h, nil, fmt.Errorf("%w: it holds %d events and its header says %d", ErrCorrupt, events, h.Events)
	}
	return h, recs, nil
}

func countEvents(recs []Columns) int {
	n := 0
	for _, c := range recs {
		n += int(c.Rec.NumRows())
	}
	return n
}

// decodeBatches decodes the batches of a frame, which take so many bytes.
func decodeBatches(h Header, body []byte, size int) (recs []Columns, err error) {
	if size > maxDecoded {
		return nil, fmt.Errorf("%w: its columns take %d bytes; at most %d", ErrCorrupt, size, maxDecoded)
	}
	d := decoder{rest: body, left: size}
	length, err := d.takeBytes(1)
	if err != nil {
		return nil, err
	}
	requires, err := d.takeBytes(int(length[0]))
	if err != nil {
		return nil, err
	}
	if len(requires) > 0 {
		return nil, requiresError(string(requires))
	}
	for events := 0; len(d.rest) > 0 && events < h.Events; {
		rec, err := d.batch()
		if err != nil {
			return nil, err
		}
		events += int(rec.NumRows())
		if recs, err = appendComplete(recs, rec); err != nil {
			return nil, err
		}
	}
	if len(d.rest) > 0 || d.left > 0 && !d.skipped {
		return nil, fmt.Errorf("%w: %d bytes follow its batches, and %d of those that its header says are missing",
			ErrCorrupt, len(d.rest), d.left)
	}
	return recs, nil
}

// appendComplete appends the columns of a record that has all that the log promises.
func appendComplete(recs []Columns, rec arrow.Record) ([]Columns, error) {
	c, err := NewColumns(rec)
	if err != nil {
		return nil, err
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	return append(recs, c), nil
}

// decodeStream decodes the Arrow stream of a frame of version 1.
func decodeStream(h Header, body []byte) (recs []Columns, err error) {
	r, err := ipc.NewReader(bytes.NewReader(body), ipc.WithAllocator(&boundedAllocator{left: 4*len(body) + 1<<20}))
	if err != nil {
		return nil, fmt.Errorf("%w: read its schema: %w", ErrCorrupt, err)
	}
	defer r.Release()
	for r.Next() {
		rec, err := readable(r.Record())
		if err != nil {
			return nil, err
		}
		rec.Retain()
		if recs, err = appendComplete(recs, rec); err != nil {
			return nil, err
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: after %d of %d events: %w", ErrCorrupt, countEvents(recs), h.Events, err)
	}
	return recs, nil
}

// requiresKey is the key in a schema's metadata that names what a reader must know, with commas between the
// names. This program knows none.
const requiresKey = "recount_requires"

// requiredBy returns what a reader of the schema must know.
func requiredBy(s *arrow.Schema) string {
	m := s.Metadata()
	if i := m.FindKey(requiresKey); i >= 0 {
		return m.Values()[i]
	}
	return ""
}

func requiresError(names string) error {
	return fmt.Errorf("%w: it requires %q, which this program does not know; use the version of recount that "+
		"wrote it, or a later one", ErrCorrupt, names)
}

// readable returns the record without the columns that this program does not know: those of a later program,
// whose names begin with an underscore. It refuses a record that requires something.
func readable(rec arrow.Record) (arrow.Record, error) {
	s := rec.Schema()
	if r := requiredBy(s); r != "" {
		return nil, requiresError(r)
	}
	var fields []arrow.Field
	var columns []arrow.Array
	for i, f := range s.Fields() {
		if !strings.HasPrefix(f.Name, "_") || slices.Contains(underscored, f.Name) {
			fields = append(fields, f)
			columns = append(columns, rec.Column(i))
		}
	}
	if len(fields) == rec.Schema().NumFields() {
		return rec, nil
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, rec.NumRows()), nil
}

// Tenants returns how many of a frame's events each tenant sent.
func Tenants(frame []byte) (map[string]int64, error) {
	_, recs, err := Decode(frame)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, c := range recs {
		for i := 0; i < c.Tenant.Len(); {
			from := i
			tenant := c.Tenant.Value(i)
			for i < c.Tenant.Len() && c.Tenant.Value(i) == tenant {
				i++
			}
			out[strings.Clone(tenant)] += int64(i - from) // Not a part of the frame's memory.
		}
		c.Rec.Release()
	}
	return out, nil
}

// boundedAllocator allocates a bounded number of bytes. The Arrow reader believes the
// lengths of buffers, so a forged message of a hundred bytes could ask for terabytes. A valid
// message needs its own size twice, and padding. Beyond the bound the allocator panics,
// which Decode turns into ErrCorrupt.
type boundedAllocator struct{ left int }

// Allocate implements memory.Allocator.
func (a *boundedAllocator) Allocate(size int) []byte {
	a.reserve(size)
	return memory.DefaultAllocator.Allocate(size)
}

// Reallocate implements memory.Allocator.
func (a *boundedAllocator) Reallocate(size int, b []byte) []byte {
	a.reserve(size - len(b))
	return memory.DefaultAllocator.Reallocate(size, b)
}

// Free implements memory.Allocator.
func (a *boundedAllocator) Free(b []byte) { memory.DefaultAllocator.Free(b) }

func (a *boundedAllocator) reserve(size int) {
	if size > a.left {
		panic(fmt.Sprintf("a buffer of %d bytes is more than the message can hold", size))
	}
	a.left -= max(size, 0)
}

// complete checks that every column the log promises is there and without nulls.
func (c Columns) complete() error {
	n := int(c.Rec.NumRows())
	for _, name := range []string{ColKey, ColTenant, ColFlags, ColHash, ColID, ColTime, ColSource} {
		if a := c.Field(name); a == nil || a.Len() != n || a.NullN() > 0 {
			return fmt.Errorf("%w: column %s is missing or has nulls", ErrCorrupt, name)
		}
	}
	return nil
}
