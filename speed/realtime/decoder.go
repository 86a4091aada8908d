package realtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var errSnapshot = errors.New("snapshot is damaged")

var littleEndian = binary.LittleEndian

func appendText(b []byte, s string) []byte {
	return append(littleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// decoder reads the values of a payload. After the first problem err is set and every value is zero.
type decoder struct {
	payload []byte
	err     error
}

// reject records a problem of the payload, unless there was one before.
func (d *decoder) reject(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errSnapshot}, args...)...)
		d.payload = nil
	}
}

// bytes returns the next n bytes without a copy, or nil if there are fewer.
func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.payload) {
		d.reject("a payload is %d bytes too short", n-len(d.payload))
		return nil
	}
	out := d.payload[:n]
	d.payload = d.payload[n:]
	return out
}

func (d *decoder) uint8() uint8 {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.bytes(2); b != nil {
		return littleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return littleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return littleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) int64() int64     { return int64(d.uint64()) }
func (d *decoder) float64() float64 { return math.Float64frombits(d.uint64()) }
func (d *decoder) text() string     { return string(d.bytes(d.count(1))) }

// count reads the length of a list whose items have at least size bytes each. It rejects a length
// that does not fit into the payload, so that a damaged length does not allocate memory.
func (d *decoder) count(size int) int {
	n := d.uint64()
	if n > uint64(len(d.payload)/size) {
		d.reject("a list of %d items does not fit into its payload", n)
		return 0
	}
	return int(n)
}

// fits reports whether n items of size bytes can follow.
func (d *decoder) fits(n, size int) bool {
	if n > len(d.payload)/size {
		d.reject("%d rows do not fit into their payload", n)
	}
	return d.err == nil
}
