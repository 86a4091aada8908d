package eventbatch

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
)

// DecimalType is the Arrow type of a decimal field: int64 values that count units of the last digit. Its arrays are
// array.Int64, so all code that adds, compares or hashes int64 values does the same with decimals of one type.
// arrow.TypeEqual tells the type from int64 and from other decimals. It is not Arrow's own decimal, whose values have
// 16 bytes. What leaves recount as Arrow has that one.
type DecimalType struct {
	arrow.Int64Type
	Precision int // the most digits of a value
	Scale     int // how many of them follow the point
}

func (t *DecimalType) valid() bool {
	return t.Precision >= 1 && t.Precision <= MaxPrecision && t.Scale >= 0 && t.Scale <= t.Precision
}

// MaxPrecision is the most digits of a decimal. Every number of so many digits fits int64, and no number of more does.
const MaxPrecision = 18

// Name returns the type as it is declared.
func (t *DecimalType) Name() string { return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale) }

// String returns the type as it is declared.
func (t *DecimalType) String() string { return t.Name() }

// Fingerprint identifies the type.
func (t *DecimalType) Fingerprint() string { return t.Name() }
