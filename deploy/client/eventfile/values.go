package eventfile

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"recount/deploy/client/eventfile/table"
	"recount/schemas/catalog"
)

// value returns a cell as JSON. Text without a type becomes a number or a boolean if it looks like one, unless the
// field is declared as something else.
func (r *rowReader) value(c *column, cell table.Cell) ([]byte, error) {
	if c.declared == catalog.Timestamp && c.isTime {
		return r.event.time, nil
	}
	if c.declared == catalog.Timestamp {
		// A text that is no time is sent as it is, so that the server keeps the event as a dead letter.
		rfc, err := r.instant(cell)
		switch {
		case err == nil:
			return appendString(nil, rfc), nil
		case cell.Kind == table.Local:
			return nil, r.refuse(reasonForm, columnError(c, cell, err))
		}
	}
	switch cell.Kind {
	case table.Number, table.Decimal, table.Bool, table.Other:
		return []byte(cell.Text), nil
	case table.Date:
		if c.isTime {
			return r.event.time, nil
		}
	case table.Untyped:
		if c.declared != catalog.String && c.declared != catalog.Timestamp && looksTyped(cell.Text) {
			return []byte(cell.Text), nil
		}
	}
	return appendString(nil, cell.Text), nil
}

// looksTyped reports whether a text is a number or a boolean in JSON.
func looksTyped(text string) bool {
	if text == "true" || text == "false" {
		return true
	}
	if text == "" || strings.IndexByte("-0123456789", text[0]) < 0 {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil && json.Valid([]byte(text))
}

// timeOf reads the text of a date or of a time without a zone, in UTC.
func timeOf(text string) (time.Time, error) {
	if len(text) == len(time.DateOnly) {
		return time.Parse(time.DateOnly, text)
	}
	return time.Parse("2006-01-02T15:04:05", text)
}
