package eventbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/catalog"
)

var flight = &catalog.EventType{Name: "flight.departed", Fields: []catalog.Field{
	{Name: "delay", Type: catalog.Int64}, {Name: "origin", Type: catalog.String},
}}

func record(ids ...string) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, Schema(flight))
	defer b.Release()
	for i, id := range ids {
		k := TenantSourceID.Key(DefaultTenant, "", id)
		b.Field(0).(*array.FixedSizeBinaryBuilder).Append(k[:])
		b.Field(1).(*array.StringBuilder).Append(DefaultTenant)
		b.Field(2).(*array.Uint8Builder).Append(0)
		b.Field(3).(*array.Uint64Builder).Append(uint64(i))
		b.Field(4).(*array.StringBuilder).Append(id)
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(i))
		b.Field(6).(*array.StringBuilder).Append("test")
		b.Field(7).AppendNull()
		b.Field(8).AppendNull()
		b.Field(9).(*array.Int64Builder).Append(int64(i))
		b.Field(10).AppendNull()
	}
	return b.NewRecord()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	frame, err := Append([]byte("prefix"), flight.Name, 3, 42, record("a", "b"), record("c"))
	if err != nil {
		t.Fatal(err)
	}
	h, recs, err := Decode(frame[len("prefix"):])
	if err != nil {
		t.Fatal(err)
	}
	want := Header{Kind: Events, Type: flight.Name, Events: 3, Appended: 42, Bytes: h.Bytes, Generation: 3}
	if h != want {
		t.Errorf("header: got %+v, want %+v", h, want)
	}
	if len(recs) != 2 || recs[1].ID.Value(0) != "c" || recs[0].Field("delay").(*array.Int64).Value(1) != 1 {
		t.Errorf("records: got %v", recs)
	}
}

// TestShare decodes copies of a message at once, and releases what one of them got.
func TestShare(t *testing.T) {
	t.Parallel()
	frame, err := Append(nil, flight.Name, 3, 42, record("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Seq: 7, Frame: frame}.Share()
	var group sync.WaitGroup
	all := make([][]Columns, 4)
	for i := range all {
		group.Go(func() {
			_, all[i], _ = m.Decode()
		})
	}
	group.Wait()
	for i, recs := range all {
		if len(recs) != 1 || recs[0].Rec != all[0][0].Rec || recs[0].ID.Value(1) != "b" {
			t.Fatalf("copy %d: got %v", i, recs)
		}
		if i > 0 {
			recs[0].Rec.Release()
		}
	}
	if got := all[0][0].Field("delay").(*array.Int64).Value(1); got != 1 {
		t.Errorf("after the others were released: got %d", got)
	}
	frame[len(frame)-1] ^= 1
	if _, _, err := (Message{Frame: frame}).Share().Decode(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a flipped bit: got %v, want ErrCorrupt", err)
	}
}

// TestColumnsOfLaterPrograms reads a message with a column that a later program has added. The column is left out,
// unless the message requires it.
func TestColumnsOfLaterPrograms(t *testing.T) {
	t.Parallel()
	r := record("a", "b")
	column := array.NewInt64Data(r.Column(9).Data())
	fields := append(slices.Clone(r.Schema().Fields()), arrow.Field{Name: "_later", Type: arrow.PrimitiveTypes.Int64})
	columns := append(slices.Clone(r.Columns()), column)
	for requires, refused := range map[string]bool{"": false, "_later": true} {
		var m *arrow.Metadata
		if requires != "" {
			meta := arrow.NewMetadata([]string{requiresKey}, []string{requires})
			m = &meta
		}
		frame, err := Append(nil, flight.Name, 3, 42, array.NewRecord(arrow.NewSchema(fields, m), columns, 2))
		if err != nil {
			t.Fatal(err)
		}
		_, recs, err := Decode(frame)
		switch {
		case refused && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "version of recount")):
			t.Errorf("a message that requires a column: got %v, want ErrCorrupt", err)
		case !refused && (err != nil || recs[0].Field("_later") != nil || recs[0].ID.Value(1) != "b" ||
			recs[0].Field("delay").(*array.Int64).Value(1) != 1):
			t.Errorf("a message with a further column: got %v, %v", recs, err)
		}
	}
}

// TestTypesOfLaterPrograms checks that a column is left out whose type this program does not know.
func TestTypesOfLaterPrograms(t *testing.T) {
	t.Parallel()
	r := record("a", "b")
	fields := append(slices.Clone(r.Schema().Fields()), arrow.Field{Name: "_later", Type: arrow.PrimitiveTypes.Int64})
	columns := append(slices.Clone(r.Columns()), array.NewInt64Data(r.Column(9).Data()))
	frame, err := Append(nil, flight.Name, 3, 42, array.NewRecord(arrow.NewSchema(fields, nil), columns, 2))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(frame, []byte("_later")) + len("_later") + 4 // The length of the column is between them.
	if frame[at] != byte(typeInt64) {
		t.Fatalf("the type is %d", frame[at])
	}
	frame[at] = 200
	_, recs, err := Decode(seal(frame, 0))
	if err != nil || recs[0].Field("_later") != nil || recs[0].ID.Value(1) != "b" {
		t.Errorf("got %v, %v", recs, err)
	}
}

// TestForgedObjects forges frames whose columns are within the bound of bytes, but need far more in memory, because
// each of them is an object of its own.
func TestForgedObjects(t *testing.T) {
	t.Parallel()
	frame, err := Append(nil, flight.Name, 3, 42, record("a"))
	if err != nil {
		t.Fatal(err)
	}
	decoded := binary.LittleEndian.Uint32(frame[headerSize1:])
	start := headerSize + len(flight.Name) + 2
	batch := frame[start:]
	forge := func(batches int, batch []byte, decoded uint32) {
		t.Helper()
		f := append(slices.Clone(frame[:start]), bytes.Repeat(batch, batches)...)
		binary.LittleEndian.PutUint32(f[12:], uint32(batches))
		binary.LittleEndian.PutUint32(f[headerSize1:], decoded*uint32(batches))
		if _, _, err := Decode(seal(f, 0)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "columns") {
			t.Errorf("%d batches: got %v, want ErrCorrupt that names the columns", batches, err)
		}
	}
	forge(8000, batch, decoded)
	known := binary.LittleEndian.Uint16(batch[4:])
	wide := slices.Concat(batch, bytes.Repeat([]byte{0, 2, 0, 0, 0, byte(typeBool), byte(allNulls)}, 65_535-int(known)))
	binary.LittleEndian.PutUint16(wide[4:], 65_535)
	forge(2, wide, decoded+65_535-uint32(known))
	fields := make([]arrow.Field, 70_000)
	columns := make([]arrow.Array, len(fields))
	for i := range fields {
		fields[i] = arrow.Field{Name: fmt.Sprint("f", i), Type: arrow.PrimitiveTypes.Int64, Nullable: true}
		columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, fields[i].Type, 1)
	}
	_, err = Append(nil, flight.Name, 3, 42, array.NewRecord(arrow.NewSchema(fields, nil), columns, 1))
	if err == nil || !strings.Contains(err.Error(), "columns") {
		t.Errorf("70,000 columns: got %v, want an error", err)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	h, recs, err := Decode(AppendHeartbeat(nil, 7))
	if err != nil || recs != nil || h != (Header{Appended: 7, Bytes: headerSize}) {
		t.Errorf("got %+v, %v, %v", h, recs, err)
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	frame, err := Append(nil, flight.Name, 3, 42, record("a"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range frame {
		frame[i] ^= 0x10
		if _, _, err := Decode(frame); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: got %v, want ErrCorrupt", i, err)
		}
		frame[i] ^= 0x10
	}
}

func TestKeySeparatesEvents(t *testing.T) {
	seen := map[Key][3]string{}
	for _, e := range [][3]string{{"ab", "", "c"}, {"a", "", "bc"}, {"a", "b", "c"}, {"xy", "", "c"}, {"ab", "", "d"},
		{"ab", "c", ""}, {"", "ab", "c"}, {"a", "bc", ""}, {"", "abc", ""}, {"", "", "abc"}, {"abc", "", ""}} {
		k := TenantSourceID.Key(e[0], e[1], e[2])
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", e, other)
		}
		seen[k] = e
	}
	if TenantID.Key("ab", "", "c") == TenantID.Key("a", "", "bc") {
		t.Error("(ab, c) and (a, bc) have one key")
	}
	if TenantID.Key("a", "one", "1") != TenantID.Key("a", "two", "1") {
		t.Error("the rule tenant,id does not ignore the source")
	}
	if n := testing.AllocsPerRun(100, func() {
		TenantSourceID.Key("default", "a-source-of-usual-length", "an-id-of-usual-length-0123456789")
	}); n != 0 {
		t.Errorf("Key allocates %v times", n)
	}
}

// TestGoldenKeys freezes the keys of both rules: stored events have them.
func TestGoldenKeys(t *testing.T) {
	for rule, want := range map[Identity]string{
		TenantID:       "73662cca750f976a41c215b1ef0b3a5d",
		TenantSourceID: "3cb1811411d54dab8c0e051a15fc0ec4",
	} {
		if got := fmt.Sprintf("%x", rule.Key("acme", "/shops/7", "order-1")); got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
	}
}

// TestForgedLength: a message with a right checksum and a buffer that claims a terabyte
// is refused before memory is asked for.
func TestForgedLength(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/forged-length.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Decode(seal(append([]byte(magic+"\x00\x00\x00\x00"), body...), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

// TestWrongNumberOfEventsIsSaid checks that no error of Decode wraps nil.
func TestWrongNumberOfEventsIsSaid(t *testing.T) {
	t.Parallel()
	frame, err := Append(nil, flight.Name, 3, 42, record("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(frame[12:], 3) // The number of events in the header.
	_, _, err = Decode(seal(frame, 0))
	if want := "corrupt log message: it holds 2 events and its header says 3"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzDecode changes everything after the checksum at will, and makes the checksum right, so that fuzzing reaches
// the code after it.
func FuzzDecode(f *testing.F) {
	frame, err := Append(nil, flight.Name, 3, 42, record("a", "b"), record("c"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame[8:])
	f.Add(manyForms(f)[8:])
	f.Add(AppendHeartbeat(nil, 1)[8:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 0 && body[0] == 1 {
			return // FuzzDecodeStream reads frames of version 1.
		}
		h, recs, err := Decode(seal(append([]byte(magic+"\x00\x00\x00\x00"), body...), 0))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		if n := countEvents(recs); n != h.Events {
			t.Errorf("%d events, header says %d", n, h.Events)
		}
		for _, c := range recs {
			_ = c.Rec.(fmt.Stringer).String() // Every value can be read.
		}
	})
}

// FuzzDecodeStream changes the header of a frame of version 1 at will and cuts its Arrow stream anywhere, and makes
// the checksum right, so that fuzzing reaches the code after it. The stream's own metadata stays as written: the
// Arrow library believes the counts in it, so only the checksum protects the machine's memory from a forged count.
func FuzzDecodeStream(f *testing.F) {
	frame, err := os.ReadFile("testdata/frame1.bin")
	if err != nil {
		f.Fatal(err)
	}
	start := headerSize1 + len(flight.Name)
	f.Add(frame[8:start], uint16(len(frame)-start))
	f.Fuzz(func(t *testing.T, header []byte, cut uint16) {
		if len(header) == 0 || header[0] != 1 {
			return
		}
		b := append([]byte(magic+"\x00\x00\x00\x00"), header...)
		b = seal(append(b, frame[start:start+min(int(cut), len(frame)-start)]...), 0)
		h, recs, err := Decode(b)
		if n := countEvents(recs); err == nil && n != h.Events {
			t.Errorf("%d events, header says %d", n, h.Events)
		}
	})
}

func BenchmarkKey(b *testing.B) {
	for b.Loop() {
		TenantSourceID.Key("default", "a-source-of-usual-length", "an-id-of-usual-length-0123456789")
	}
}
