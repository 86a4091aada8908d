package preview

import (
	"context"
	"fmt"
	"time"

	"recount/batch/exact"
	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// readTails reads what has not landed of the types that are wanted. A part of the log that cannot be read leaves the
// preview partial, because it is worth having without.
func (w *work) readTails(ctx context.Context, chains []*record.Chain) error {
	for p, c := range chains {
		t := &tail{work: w, chain: c, budget: maxTail / len(chains), tables: map[string][]*object.Table{}}
		err := t.read(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			for _, s := range w.samples {
				s.partial = true
			}
		}
		if err := t.addObjects(ctx); err != nil {
			return fmt.Errorf("preview: make an object of messages of partition %d: %w", p, err)
		}
	}
	return nil
}

// tail is the messages of a partition from the head of its chain on.
type tail struct {
	*work
	chain  *record.Chain
	budget int // bytes of messages that may still be read
	tables map[string][]*object.Table
}

func (t *tail) read(ctx context.Context, partition int) error {
	head := t.chain.Head.Seq
	_, next, err := t.cfg.Log.Bounds(ctx, partition)
	if err != nil || head >= next {
		return err
	}
	r, err := t.cfg.Log.Read(ctx, partition, head)
	if err != nil {
		return err
	}
	defer r.Close()
	for range next - head {
		m, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if t.budget -= len(m.Frame); t.budget < 0 {
			return errRest
		}
		if err := t.add(m); err != nil {
			return err
		}
	}
	return nil
}

// add adds the events of a message to tables, as landing does.
func (t *tail) add(m eventbatch.Message) error {
	h, err := eventbatch.ReadHeader(m.Frame)
	if err != nil || h.Kind == eventbatch.Heartbeat || t.samples[h.Type] == nil {
		return err
	}
	_, batches, err := eventbatch.Decode(m.Frame)
	if err != nil {
		return err
	}
	index := 0
	for _, b := range batches {
		table := t.table(h.Type, b)
		if err := table.Append(position.Offset{Epoch: t.chain.Head.Epoch, Seq: m.Seq}, index, b); err != nil {
			return err
		}
		index += int(b.Rec.NumRows())
	}
	return nil
}

// table returns the table that can hold the batch.
func (t *tail) table(eventType string, b eventbatch.Columns) *object.Table {
	for _, table := range t.tables[eventType] {
		if table.Accepts(b) {
			return table
		}
	}
	table := object.NewTable(eventType, t.chain.Partition, t.chain.Head.Epoch,
		time.Duration(t.width)*time.Microsecond)
	t.tables[eventType] = append(t.tables[eventType], table)
	return table
}

// addObjects makes objects of the tables.
func (t *tail) addObjects(ctx context.Context) error {
	for eventType, tables := range t.tables {
		for i, table := range tables {
			raw, o, err := table.Encode()
			if err != nil {
				return err
			}
			o.Key = fmt.Sprintf("log of partition %d, %s %d", t.chain.Partition, eventType, i)
			f, err := object.OpenBytes(ctx, o, raw)
			if err != nil {
				return err
			}
			s := t.samples[eventType]
			s.tail = append(s.tail, source{open: f,
				Object: exact.Object{Object: o, Partition: t.chain.Partition, Start: t.chain.Head.Seq}})
		}
	}
	return nil
}
