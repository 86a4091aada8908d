package chdb

import (
	"encoding/binary"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// blockInfo is what precedes a block of any revision but 0, as a server writes it.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// recodePlain is recode for blocks whose columns are numbers, times, strings, and nullable ones and dictionaries of
// strings. Their values have the same bytes in every revision, so these are copied and not decoded. It returns false
// if it does not know a column's type, or if the bytes end early.
func recodePlain(in []byte, revision uint64) ([]byte, bool) {
	r := plainReader{rest: in}
	out := make([]byte, 0, len(in)+len(in)/16+256)
	for len(r.rest) > 0 && !r.failed {
		start := r.rest
		columns := r.number()
		rows := r.number()
		out = append(out, blockInfo...)
		out = append(out, start[:len(start)-len(r.rest)]...)
		for i := uint64(0); i < columns && !r.failed; i++ {
			start = r.rest
			r.text()
			sqlType := r.text()
			out = append(out, start[:len(start)-len(r.rest)]...)
			if revision >= proto.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION {
				out = append(out, 0)
			}
			start = r.rest
			if rows > 0 {
				r.values(string(sqlType), rows)
			}
			out = append(out, start[:len(start)-len(r.rest)]...)
		}
	}
	return out, !r.failed
}

// plainReader walks over native blocks of revision 0. Once failed, it reads only zeros.
type plainReader struct {
	rest   []byte
	failed bool
}

func (r *plainReader) bytes(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads a varint.
func (r *plainReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.bytes(uint64(n))
	return v
}

// word reads a number of 8 bytes.
func (r *plainReader) word() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *plainReader) text() []byte { return r.bytes(r.number()) }

// values walks over the values of a column.
func (r *plainReader) values(sqlType string, rows uint64) {
	inner, isNullable := argument(sqlType, "Nullable")
	dictionary, isDictionary := argument(sqlType, "LowCardinality")
	switch width := widthOf(sqlType); {
	case width > 0 && rows <= uint64(len(r.rest)):
		r.bytes(width * rows)
	case sqlType == "String":
		for ; rows > 0 && !r.failed; rows-- {
			r.text()
		}
	case isNullable:
		r.bytes(rows) // whether each is null
		r.values(inner, rows)
	case isDictionary:
		r.dictionary(dictionary, rows)
	default:
		r.failed = true
	}
}

// dictionary walks over a column of dictionary keys: version, width of keys, values, keys. There must be one for each
// row.
func (r *plainReader) dictionary(sqlType string, rows uint64) {
	r.word()
	width := uint64(1) << (r.word() & 3)
	if inner, isNullable := argument(sqlType, "Nullable"); isNullable {
		sqlType = inner // One of the values stands for null.
	}
	if sqlType != "String" {
		r.failed = true
		return
	}
	r.values(sqlType, r.word())
	if keys := r.word(); keys == rows && rows <= uint64(len(r.rest)) {
		r.bytes(width * rows)
		return
	}
	r.failed = true
}

// argument returns the type T of name(T).
func argument(sqlType, name string) (string, bool) {
	rest, found := strings.CutPrefix(sqlType, name+"(")
	return strings.TrimSuffix(rest, ")"), found
}

// widthOf returns the bytes of a value of a type, or 0 if they differ or the type is not known.
func widthOf(sqlType string) uint64 {
	switch name, _, _ := strings.Cut(sqlType, "("); name {
	case "Bool", "UInt8", "Int8":
		return 1
	case "UInt16", "Int16":
		return 2
	case "UInt32", "Int32", "Float32", "DateTime":
		return 4
	case "UInt64", "Int64", "Float64", "DateTime64":
		return 8
	case "UInt128", "Int128":
		return 16
	case "UInt256", "Int256":
		return 32
	}
	return 0
}
