package table

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

// converter turns a value of one column into the kind and text of a cell.
type converter func(parquet.Value) (Kind, string, error)

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

// newConverter chooses how a column's values become cells. It refuses a type that it does not know, because the stored
// form would be counted as if it were the value.
func newConverter(e *format.SchemaElement, t parquet.Type) (converter, error) {
	kind := t.Kind()
	switch l := meaning(e, t).(type) {
	case nil:
		if interval := e.ConvertedType; interval.Valid && interval.V == deprecated.Interval {
			break
		}
		if kind == parquet.Int96 {
			return julian, nil
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
		return timestamp(l), nil
	case *format.DateType:
		return date, nil
	case *format.UUIDType:
		return uuid, nil
	case *format.DecimalType:
		if l.Scale >= 0 && l.Scale <= maxScale {
			return decimal(int(l.Scale)), nil
		}
	}
	return nil, fmt.Errorf("is %s, which an event cannot hold: write it as text or number", t)
}

// plain returns a value as it is stored.
func plain(v parquet.Value) (Kind, string, error) {
	switch v.Kind() {
	case parquet.Boolean:
		return Bool, strconv.FormatBool(v.Boolean()), nil
	case parquet.Int32:
		return Number, strconv.FormatInt(int64(v.Int32()), 10), nil
	case parquet.Int64:
		return Number, strconv.FormatInt(v.Int64(), 10), nil
	case parquet.Float:
		return number(float64(v.Float()))
	case parquet.Double:
		return number(v.Double())
	}
	if !utf8.Valid(v.ByteArray()) {
		return String, "", errors.New("is not UTF-8 text")
	}
	return String, string(v.ByteArray()), nil
}

func unsigned(v parquet.Value) (Kind, string, error) {
	if v.Kind() == parquet.Int32 {
		return Number, strconv.FormatUint(uint64(v.Uint32()), 10), nil
	}
	return Number, strconv.FormatUint(v.Uint64(), 10), nil
}

// number returns a float as JSON. It refuses NaN and infinity, which JSON does not have: null would be another value.
func number(f float64) (Kind, string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Number, "", fmt.Errorf("is %v, which an event cannot hold; write null where a number is missing", f)
	}
	raw, err := json.Marshal(f)
	return Number, string(raw), err
}

// localLayout is how a time without a zone becomes text.
const localLayout = "2006-01-02T15:04:05.999999999"

// timestamp chooses how a timestamp becomes text. One without a zone is a different instant in every place.
func timestamp(l *format.TimestampType) converter {
	unit := l.Unit.Value.Duration()
	per := int64(time.Second / unit)
	kind := Local
	layout := localLayout
	if l.IsAdjustedToUTC {
		kind = Instant
		layout = time.RFC3339Nano
	}
	return func(v parquet.Value) (Kind, string, error) {
		seconds := floorDiv(v.Int64(), per)
		t := time.Unix(seconds, (v.Int64()-seconds*per)*int64(unit)).UTC()
		return kind, t.Format(layout), nil
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// julianEpoch is the Julian day of 1 January 1970.
const julianEpoch = 2440588

// julian converts an INT96: nanoseconds of a day in UTC, and the Julian day. The programs that wrote such times took
// UTC for them, as Spark and Hive do.
func julian(v parquet.Value) (Kind, string, error) {
	x := v.Int96()
	day := int64(int32(x[2])) - julianEpoch
	nanos := int64(uint64(x[1])<<32 | uint64(x[0]))
	if nanos < 0 || nanos >= int64(24*time.Hour) {
		return Instant, "", fmt.Errorf("is an INT96 with %d nanoseconds of the day, so it is no time", nanos)
	}
	t := time.Unix(day*24*60*60, nanos).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return Instant, "", fmt.Errorf("is a time of the year %d", t.Year())
	}
	return Instant, t.Format(time.RFC3339Nano), nil
}

func date(v parquet.Value) (Kind, string, error) {
	return Date, time.Unix(int64(v.Int32())*24*60*60, 0).UTC().Format(time.DateOnly), nil
}

func uuid(v parquet.Value) (Kind, string, error) {
	b := v.ByteArray()
	if len(b) != 16 {
		return String, "", fmt.Errorf("is a UUID of %d bytes instead of 16", len(b))
	}
	x := hex.EncodeToString(b)
	return String, strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-"), nil
}

// The largest decimals have 256 bits, which is also the limit of common writers of Parquet.
const (
	maxScale        = 76
	maxDecimalBytes = 32
)

// decimal converts decimals with scale digits after the point. It writes digits, because a float would round them.
func decimal(scale int) converter {
	return func(v parquet.Value) (Kind, string, error) {
		n, err := whole(v)
		if err != nil {
			return Decimal, "", err
		}
		sign := ""
		if n.Sign() < 0 {
			sign = "-"
		}
		digits := n.Abs(n).String()
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		point := len(digits) - scale
		if scale == 0 {
			return Number, sign + digits, nil
		}
		return Decimal, sign + digits[:point] + "." + digits[point:], nil
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
