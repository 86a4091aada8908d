package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/client/acklog"
	"recount/deploy/verify"
	"recount/schemas/catalog"
	"recount/schemas/record"
)

// record runs a server over the world's data_dir while run runs. What run records is added to the acknowledgement log.
func (w *world) record(t *testing.T, run func(context.Context, *ackClient) error) {
	t.Helper()
	url, end := w.start(t)
	var file bytes.Buffer
	c, err := newAckClient(url, &file)
	if err == nil {
		err = errors.Join(run(t.Context(), c), c.log.Flush())
		c.Close()
	}
	end()
	if err != nil {
		t.Fatal(err)
	}
	w.acks = append(bytes.Clone(w.acks), file.Bytes()...)
}

// askAsOf records the answer that a publication gives.
func (c *ackClient) askAsOf(ctx context.Context, n uint64) ([]byte, error) {
	raw := fmt.Sprintf(`%s,"mode":"exact","as_of":%d}`, question[:len(question)-1], n)
	answer, err := c.QueryAs(ctx, parseQuery(raw), client.JSON)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer)
	if err := errors.Join(err, answer.Close()); err != nil {
		return nil, err
	}
	return body, c.log.Write(acklog.Line{Kind: acklog.Answer, Query: json.RawMessage(raw), Response: body})
}

// TestFill verifies publications that fill the first view of a type in steps, and then a second one (B8). They are as
// they should be, and so are their answers. An answer that does not say from when its view is filled is a finding.
func TestFill(t *testing.T) {
	w := shared.copied(t)
	views := w.cfg.Views
	w.cfg.Views = map[string]*catalog.View{}
	before := uint64(0) // the publication that has no view
	w.record(t, func(ctx context.Context, c *ackClient) error {
		run, err := c.RunJob(ctx, "recompute")
		before = run.Publication
		return err
	})
	w.cfg.Views = maps.Clone(views)
	w.cfg.Batch.StepRows = 1
	filling := int64(0)
	w.record(t, func(ctx context.Context, c *ackClient) error {
		if err := c.publish(ctx); err != nil {
			return err
		}
		kept, err := c.Publications(ctx)
		for _, p := range kept {
			view, published := p.Views["hits"]
			if !published || p.N <= before || err != nil {
				continue
			}
			var answer []byte
			if answer, err = c.askAsOf(ctx, p.N); !view.FilledFrom.IsZero() {
				filling++
				if !bytes.Contains(answer, []byte(`"complete":false`)) {
					err = errors.Join(err, fmt.Errorf("publication %d answers %s", p.N, answer))
				}
			}
		}
		return err
	})
	again := *views["hits"]
	again.Cell = time.Hour
	w.cfg.Views["again"] = &again
	w.record(t, func(ctx context.Context, c *ackClient) error {
		_, err := c.RunJob(ctx, "recompute")
		return err
	})
	if filling < 2 {
		t.Errorf("%d publications fill the view, want one for each bucket but the last", filling)
	}
	report := w.verify(t)
	if !report.Clean() {
		t.Fatalf("not clean: %s", dump(report))
	}
	silent := *w
	silent.acks = bytes.ReplaceAll(w.acks, []byte(`"filled_from"`), []byte(`"filled_then"`))
	if report := silent.verify(t); report.Check(verify.V7).Findings < filling {
		t.Errorf("%d answers do not say that they lack history, and fewer are found: %s", filling, dump(report))
	}
}

// TestFillOfTheNewest verifies a newest publication that lacks a bucket. With a fill it is as it should be, and without
// one the bucket is a finding.
func TestFillOfTheNewest(t *testing.T) {
	w := shared.copied(t)
	h := w.publication(t, 0)
	view := h.Views["hits"]
	lost := view.Buckets[0]
	view.Full = true
	view.Buckets = view.Buckets[1:]
	view.Fill = &record.Fill{From: view.Buckets[0].Bucket, Buckets: 1, Rows: h.Types["hit"][0].Rows}
	w.overwrite(t, record.PublicationKey(h.N), h)
	if report := w.verify(t); !report.Clean() || h.Types["hit"][0].Bucket != lost.Bucket {
		t.Fatalf("without %+v: not clean: %s", lost, dump(report))
	}
	view.Fill = nil
	h.Requires = nil
	w.overwrite(t, record.PublicationKey(h.N), h)
	if report := w.verify(t); report.Check(verify.V6).Findings == 0 {
		t.Errorf("without %+v and a fill: no finding: %s", lost, dump(report))
	}
}
