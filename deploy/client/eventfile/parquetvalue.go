package eventfile

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// converter turns a value of one column into JSON.
type converter func(parquet.Value) ([]byte, error)

// meaning returns the logical type of a column, or nil when the column has only a physical type. The file's own
// schema comes first, because the library knows fewer logical types and treats the others as stored bytes.
func meaning(e *format.SchemaElement, t parquet.Type) format.LogicalTypeValue {
	if e.LogicalType.Value != nil {
		return e.LogicalType.Value
	}
	if l := t.LogicalType(); l != nil {
		return l.Value
	}
	return nil
}

// newConverter chooses how a column's values become JSON. It refuses a type that it does not know, because the stored
// form would be counted as if it were the value. When instant is true, a date becomes midnight UTC.
func newConverter(e *format.SchemaElement, t parquet.Type, instant bool) (converter, error) {
	kind := t.Kind()
	switch l := meaning(e, t).(type) {
	case nil:
		if interval := e.ConvertedType; kind == parquet.Int96 || interval.Valid && interval.V == deprecated.Interval {
			break
		}
		return plain, nil
	case *format.NullType, *format.StringType, *format.EnumType, *format.JsonType:
		return plain, nil
	case *format.IntType:
		if l.IsSigned {
			return plain, nil
		}
		return unsigned, nil
	case *format.TimestampType:
		return zoned(l, instant)
	case *format.DateType:
		return date(instant), nil
	case *format.UUIDType:
		return uuid, nil
	case *format.DecimalType:
		if l.Scale >= 0 && l.Scale <= maxScale {
			return decimal(int(l.Scale)), nil
		}
	}
	return nil, fmt.Errorf("is %s, which an event cannot hold; remove the column, or write it as text or number", t)
}

// plain returns a value as it is stored.
func plain(v parquet.Value) ([]byte, error) {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(nil, v.Boolean()), nil
	case parquet.Int32:
		return strconv.AppendInt(nil, int64(v.Int32()), 10), nil
	case parquet.Int64:
		return strconv.AppendInt(nil, v.Int64(), 10), nil
	case parquet.Float:
		return number(float64(v.Float()))
	case parquet.Double:
		return number(v.Double())
	}
	if !utf8.Valid(v.ByteArray()) {
		return nil, errors.New("is not UTF-8 text")
	}
	return appendString(nil, string(v.ByteArray())), nil
}

func unsigned(v parquet.Value) ([]byte, error) {
	if v.Kind() == parquet.Int32 {
		return strconv.AppendUint(nil, uint64(v.Uint32()), 10), nil
	}
	return strconv.AppendUint(nil, v.Uint64(), 10), nil
}

// number returns a float as JSON. It refuses NaN and infinity, which JSON does not have: null would be another value.
func number(f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("is %v, which an event cannot hold; write null where a number is missing", f)
	}
	return json.Marshal(f)
}

// zoned chooses how a timestamp becomes text. One without a zone is a different instant in every place, so it is
// refused where an event needs an instant. Elsewhere it becomes text without a zone.
func zoned(l *format.TimestampType, instant bool) (converter, error) {
	switch {
	case l.IsAdjustedToUTC:
		return timestamp(l.Unit.Value.Duration(), time.RFC3339Nano), nil
	case instant:
		return nil, errors.New("is a time without a zone; write it with one, as tz_localize of pandas does")
	}
	return timestamp(l.Unit.Value.Duration(), "2006-01-02T15:04:05.999999999"), nil
}

func timestamp(unit time.Duration, layout string) converter {
	per := int64(time.Second / unit)
	return func(v parquet.Value) ([]byte, error) {
		seconds := floorDiv(v.Int64(), per)
		t := time.Unix(seconds, (v.Int64()-seconds*per)*int64(unit)).UTC()
		return appendString(nil, t.Format(layout)), nil
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func date(instant bool) converter {
	layout := time.DateOnly
	if instant {
		layout = time.RFC3339
	}
	return func(v parquet.Value) ([]byte, error) {
		return appendString(nil, time.Unix(int64(v.Int32())*24*60*60, 0).UTC().Format(layout)), nil
	}
}

func uuid(v parquet.Value) ([]byte, error) {
	b := v.ByteArray()
	if len(b) != 16 {
		return nil, fmt.Errorf("is a UUID of %d bytes instead of 16", len(b))
	}
	x := hex.EncodeToString(b)
	return appendString(nil, strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")), nil
}

// The largest decimals have 256 bits, which is also the limit of common writers of Parquet.
const (
	maxScale        = 76
	maxDecimalBytes = 32
)

// decimal converts decimals with scale digits after the point. It writes digits, because a float would round them.
func decimal(scale int) converter {
	return func(v parquet.Value) ([]byte, error) {
		n, err := whole(v)
		if err != nil {
			return nil, err
		}
		sign := ""
		if n.Sign() < 0 {
			sign = "-"
		}
		digits := n.Abs(n).String()
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		point := len(digits) - scale
		if scale == 0 {
			return []byte(sign + digits), nil
		}
		return []byte(sign + digits[:point] + "." + digits[point:]), nil
	}
}

// whole returns the integer that a decimal is stored as. Bytes are in big-endian two's complement.
func whole(v parquet.Value) (*big.Int, error) {
	switch v.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(v.Int32())), nil
	case parquet.Int64:
		return big.NewInt(v.Int64()), nil
	}
	b := v.ByteArray()
	if len(b) == 0 || len(b) > maxDecimalBytes {
		return nil, fmt.Errorf("is a decimal of %d bytes; use 1 to %d", len(b), maxDecimalBytes)
	}
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n, nil
}
