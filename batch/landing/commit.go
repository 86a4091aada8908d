package landing

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"recount/batch/object"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// land lands the open segment, which ends before the message end: the steps CUT to ACK. When it
// returns nil, the head is at end. errMoved means that another process created the record there.
func (p *partition) land(ctx context.Context, s *segment, end uint64) error {
	c := &record.Commit{Kind: record.Segment, Epoch: s.start.Epoch, Partition: p.id, Start: s.start.Seq, End: end,
		Events: s.events, Tenants: map[string]int64{}, Attempt: p.cfg.Attempt(), Created: p.cfg.Now().UTC(),
		Previous: p.chain.Tip}
	size := int64(0)
	failpoint.Point("landing.cut.after")
	for _, t := range s.sortedTables() {
		o, err := p.store(ctx, t, c)
		if err != nil {
			return err
		}
		o.Tenants = t.Tenants()
		for tenant, n := range o.Tenants {
			c.Tenants[tenant] += n
		}
		c.Objects = append(c.Objects, o)
		size += o.Size
	}
	if err := p.commit(ctx, c); err != nil {
		return err
	}
	p.metrics.countSegment(s, size)
	return nil
}

// store makes one object durable: ENCODE, PUT, VERIFY. An object that may have been stored, or
// was stored wrongly, is left where it is (N3), and put again under another name.
func (p *partition) store(ctx context.Context, t *object.Table, c *record.Commit) (o record.Object, err error) {
	var body []byte
	err = p.timeStage(stageEncode, func() error {
		body, o, err = p.cfg.Encode(t)
		return err
	})
	failpoint.Point("landing.encode.after")
	if err != nil {
		return o, fmt.Errorf("encode [%d, %d): %w", c.Start, c.End, err)
	}
	if err := p.storeSchema(ctx, t); err != nil {
		return o, err
	}
	err = p.retry(ctx, stagePut, func() error {
		o.Key = object.Key(o.Type, c.Created, c.Epoch, p.id, c.Start, c.End, p.cfg.Attempt())
		if failpoint.Off(failpoint.C2) {
			o.Key = object.Key(o.Type, c.Created, c.Epoch, p.id, c.Start, c.End, "only")
		}
		failpoint.Point("landing.put.before")
		if err := p.objects.Put(ctx, o.Key, bytes.NewReader(body), o.Size); err != nil {
			return err
		}
		failpoint.Point("landing.put.after")
		defer failpoint.Point("landing.verify.after")
		return p.timeStage(stageVerify, func() error { return p.verify(ctx, o) })
	})
	return o, err
}

// verify compares the object with its record as a reader will see it (C4).
func (p *partition) verify(ctx context.Context, o record.Object) error {
	if failpoint.Off(failpoint.C4) {
		return nil
	}
	there, err := p.objects.Get(ctx, o.Key)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	return object.Verify(ctx, o, bytes.NewReader(there))
}

// storeSchema makes the schema of the table durable before a record names its id.
func (p *partition) storeSchema(ctx context.Context, t *object.Table) error {
	e := t.EventType()
	key := schemaKey(e)
	if p.schemas[key] {
		return nil
	}
	err := p.retry(ctx, stageSchema, func() error { return createSchema(ctx, p.records, e) })
	p.schemas[key] = err == nil
	return err
}

// commit creates the record that continues the chain (N1), with the same bytes until the outcome
// is known (C5, N2). Then it moves the chain past the record that is there, its own or another's.
func (p *partition) commit(ctx context.Context, c *record.Commit) error {
	if p.isCovered(ctx) {
		return errMoved // Its messages have landed, or its record is missing (C10). The chain says which.
	}
	raw, err := c.Encode()
	if err == nil && len(raw) > record.MaxCommit {
		err = fmt.Errorf("the record would have %d bytes, above the limit of %d, because its events are in too many "+
			"buckets: lower landing.cut_rows and start again", len(raw), record.MaxCommit)
	}
	if err != nil {
		return fmt.Errorf("commit [%d, %d): %w", c.Start, c.End, err)
	}
	var outcome record.Outcome
	var there []byte
	err = p.retry(ctx, stageCommit, func() (err error) {
		failpoint.Point("landing.create.before")
		outcome, there, err = p.records.Create(ctx, p.chain.NextKey(), raw)
		failpoint.Point("landing.create.after")
		if err == nil && outcome == record.Unknown {
			err = errors.New("the outcome is unknown")
		}
		return err
	})
	if err != nil {
		return err
	}
	if outcome == record.Created {
		there = raw
	}
	if _, err := p.chain.Extend(there); err != nil {
		return err
	}
	p.announceHead()
	if outcome == record.Exists {
		p.metrics.lost.Inc()
		return errMoved
	}
	return nil
}
