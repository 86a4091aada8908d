package cells

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"recount/batch/exact"
)

// The columns of an INSERT are encoded here, in ClickHouse's Native format, and decoded by
// the driver's columns, which for most types is one copy of memory. The driver's own
// way, Append, costs a reflected value a row and often an allocation.

// fill makes the driver's column hold the rows. It returns buf, grown, for the next one.
func (c *column) fill(into chcolumn.Interface, rows []exact.Piece, buf []byte) ([]byte, error) {
	buf = c.native(buf[:0], rows)
	if err := into.Decode(proto.NewReader(bytes.NewReader(buf)), count(rows)); err != nil {
		return nil, fmt.Errorf("column %s: %w", c.name, err)
	}
	return buf, nil
}

func count(rows []exact.Piece) (n int) {
	for _, x := range rows {
		n += x.Hi - x.Lo
	}
	return n
}

// values is the native form of what lies value after value.
func values(of appender) func(dst []byte, rows []exact.Piece) []byte {
	return func(dst []byte, rows []exact.Piece) []byte {
		for _, x := range rows {
			value := of(x.Block)
			for row := x.Lo; row < x.Hi; row++ {
				dst = value(dst, row)
			}
		}
		return dst
	}
}

// dictionary is the native form of LowCardinality(String), or Nullable(String) in it: the
// width of a key, the strings, and each row's key. Key 0 is null, or the empty string where
// there is no null; ClickHouse also wants the empty string behind null.
func dictionary(null bool, of func(*exact.Block) ([]string, []bool)) func(dst []byte, rows []exact.Piece) []byte {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	return func(dst []byte, rows []exact.Piece) []byte {
		words := []string{""}
		if null {
			words = append(words, "")
		}
		keys := keysOf(rows, &words, of)
		width := 0 // Its binary logarithm, in bytes.
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

// keysOf numbers the strings of the rows, adding new ones to words.
func keysOf(rows []exact.Piece, words *[]string, of func(*exact.Block) ([]string, []bool)) []uint32 {
	keys := make([]uint32, 0, count(rows))
	known := map[string]uint32{"": uint32(len(*words) - 1)}
	for _, x := range rows {
		strings, null := of(x.Block)
		last := ""
		key := known[""] // Runs of one string are common: tenants, sorted cells.
		for row := x.Lo; row < x.Hi; row++ {
			if null != nil && null[row] {
				keys = append(keys, 0)
				continue
			}
			if s := strings[row]; s != last {
				var ok bool
				if key, ok = known[s]; !ok {
					key = uint32(len(*words))
					known[s] = key
					*words = append(*words, s)
				}
				last = s
			}
			keys = append(keys, key)
		}
	}
	return keys
}
