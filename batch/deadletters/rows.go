package deadletters

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/batch/object"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
)

// listColumns are the columns that a list reads: all but the bytes of the rejected events.
var listColumns = []string{
	eventbatch.ColTime, eventbatch.ColTenant, eventbatch.ColSource, object.ColSeq, object.ColIndex,
	deadletter.FieldBytes, deadletter.FieldCode, deadletter.FieldEventID, deadletter.FieldEventTime,
	deadletter.FieldEventType,
	deadletter.FieldIndex, deadletter.FieldMessage, deadletter.FieldStrict, deadletter.FieldTruncated,
}

// readLetters yields the dead letters in the rows [from, to) of an object.
func (s *Store) readLetters(ctx context.Context, o *record.Object, partition int,
	from, to int64) iter.Seq2[foundLetter, error] {
	return func(yield func(foundLetter, error) bool) {
		row := from
		err := s.readColumns(ctx, o, listColumns, from, to, func(c eventbatch.Columns) bool {
			for i := range int(c.Rec.NumRows()) {
				l := letterAt(c, i, partition)
				l.object = o
				l.row = row
				row++
				if !yield(l, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(foundLetter{}, err)
		}
	}
}

// readColumns calls each with chunks of the rows [from, to) until it returns false.
func (s *Store) readColumns(ctx context.Context, o *record.Object, names []string, from, to int64,
	each func(eventbatch.Columns) bool) error {
	f, err := s.cfg.Open(ctx, *o)
	if err != nil {
		return err
	}
	defer f.Close()
	for c, err := range f.Read(ctx, names, from, to) {
		if err != nil {
			return fmt.Errorf("read dead letters of %s: %w", o.Key, err)
		}
		if !each(c) {
			return nil
		}
	}
	return nil
}

// LetterOf returns the dead letter in the first row of the columns, which have its position.
func LetterOf(c eventbatch.Columns, partition int) deadletter.Letter {
	return letterAt(c, 0, partition).Letter
}

// letterAt returns row i of the columns.
func letterAt(c eventbatch.Columns, i, partition int) (l foundLetter) {
	l.time = int64(c.Time.Value(i))
	l.name = deadletter.Name{Partition: partition, Seq: uint64(intValue(c, object.ColSeq, i)),
		Index: int(intValue(c, object.ColIndex, i))}
	l.Letter = deadletter.Letter{
		Name: l.name.String(), Received: time.UnixMicro(l.time).UTC(),
		Tenant: textValue(c, eventbatch.ColTenant, i),
		Code:   textValue(c, deadletter.FieldCode, i), Message: textValue(c, deadletter.FieldMessage, i),
		EventType: textValue(c, deadletter.FieldEventType, i), Source: textValue(c, eventbatch.ColSource, i),
		EventID: textValue(c, deadletter.FieldEventID, i), EventTime: textValue(c, deadletter.FieldEventTime, i),
		Bytes: intValue(c, deadletter.FieldBytes, i), Truncated: boolValue(c, deadletter.FieldTruncated, i),
		Strict: boolValue(c, deadletter.FieldStrict, i),
	}
	if a := c.Field(deadletter.FieldIndex); a != nil && a.IsValid(i) {
		index := intValue(c, deadletter.FieldIndex, i)
		l.Index = &index
	}
	return l
}

// readRaw sets the bytes of the dead letters of the page, one object after another.
func (s *Store) readRaw(ctx context.Context, page []foundLetter) error {
	byObject := map[*record.Object][]*foundLetter{}
	for i := range page {
		byObject[page[i].object] = append(byObject[page[i].object], &page[i])
	}
	for o, letters := range byObject {
		rows := map[int64]*foundLetter{}
		from := o.Rows
		to := int64(0)
		for _, l := range letters {
			rows[l.row] = l
			from = min(from, l.row)
			to = max(to, l.row+1)
		}
		row := from
		err := s.readColumns(ctx, o, []string{deadletter.FieldRaw, deadletter.FieldRawBase64}, from, to,
			func(c eventbatch.Columns) bool {
				for i := range int(c.Rec.NumRows()) {
					if l := rows[row]; l != nil {
						l.Raw = nullableText(c, deadletter.FieldRaw, i)
						l.RawBase64 = nullableText(c, deadletter.FieldRawBase64, i)
					}
					row++
				}
				return true
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// nullableText returns a string, or nil for null. Files keep strings plain or in a dictionary.
func nullableText(c eventbatch.Columns, name string, i int) *string {
	var s string
	switch a := c.Field(name).(type) {
	case *array.String:
		if a.IsNull(i) {
			return nil
		}
		s = a.Value(i)
	case *array.Dictionary:
		if a.IsNull(i) {
			return nil
		}
		s = a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
	default:
		return nil
	}
	s = strings.Clone(s) // The record's memory is reused.
	return &s
}

func textValue(c eventbatch.Columns, name string, i int) string {
	if s := nullableText(c, name, i); s != nil {
		return *s
	}
	return ""
}

func intValue(c eventbatch.Columns, name string, i int) int64 {
	switch a := c.Field(name).(type) {
	case *array.Int64:
		return a.Value(i)
	case *array.Int32:
		return int64(a.Value(i))
	}
	return 0
}

func boolValue(c eventbatch.Columns, name string, i int) bool {
	a, ok := c.Field(name).(*array.Boolean)
	return ok && a.IsValid(i) && a.Value(i)
}
