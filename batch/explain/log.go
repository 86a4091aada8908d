package explain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/batch/deadletters"
	"recount/batch/exact"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
)

const (
	ownTail   = 128 << 20 // bytes of the log that are read in the event's partition
	otherTail = 16 << 20  // likewise in each other partition, for dead letters
)

// searchLog finds events and dead letters that have not landed. A dead letter is in a partition of its own. A log that
// cannot be read leaves the search incomplete, because what has landed can be explained without it.
func (e *search) searchLog(ctx context.Context, partition int, own bool) error {
	head := e.chains[partition].Head.Seq
	err := e.readTail(ctx, partition, head, own)
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, position.ErrGap), errors.Is(err, position.ErrTrimmed), errors.Is(err, eventbatch.ErrCorrupt):
		e.miss("messages of partition %d of the log from %d on: %v", partition, head, err)
	default:
		e.miss("messages of partition %d of the log from %d on: the log cannot be read now", partition, head)
	}
	return nil
}

// readTail reads the messages of a partition from the head of its chain on.
func (e *search) readTail(ctx context.Context, partition int, head uint64, own bool) error {
	_, next, err := e.cfg.Log.Bounds(ctx, partition)
	if err != nil || head >= next {
		return err
	}
	budget := otherTail
	if own {
		budget = ownTail
	}
	r, err := e.cfg.Log.Read(ctx, partition, head)
	if err != nil {
		return err
	}
	defer r.Close()
	for seq := head; seq < next; seq++ {
		if budget <= 0 {
			e.miss("messages %d to %d of partition %d of the log", seq, next-1, partition)
			return nil
		}
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		budget -= len(m.Frame)
		if err := e.searchMessage(partition, m, own); err != nil {
			return err
		}
	}
	return nil
}

// searchMessage adds the events and dead letters of a message that are wanted.
func (e *search) searchMessage(partition int, m eventbatch.Message, own bool) error {
	e.mu.Lock()
	e.answer.Search.Messages++
	e.mu.Unlock()
	h, err := eventbatch.ReadHeader(m.Frame)
	if err != nil || h.Kind == eventbatch.Heartbeat || !own && h.Type != deadletter.Type {
		return err
	}
	_, batches, err := eventbatch.Decode(m.Frame)
	if err != nil {
		return fmt.Errorf("message %d: %w", m.Seq, err)
	}
	first := 0
	for _, c := range batches {
		for i := range int(c.Rec.NumRows()) {
			wanted := own && bytes.Equal(c.Key.Value(i), e.key[:])
			rejected := h.Type == deadletter.Type && e.isRejected(c, i)
			if !wanted && !rejected {
				continue
			}
			row, err := rowOf(c, i, m.Seq, first+i)
			if err != nil {
				return fmt.Errorf("message %d: %w", m.Seq, err)
			}
			if wanted && e.isWanted(row) {
				e.add(&event{eventType: h.Type, columns: row, uniform: true,
					position: openapi.Position{Partition: partition, Epoch: e.chains[partition].Head.Epoch,
						Sequence: m.Seq, Index: first + i}})
			}
			if rejected {
				e.addLetters(deadletters.LetterOf(row, partition))
			}
		}
		first += int(c.Rec.NumRows())
	}
	return nil
}

// isRejected reports whether a dead letter is a rejection of the event.
func (e *search) isRejected(c eventbatch.Columns, i int) bool {
	id := c.Field(deadletter.FieldEventID)
	return id != nil && id.IsValid(i) && textOf(id, i) == e.ID && textOf(c.Tenant, i) == e.Tenant &&
		textOf(c.Source, i) == e.Source
}

// rowOf returns a row of a message as the lake will have it: with its position. It shares no memory with the message.
func rowOf(c eventbatch.Columns, i int, seq uint64, index int) (eventbatch.Columns, error) {
	fields := slices.Clone(c.Rec.Schema().Fields())
	var columns []arrow.Array
	for _, all := range c.Rec.Columns() {
		one, err := valueAt(all, i)
		if err != nil {
			return eventbatch.Columns{}, err
		}
		columns = append(columns, one)
	}
	seqs := array.NewInt64Builder(memory.DefaultAllocator)
	seqs.Append(int64(seq))
	indexes := array.NewInt32Builder(memory.DefaultAllocator)
	indexes.Append(int32(index))
	fields = append(fields, arrow.Field{Name: exact.ColSeq, Type: arrow.PrimitiveTypes.Int64},
		arrow.Field{Name: exact.ColIndex, Type: arrow.PrimitiveTypes.Int32})
	columns = append(columns, seqs.NewArray(), indexes.NewArray())
	return eventbatch.NewColumns(array.NewRecord(arrow.NewSchema(fields, nil), columns, 1))
}

// valueAt returns a copy of one value of a column. Of a dictionary it keeps that value only.
func valueAt(column arrow.Array, i int) (arrow.Array, error) {
	d, isDictionary := column.(*array.Dictionary)
	if !isDictionary {
		one := array.NewSlice(column, int64(i), int64(i)+1)
		return array.Concatenate([]arrow.Array{one}, memory.DefaultAllocator)
	}
	indexes := array.NewBuilder(memory.DefaultAllocator, d.DataType().(*arrow.DictionaryType).IndexType)
	if d.IsNull(i) {
		indexes.AppendNull()
		none := array.NewBuilder(memory.DefaultAllocator, d.Dictionary().DataType()).NewArray()
		return array.NewDictionaryArray(d.DataType(), indexes.NewArray(), none), nil
	}
	indexes.AppendEmptyValue() // index 0
	value, err := valueAt(d.Dictionary(), d.GetValueIndex(i))
	if err != nil {
		return nil, err
	}
	return array.NewDictionaryArray(d.DataType(), indexes.NewArray(), value), nil
}
