package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"recount/batch/exact"
	"recount/batch/explain"
	"recount/batch/object"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/reader"
	"recount/speed/eventlog"
	"recount/speed/ingest"
)

// explanations explains events to the API. Every process reads the lake and the log, so each role can.
func (s *Server) explanations(memory *query.Budget) (events explainedEvents, err error) {
	s.explained, err = explain.New(explain.Config{
		Catalog: s.generations, Identity: s.installation.Identity, Chains: s.currentChains, Open: s.openUnverified,
		Records: s.engines.records, Log: explainedLog{source{s.engines.log}}, Newest: s.explainedState,
		DeadLetters: func(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error) {
			return s.deadLetters.List(ctx, tenant, f, false)
		},
		Registerer: s.registry,
	})
	return explainedEvents{s.explained, s.installation.ID, memory}, err
}

// explainedState returns the newest publication, or the error with which queries are refused too.
func (s *Server) explainedState(ctx context.Context) (*record.State, error) {
	state, err := s.publisher.Newest(ctx)
	switch {
	case errors.Is(err, record.ErrMissing):
		return nil, fmt.Errorf("%w: %w", reader.ErrMissing, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", reader.ErrPublications, err)
	}
	return state, nil
}

// smallObject is up to how many bytes an object is read with one request. More requests cost more than these bytes.
const smallObject = 256 << 10

// openUnverified opens an object for reads of ranges. The digest of a large one is not compared, because that would
// read all of it.
func (s *Server) openUnverified(ctx context.Context, o record.Object) (exact.File, error) {
	r, err := s.engines.lake.Open(ctx, o.Key)
	if err != nil {
		return nil, err
	}
	if o.Size <= smallObject {
		return readWhole(ctx, o, r)
	}
	return object.Open(ctx, o, r)
}

// explainedLog is the log in the form that explanations read.
type explainedLog struct{ source }

func (l explainedLog) Bounds(ctx context.Context, partition int) (first, next uint64, err error) {
	return l.log.Bounds(ctx, partition)
}

func (l explainedLog) Get(ctx context.Context, partition int, seq uint64) ([]byte, time.Time, error) {
	m, err := l.log.Get(ctx, partition, seq)
	if errors.Is(err, eventlog.ErrNotFound) {
		err = fmt.Errorf("%w: %w", position.ErrGap, err)
	}
	return m.Data, m.Stored, err
}

// explainedEvents serves events and explanations to the API.
type explainedEvents struct {
	store        *explain.Store
	installation string
	memory       *query.Budget
}

func (e explainedEvents) List(ctx context.Context, q query.EventSelection) (*openapi.EventPage, error) {
	q.Memory = e.memory.Open(q.Tenant)
	defer q.Memory.Close()
	page, err := e.store.List(ctx, q)
	if errors.Is(err, explain.ErrLog) {
		return nil, &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.LogUnavailable,
			Detail: explain.ErrLog.Error(), RetryAfter: time.Second}
	}
	return page, err
}

func (e explainedEvents) Explain(ctx context.Context, tenant, src, id string,
	at time.Time) (*openapi.Explanation, error) {
	explanation, err := e.store.Explain(ctx, explain.Question{Tenant: tenant, Source: src, ID: id, Time: at})
	if errors.Is(err, explain.ErrBusy) {
		return nil, &problem.Problem{Status: http.StatusTooManyRequests, Code: problem.TooManyQueries,
			Detail: explain.ErrBusy.Error(), RetryAfter: time.Second}
	}
	return explanation, err
}

func (e explainedEvents) Receipt(ctx context.Context, receipt string) (*openapi.Receipt, error) {
	places, err := ingest.DecodeReceipt(receipt, e.installation)
	if err != nil {
		return nil, &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidRequest, Field: "receipt",
			Detail: err.Error()}
	}
	asked := make([]explain.Place, len(places))
	for i, p := range places {
		asked[i] = explain.Place{Count: p.Count, Position: openapi.Position{Partition: p.Partition, Epoch: p.Epoch,
			Sequence: p.Seq, Index: p.First}}
	}
	return e.store.Receipt(ctx, asked)
}
