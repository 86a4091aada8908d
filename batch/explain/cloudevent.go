package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
)

// cloudEvent is an event in the structured mode of CloudEvents. Data has everything that is stored of it: declared
// fields in the types that they had when the event came, and what nobody had declared. It is always there.
type cloudEvent map[string]json.RawMessage

// size is how many bytes the event has, about.
func (e cloudEvent) size() (n int64) {
	for name, raw := range e {
		n += int64(len(name) + len(raw) + len(`"":,`))
	}
	return n
}

// read sets what the row of the columns says of the event. It keeps no memory of the columns.
func (x *place) read(c eventbatch.Columns, row int) (err error) {
	id := textOf(c.Field(eventbatch.ColID), row)
	source := textOf(c.Field(eventbatch.ColSource), row)
	if c.Flags == nil || id == "" {
		return fmt.Errorf("row %d: columns of an event are missing", row)
	}
	x.assigned = c.Flags.Value(row)&eventbatch.FlagTimeAssigned != 0
	x.key = x.stream.cfg.Identity.Key(x.stream.Tenant, source, id)
	x.event, err = eventAt(c, row)
	if err != nil {
		return fmt.Errorf("event %q: %w", id, err)
	}
	x.event["specversion"] = json.RawMessage(`"1.0"`)
	x.event["id"] = quoted(id)
	x.event["type"] = quoted(x.stream.Event.Name)
	x.event["time"] = quoted(timeText(x.time))
	if source != "" {
		x.event["source"] = quoted(source)
	}
	x.isRead = true
	return nil
}

// eventAt returns the subject, the further attributes and the data of an event.
func eventAt(c eventbatch.Columns, row int) (cloudEvent, error) {
	var extra struct {
		Attributes map[string]json.RawMessage `json:"attributes"`
		Data       map[string]json.RawMessage `json:"data"`
	}
	if text := textOf(c.Field(eventbatch.ColExtra), row); text != "" { // Null is so, too: it has no dictionary.
		if err := json.Unmarshal([]byte(text), &extra); err != nil {
			return nil, fmt.Errorf("undeclared fields: %w", err)
		}
	}
	out := cloudEvent{}
	for name, raw := range extra.Attributes {
		out[name] = raw
	}
	if subject := c.Field(eventbatch.ColSubject); subject != nil && subject.IsValid(row) {
		out["subject"] = quoted(textOf(subject, row))
	}
	data := extra.Data
	if data == nil {
		data = map[string]json.RawMessage{} // Nothing stored tells an event without data from one with {}.
	}
	for i, f := range c.Rec.Schema().Fields() {
		column := c.Rec.Column(i)
		if isOwnColumn(f.Name) || column.IsNull(row) {
			continue
		}
		raw, err := valueText(column, row)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		data[f.Name] = raw
	}
	raw, err := encodeJSON(data)
	out["data"] = raw
	return out, err
}

// isOwnColumn reports whether a column is no field of data.
func isOwnColumn(name string) bool {
	switch name {
	case eventbatch.ColID, eventbatch.ColTime, eventbatch.ColSource, eventbatch.ColSubject:
		return true
	}
	return strings.HasPrefix(name, "_")
}

// valueText returns a value of a field as JSON. A decimal is a number with all its digits.
func valueText(column arrow.Array, row int) (json.RawMessage, error) {
	switch c := column.(type) {
	case *array.Int64:
		if d, ok := c.DataType().(*eventbatch.DecimalType); ok {
			return json.RawMessage(decimal.Format(c.Value(row), d.Scale)), nil
		}
		return json.RawMessage(strconv.FormatInt(c.Value(row), 10)), nil
	case *array.Float64:
		return json.Marshal(c.Value(row))
	case *array.Boolean:
		return json.RawMessage(strconv.FormatBool(c.Value(row))), nil
	case *array.Timestamp:
		return quoted(timeText(int64(c.Value(row)))), nil
	case *array.String, *array.Dictionary:
		return quoted(textOf(column, row)), nil
	}
	return nil, fmt.Errorf("values of type %s cannot be shown", column.DataType())
}

func timeText(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

func quoted(text string) json.RawMessage {
	raw, _ := encodeJSON(text) // A text always encodes.
	return raw
}

// encodeJSON writes a value without escapes for HTML.
func encodeJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
