package realtime

import (
	"encoding/hex"
	"fmt"
	"maps"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/schemas/query"
)

// binsOf returns rows with no value, with one bin and with several.
func binsOf(t testing.TB) *bins {
	t.Helper()
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues([]float64{1, 1, 1, -2, 0, 1e300, 7}, []bool{true, true, true, true, true, true, false})
	column := b.NewArray()
	defer column.Release()
	s := &bins{}
	s.grow(3)
	s.add(column, []int32{0, 1, 2, 3, 4, 5, 6}, []uint32{1, 1, 2, 2, 2, 2, 0})
	return s
}

// TestBinsFormatIsFrozen holds the bytes that snapshots have.
func TestBinsFormatIsFrozen(t *testing.T) {
	t.Parallel()
	const golden = "0000" + "0100" + "0110" + "0200000000000000" +
		"0400" + "bfef" + "0100000000000000" + "0000" + "0100000000000000" + "0110" + "0100000000000000" +
		"0020" + "0100000000000000"
	s := binsOf(t)
	encoded := s.encode(nil)
	if got := hex.EncodeToString(encoded); got != golden {
		t.Fatalf("got %s, want %s", got, golden)
	}
	var read bins
	d := &decoder{payload: encoded}
	read.decode(d, 3)
	if d.err != nil || len(d.payload) > 0 {
		t.Fatalf("%v, %d bytes are left", d.err, len(d.payload))
	}
	if got := binTexts(&read); got != binTexts(s) {
		t.Errorf("read %s, want %s", got, binTexts(s))
	}
}

// TestDamagedBinsAreRejected cuts the bytes short, and writes bins that no writer writes.
func TestDamagedBinsAreRejected(t *testing.T) {
	t.Parallel()
	encoded := binsOf(t).encode(nil)
	damaged := [][]byte{}
	for n := range encoded {
		damaged = append(damaged, encoded[:n])
	}
	for _, text := range []string{
		"0000" + "0000" + "0100" + "0120" + "0100000000000000",                               // beyond the last bin
		"0000" + "0000" + "0100" + "0110" + "0000000000000000",                               // empty
		"0000" + "0000" + "0200" + "0110" + "0100000000000000" + "0110" + "0100000000000000", // twice
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		damaged = append(damaged, raw)
	}
	for _, raw := range damaged {
		d := &decoder{payload: raw}
		new(bins).decode(d, 3)
		if d.err == nil {
			t.Errorf("%x is read", raw)
		}
	}
}

// TestBinsCountTheirMemory compares with what the rows hold.
func TestBinsCountTheirMemory(t *testing.T) {
	t.Parallel()
	s := binsOf(t)
	want := int64(binRowSize*cap(s.rows) + binSketchSize*(cap(s.sketches)-len(s.sketches)))
	for i := range s.sketches {
		want += s.sketches[i].Bytes()
	}
	if got := s.bytes(); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

func binTexts(s *bins) (text string) {
	into := make([]query.Acc, len(s.rows))
	target := make([]int32, len(s.rows))
	for r := range target {
		target[r] = int32(r)
	}
	s.merge(into, target)
	for _, a := range into {
		text += fmt.Sprint(a.N, " ")
		if a.Bins != nil {
			text += fmt.Sprint(maps.Collect(a.Bins.Bins()))
		}
	}
	return text
}
