package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/acklog"
	"recount/schemas/query"
)

// queriers is how many queries may wait for an answer at the same time.
const queriers = 8

// maxRecorded is the largest answer that is recorded, in bytes.
const maxRecorded = 4 << 20

// query starts goroutines that send queries at the configured rate until the schedule ends.
func (l *Load) query(ctx context.Context, g *errgroup.Group, start time.Time) {
	if l.cfg.Answers == 0 {
		return
	}
	var next atomic.Int64
	interval := time.Duration(float64(time.Second) / l.cfg.Answers)
	for range queriers {
		g.Go(func() error {
			for {
				n := next.Add(1) - 1
				due := start.Add(time.Duration(n) * interval)
				if due.After(l.end) || !sleepUntil(ctx, due) {
					return nil
				}
				if time.Since(due) > l.cfg.Patience {
					l.tally.missQuery()
					continue
				}
				if err := l.ask(ctx, n, due); err != nil {
					return err
				}
			}
		})
	}
}

// question returns a query over the time of the run: in turn the total of the view, and the groups of its first
// dimension.
func (l *Load) question(n int64) *query.Query {
	const day = 24 * time.Hour // A multiple of every cell.
	q := &query.Query{
		View: l.view.Name, Mode: query.Merged,
		From: l.events.start.Add(-l.cfg.LateBy - l.cfg.interval()).UTC().Truncate(day),
		To:   l.end.Add(day).UTC().Truncate(day),
	}
	if n%2 == 1 && len(l.view.Dimensions) > 0 {
		q.GroupBy = []string{l.view.Dimensions[0].Name}
	}
	return q
}

// ask sends one query and records its answer (V7).
func (l *Load) ask(ctx context.Context, n int64, due time.Time) error {
	q := l.question(n)
	question, err := json.Marshal(q)
	if err != nil {
		return err
	}
	answer, err := l.answer(ctx, q)
	l.tally.addQuery(time.Since(due), err)
	if err != nil {
		l.logger.Debug("A query of the load failed.", "error", err)
		return nil
	}
	return l.acks.Write(acklog.Line{Kind: acklog.Answer, Query: question, Response: answer, Intended: due.UnixMicro(),
		Done: time.Now().UnixMicro()})
}

// answer sends a query and returns the body of its answer.
func (l *Load) answer(ctx context.Context, q *query.Query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	answer, err := l.client.QueryAs(ctx, q, client.JSON)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	raw, err := io.ReadAll(io.LimitReader(answer, maxRecorded+1))
	switch {
	case err != nil:
		return nil, err
	case len(raw) > maxRecorded:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxRecorded)
	}
	return bytes.TrimSpace(raw), nil
}
