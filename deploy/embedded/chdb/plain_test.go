package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// plainValues draw a value of each type that recodePlain knows.
var plainValues = map[column.Type]func(t *rapid.T) any{
	"UInt8":    func(t *rapid.T) any { return rapid.Uint8().Draw(t, "v") },
	"Bool":     func(t *rapid.T) any { return rapid.Bool().Draw(t, "v") },
	"Int32":    func(t *rapid.T) any { return rapid.Int32().Draw(t, "v") },
	"UInt64":   func(t *rapid.T) any { return rapid.Uint64().Draw(t, "v") },
	"Float64":  func(t *rapid.T) any { return rapid.Float64().Draw(t, "v") },
	"Int128":   func(t *rapid.T) any { return big.NewInt(rapid.Int64().Draw(t, "v")) },
	"Int256":   func(t *rapid.T) any { return big.NewInt(rapid.Int64().Draw(t, "v")) },
	"DateTime": func(t *rapid.T) any { return time.Unix(rapid.Int64Range(0, 1<<31).Draw(t, "v"), 0).UTC() },
	"DateTime64(6, 'UTC')": func(t *rapid.T) any {
		return time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "v")).UTC()
	},
	"String":                           drawText,
	"LowCardinality(String)":           drawText,
	"LowCardinality(Nullable(String))": drawTextOrNull,
	"Nullable(String)":                 drawTextOrNull,
	"Nullable(Int64)": func(t *rapid.T) any {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		return rapid.Int64().Draw(t, "v")
	},
}

var equalInts = cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 })

func drawText(t *rapid.T) any {
	return rapid.OneOf(rapid.String(), rapid.StringN(200, 300, -1)).Draw(t, "v")
}

func drawTextOrNull(t *rapid.T) any {
	if rapid.Bool().Draw(t, "null") {
		return nil
	}
	return drawText(t)
}

// TestPlainBlocks recodes blocks of every type and compares the values that the driver reads. Blocks that end early
// must be left to recode.
func TestPlainBlocks(t *testing.T) {
	t.Parallel()
	types := make([]column.Type, 0, len(plainValues))
	for sqlType := range plainValues {
		types = append(types, sqlType)
	}
	slices.Sort(types)
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.SliceOfN(rapid.SampledFrom(types), 1, 5).Draw(t, "types")
		var in chproto.Buffer
		ends := map[int]bool{0: true}
		for range rapid.IntRange(0, 3).Draw(t, "blocks") {
			block := proto.NewBlock()
			for i, sqlType := range columns {
				if err := block.AddColumn(fmt.Sprint("c", i), sqlType); err != nil {
					t.Fatal(err)
				}
			}
			for range rapid.IntRange(1, 5).Draw(t, "rows") {
				var row []any
				for _, sqlType := range columns {
					row = append(row, plainValues[sqlType](t))
				}
				if err := block.Append(row...); err != nil {
					t.Fatal(err)
				}
			}
			if err := block.Encode(&in, 0); err != nil {
				t.Fatal(err)
			}
			ends[len(in.Buf)] = true
		}
		revision := rapid.SampledFrom([]uint64{1, proto.DBMS_TCP_PROTOCOL_VERSION}).Draw(t, "revision")
		out, ok := recodePlain(in.Buf, revision)
		if !ok {
			t.Fatal("the blocks are not recoded")
		}
		if diff := cmp.Diff(readBlocks(t, in.Buf, 0), readBlocks(t, out, revision), equalInts); diff != "" {
			t.Fatal(diff)
		}
		cut := rapid.IntRange(0, len(in.Buf)).Draw(t, "cut")
		if _, ok := recodePlain(in.Buf[:cut], revision); ok != ends[cut] {
			t.Fatalf("%d of %d bytes are recoded: %v", cut, len(in.Buf), ok)
		}
	})
}

// readBlocks returns the columns' names and types, and the rows, as the driver reads them.
func readBlocks(t interface{ Fatal(...any) }, b []byte, revision uint64) (out [][]any) {
	rd := chproto.NewReader(bytes.NewReader(b))
	for {
		block := proto.NewBlock()
		err := block.Decode(rd, revision)
		if errors.Is(err, io.EOF) && len(block.Columns) == 0 {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var head []any
		for _, c := range block.Columns {
			head = append(head, c.Name(), string(c.Type()))
		}
		out = append(out, head)
		for i := range block.Rows() {
			var row []any
			for _, c := range block.Columns {
				row = append(row, c.Row(i, false))
			}
			out = append(out, row)
		}
	}
}

// fatal is a test to which a failure is an error.
type fatal struct{}

func (fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// tryBlocks is readBlocks for bytes that may be no blocks, on some of which the driver panics.
func tryBlocks(b []byte, revision uint64) (out [][]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read blocks: %v", r)
		}
	}()
	return readBlocks(fatal{}, b, revision), nil
}

// FuzzPlainBlocks compares recodePlain with recodeDecoded. Where recodePlain takes any bytes as blocks, the driver must
// read the same from both, or fail on both.
func FuzzPlainBlocks(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte("\x01\x01\x01c\x06String\x02ab"), false)
	f.Add([]byte("\x01\x02\x01c\x0fNullable(UInt8)\x00\x01\x07\x00"), true)
	f.Add(dictionaryOf(2), false)
	f.Add(append([]byte("\x02\x02\x01n\x05UInt8\x01\x02"), dictionaryOf(3)[2:]...), true) // Three keys in two rows.
	f.Fuzz(func(t *testing.T, in []byte, newest bool) {
		revision := uint64(1)
		if newest {
			revision = proto.DBMS_TCP_PROTOCOL_VERSION
		}
		plain, ok := recodePlain(in, revision)
		if !ok {
			return
		}
		got, gotErr := tryBlocks(plain, revision)
		decoded, err := recodeDecoded(in, revision)
		var want [][]any
		if err == nil {
			want, err = tryBlocks(decoded, revision)
		}
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("copied: %v, %v\ndecoded: %v, %v", got, gotErr, want, err)
		}
		if diff := cmp.Diff(want, got, equalInts, cmpopts.EquateNaNs()); err == nil && diff != "" {
			t.Fatal(diff)
		}
	})
}

// dictionaryOf returns a block of one column with as many rows, each with a value of its own.
func dictionaryOf(values int) []byte {
	block := proto.NewBlock()
	err := block.AddColumn("c", "LowCardinality(String)")
	for i := range values {
		err = errors.Join(err, block.Append(fmt.Sprint(i)))
	}
	var in chproto.Buffer
	if err := errors.Join(err, block.Encode(&in, 0)); err != nil {
		panic(err)
	}
	return in.Buf
}

// TestPlainDictionaryFitsTheBlock recodes a dictionary whose keys are not as many as the rows of its block.
func TestPlainDictionaryFitsTheBlock(t *testing.T) {
	t.Parallel()
	in := dictionaryOf(3)
	for rows := range byte(6) {
		in[1] = rows // after the number of columns
		if _, ok := recodePlain(in, 1); ok != (rows == 3) {
			t.Errorf("3 keys in a block of %d rows are recoded: %v", rows, ok)
		}
	}
}

// TestPlainDictionaries recodes dictionaries whose keys have 1, 2 and 4 bytes.
func TestPlainDictionaries(t *testing.T) {
	t.Parallel()
	for _, values := range []int{200, 300, 70_000} {
		block := proto.NewBlock()
		if err := block.AddColumn("c", "LowCardinality(Nullable(String))"); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			if err := block.Append(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		var in chproto.Buffer
		if err := errors.Join(block.Append(nil), block.Encode(&in, 0)); err != nil {
			t.Fatal(err)
		}
		out, ok := recodePlain(in.Buf, 1)
		if !ok {
			t.Fatalf("a dictionary of %d values is not recoded", values)
		}
		if diff := cmp.Diff(readBlocks(t, in.Buf, 0), readBlocks(t, out, 1)); diff != "" {
			t.Error(diff)
		}
	}
}
