package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// UnmarshalJSON reads a filter as it was stored. Numbers keep their digits, so that the digest of a view is the same;
// RestoreFilters gives them the types of their fields.
func (f *Filter) UnmarshalJSON(raw []byte) error {
	type plain Filter
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode((*plain)(f))
}

// RestoreFilters gives the values of filters that were read from JSON the Go types that they had when they were
// stored. It leaves a value alone that has no such type, and a filter of an unknown field: Validate finds them.
func (c *Catalog) RestoreFilters() error {
	var errs []error
	for name, v := range c.Views {
		e := c.Events[v.Event]
		for i, f := range v.Where {
			if e == nil {
				break
			}
			t, known := e.Column(f.Field)
			if !known || f.Op == Exists {
				continue
			}
			for j, value := range f.Values {
				number, is := value.(json.Number)
				if !is {
					continue
				}
				restored, err := restoreNumber(number, t)
				if err != nil {
					errs = append(errs, mistake(err.Error(), "views", name, "where", fmt.Sprint(i)))
				}
				f.Values[j] = restored
			}
		}
	}
	return errors.Join(errs...)
}

// restoreNumber returns a stored number as the type of its field. Timestamps are stored as microseconds.
func restoreNumber(number json.Number, t FieldType) (any, error) {
	if t == Float64 {
		return number.Float64()
	}
	return number.Int64()
}
