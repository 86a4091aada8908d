package cells

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"recount/batch/exact"
	"recount/schemas/sqlschema"
)

// This file encodes the columns of an INSERT in ClickHouse's Native format. Over HTTP and in the embedded engine the
// bytes are sent as they are. Over the native protocol the driver's columns decode them, which for most types is one
// copy of memory. The driver's Append would cost a reflected value for each row, and often an allocation.

// dictionaryVersion precedes the dictionary of a column of LowCardinality.
const dictionaryVersion = 1

// block reads the rows as one block, as ClickHouse reads the format Native: the numbers of columns and rows, and for
// each column its name, its type and its values. It encodes one column after another, each into the memory of the one
// before, while ClickHouse reads them. So a block of many rows is never whole in memory.
type block struct {
	layout *layout
	rows   []exact.BlockRows
	next   int    // the next column; -1 is what precedes the columns
	buf    []byte // the memory of a column
	rest   []byte // what was encoded and not yet read
}

func (l *layout) block(rows []exact.BlockRows, buf []byte) *block {
	return &block{layout: l, rows: rows, next: -1, buf: buf}
}

// encode replaces rest by the next column, or by nothing after the last one.
func (b *block) encode() {
	dst := b.buf[:0]
	switch {
	case b.next < 0:
		dst = binary.AppendUvarint(dst, uint64(len(b.layout.columns)))
		dst = binary.AppendUvarint(dst, uint64(rowCount(b.rows)))
	case b.next < len(b.layout.columns):
		c := &b.layout.columns[b.next]
		dst = append(binary.AppendUvarint(dst, uint64(len(c.name))), c.name...)
		dst = append(binary.AppendUvarint(dst, uint64(len(c.sqlType))), c.sqlType...)
		if strings.HasPrefix(c.sqlType, "LowCardinality(") {
			dst = append64(dst, dictionaryVersion)
		}
		dst = c.native(slices.Grow(dst, c.nativeBytes(b.rows)), b.rows)
	}
	b.next++
	b.buf = dst
	b.rest = dst
}

func (b *block) ended() bool { return len(b.rest) == 0 && b.next > len(b.layout.columns) }

// Read implements io.Reader.
func (b *block) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.ended() {
			return 0, io.EOF
		}
		b.encode()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, so that a column is written as it is.
func (b *block) WriteTo(w io.Writer) (total int64, err error) {
	for !b.ended() {
		n, err := w.Write(b.rest)
		total += int64(n)
		b.rest = b.rest[n:]
		if err != nil {
			return total, err
		}
		b.encode()
	}
	return total, nil
}

// fill makes the driver's column hold the rows. It returns buf, which may have grown, for the next column.
func (c *column) fill(into chcolumn.Interface, rows []exact.BlockRows, buf []byte) ([]byte, error) {
	buf = c.native(buf[:0], rows)
	if err := into.Decode(proto.NewReader(bytes.NewReader(buf)), rowCount(rows)); err != nil {
		return nil, fmt.Errorf("column %s: %w", c.name, err)
	}
	return buf, nil
}

// nativeBytes estimates how many bytes the column has, so that it is seldom copied while it grows.
func (c *column) nativeBytes(rows []exact.BlockRows) int {
	bytes := 0
	switch n := rowCount(rows); {
	case c.sqlType == "Int256":
		bytes = 32 * n
	case c.sqlType == "Int128", strings.HasPrefix(c.sqlType, "Decimal("): // A decimal that is not null is a sum.
		bytes = 16 * n
	default:
		bytes = 9 * n
	}
	if !strings.HasSuffix(c.name, sqlschema.StateSuffix) && c.sqlType != sqlschema.BinsType {
		return bytes
	}
	for _, x := range rows {
		for i := range x.Block.Measures {
			if starts := x.Block.Measures[i].Starts; starts != nil {
				bytes += 10 * (starts[x.To] - starts[x.From])
			}
		}
	}
	return bytes
}

func rowCount(rows []exact.BlockRows) (n int) {
	for _, x := range rows {
		n += x.To - x.From
	}
	return n
}

// values is the Native form of a column whose values follow one another.
func values(bind appender) func(dst []byte, rows []exact.BlockRows) []byte {
	return func(dst []byte, rows []exact.BlockRows) []byte {
		for _, x := range rows {
			value := bind(x.Block)
			for row := x.From; row < x.To; row++ {
				dst = value(dst, row)
			}
		}
		return dst
	}
}

// dictionary is the Native form of LowCardinality(String) or LowCardinality(Nullable(String)): the
// width of a key, the strings, then the key of each row. Key 0 is null in a nullable column, and
// key 1 is then the empty string. In any other column key 0 is the empty string. A string may have several keys.
func dictionary(null bool, read func(*exact.Block) *exact.Strings) func(dst []byte, rows []exact.BlockRows) []byte {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	return func(dst []byte, rows []exact.BlockRows) []byte {
		words := []string{""}
		if null {
			words = append(words, "")
		}
		keys := keysOf(rows, null, &words, read)
		width := 0 // A key has 1<<width bytes.
		for len(words) > 1<<(8<<width) {
			width++
		}
		dst = append64(dst, uint64(additionalKeys|updateDictionary|width))
		dst = append64(dst, uint64(len(words)))
		for _, w := range words {
			dst = append(binary.AppendUvarint(dst, uint64(len(w))), w...)
		}
		dst = append64(dst, uint64(len(keys)))
		for _, k := range keys {
			dst = append64(dst, uint64(k))[:len(dst)+1<<width]
		}
		return dst
	}
}

// keysOf returns the key of each row and appends the strings of the rows to words, each once for each block. To look
// for a string that an earlier block has would take longer than to send it twice, because ClickHouse looks too.
func keysOf(rows []exact.BlockRows, null bool, words *[]string, read func(*exact.Block) *exact.Strings) []uint32 {
	keys := make([]uint32, 0, rowCount(rows))
	empty := uint32(len(*words) - 1)
	var keyOf []uint32 // by code, the key + 1; 0 where it is not known yet
	for _, x := range rows {
		column := read(x.Block)
		keyOf = slices.Grow(keyOf[:0], len(column.Words))[:len(column.Words)]
		clear(keyOf)
		if null {
			keyOf[0] = 1
		}
		for _, code := range column.Codes[x.From:x.To] {
			if keyOf[code] == 0 {
				key := empty
				if word := column.Words[code]; word != "" {
					key = uint32(len(*words))
					*words = append(*words, word)
				}
				keyOf[code] = key + 1
			}
			keys = append(keys, keyOf[code]-1)
		}
	}
	return keys
}
