package distinct

import "encoding/binary"

// AppendState appends a ClickHouse uniqExact state of UInt64 to dst: the number of
// hashes as a varint, then each as 8 bytes little endian. Hashes must be unique.
// ClickHouse reads it by CAST(s, 'AggregateFunction(uniqExact, UInt64)').
func AppendState(dst []byte, hashes []uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(hashes)))
	for _, h := range hashes {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	return dst
}
