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

// decoder takes a payload apart. After the first fault every value is zero and err is set.
type decoder struct {
	payload []byte
	err     error
}

func (d *decoder) reject(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errSnapshot}, args...)...)
		d.payload = nil
	}
}

// take returns the next n bytes, of the payload itself, or nil if there are fewer.
func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.payload) {
		d.reject("a payload is %d bytes short", n-len(d.payload))
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

// count reads the length of a list whose items have at least size bytes each. More than
// the payload can hold is a fault, so nothing is allocated for a damaged length.
func (d *decoder) count(size int) int {
	n := d.uint64()
	if n > uint64(len(d.payload)/size) {
		d.reject("a list of %d items does not fit", n)
		return 0
	}
	return int(n)
}

// room checks that n items of size bytes can follow.
func (d *decoder) fits(n, size int) bool {
	if n > len(d.payload)/size {
		d.reject("%d rows do not fit", n)
	}
	return d.err == nil
}
