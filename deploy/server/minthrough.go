package server

import (
	"context"
	"fmt"
	"slices"

	"recount/batch/explain"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/speed/ingest"
)

// setMinThrough sets what the receipts or offsets of a query ask for, by partition. A message that this process knows
// to be in the log is not looked for. Any other one may be of another log, or lost, or not there yet, and no answer
// would ever have it: so the commit chains and the log are asked.
func (s *Server) setMinThrough(ctx context.Context, m *query.MinThrough) error {
	partitions := s.cfg.Log.Partitions
	if len(m.Offsets) > 0 {
		return s.setMinOffsets(ctx, m, partitions)
	}
	m.Next = make([]uint64, partitions)
	known := s.knownLog()
	var doubtful []explain.Place
	for i, receipt := range m.Receipts {
		places, err := ingest.DecodeReceipt(receipt, s.installation.ID)
		if err != nil {
			return minThroughError("receipt %d: %v", i+1, err)
		}
		for _, p := range places {
			if p.Partition >= partitions {
				return minThroughError("receipt %d names partition %d, and there are %d: it is of another installation",
					i+1, p.Partition, partitions)
			}
			m.Next[p.Partition] = max(m.Next[p.Partition], p.Seq+1)
			if k := known[p.Partition]; p.Epoch != k.epoch || p.Seq >= k.next {
				doubtful = append(doubtful, explain.Place{Position: openapi.Position{Partition: p.Partition,
					Epoch: p.Epoch, Sequence: p.Seq}})
			}
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	found, err := s.explained.Receipt(ctx, doubtful)
	if err != nil {
		return err
	}
	return checkPlaces(found.Places)
}

// checkPlaces refuses places that no answer will ever cover.
func checkPlaces(places []openapi.ReceiptPlace) error {
	i := slices.IndexFunc(places, func(p openapi.ReceiptPlace) bool {
		return p.State == openapi.ReceiptUnknown || p.State == openapi.ReceiptGivenUp
	})
	switch {
	case i < 0:
		return nil
	case places[i].State == openapi.ReceiptGivenUp:
		return minThroughError("message %d of partition %d was lost, and an operator gave it up (recount hole): send "+
			"its events again", places[i].Position.Sequence, places[i].Position.Partition)
	}
	at := places[i].Position
	return minThroughError("the log has no message %d of epoch %d in partition %d: the receipt is of another log, or "+
		"this one has lost its end since; GET /v1/receipts/{receipt} says what became of the events", at.Sequence,
		at.Epoch, at.Partition)
}

// setMinOffsets sets what offsets ask for.
func (s *Server) setMinOffsets(ctx context.Context, m *query.MinThrough, partitions int) error {
	if len(m.Offsets) != partitions {
		return minThroughError("%d offsets; write one for each of the %d partitions, as accuracy.through has them",
			len(m.Offsets), partitions)
	}
	known := s.knownLog()
	for p, next := range m.Offsets {
		if next <= known[p].next {
			continue
		}
		_, end, err := s.engines.log.Bounds(ctx, p)
		if err != nil {
			return fmt.Errorf("look for the offsets of min_through: %w", err)
		}
		if next > end {
			return minThroughError("offset %d of partition %d is beyond the end of its log, which is %d: it is of "+
				"another log, or this one has lost its end since", next, p, end)
		}
	}
	m.Next = slices.Clone(m.Offsets)
	return nil
}

// knownEnd is how far a partition's log is known to reach, in its newest epoch.
type knownEnd struct {
	epoch uint32
	next  uint64
}

// knownLog returns what the real-time views know of the log. Without them it is nothing.
func (s *Server) knownLog() []knownEnd {
	out := make([]knownEnd, s.cfg.Log.Partitions)
	if s.views == nil {
		return out
	}
	for _, p := range s.views.Status() {
		out[p.Partition] = knownEnd{p.Epoch, p.Known}
	}
	return out
}

func minThroughError(format string, args ...any) error {
	return &query.Error{Field: "min_through", Msg: fmt.Sprintf(format, args...)}
}
