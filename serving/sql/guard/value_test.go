package guard_test

import (
	"fmt"
	"reflect"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// newValue returns a pointer to a value of a column's type.
func newValue(c driver.ColumnType) any { return reflect.New(c.ScanType()).Interface() }

// show returns the value that a pointer of newValue points to, as text.
func show(v any) string {
	e := reflect.ValueOf(v).Elem()
	for e.Kind() == reflect.Pointer {
		if e.IsNil() {
			return "NULL"
		}
		e = e.Elem()
	}
	return fmt.Sprint(e.Interface())
}
