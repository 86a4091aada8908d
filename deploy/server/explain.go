package server

import (
	"context"
	"net/http"
	"time"

	"recount/batch/exact"
	"recount/batch/explain"
	"recount/batch/object"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/record"
	"recount/speed/ingest"
)

// explanations explains events to the API. Every process reads the lake and the log, so each role can.
func (s *Server) explanations() explainedEvents {
	return explainedEvents{explain.New(explain.Config{
		Catalog: s.catalog, Identity: s.installation.Identity, Chains: s.currentChains, Open: s.openUnverified,
		Records: s.engines.records, Log: explainedLog{source{s.engines.log}}, Newest: s.publisher.State,
		DeadLetters: func(ctx context.Context, tenant string, f deadletter.Filter) (deadletter.Page, error) {
			return s.deadLetters.List(ctx, tenant, f, false)
		},
	})}
}

// openUnverified opens an object for reads of ranges. Its digest is not compared, because that would read all of it.
func (s *Server) openUnverified(ctx context.Context, o record.Object) (exact.File, error) {
	r, err := s.engines.lake.Open(ctx, o.Key)
	if err != nil {
		return nil, err
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
	return m.Data, m.Stored, err
}

// explainedEvents serves explanations to the API.
type explainedEvents struct{ store *explain.Store }

func (e explainedEvents) Explain(ctx context.Context, tenant, src, id string,
	at time.Time) (*openapi.Explanation, error) {
	return e.store.Explain(ctx, explain.Question{Tenant: tenant, Source: src, ID: id, Time: at})
}

func (e explainedEvents) Receipt(ctx context.Context, receipt string) (*openapi.Receipt, error) {
	places, err := ingest.DecodeReceipt(receipt)
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
