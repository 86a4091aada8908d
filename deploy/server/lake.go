package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/schemas/query"
	"recount/schemas/record"
)

// currentChains returns the commit chains as they are stored now. Those that the lander or the start
// has read are extended first, because another owner may have landed more. An object whose record
// was not read would look like an object that no record names (C8).
func (s *Server) currentChains(ctx context.Context) ([]*record.Chain, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	chains := s.chains
	if s.lander != nil {
		chains = s.lander.Chains()
	}
	out := make([]*record.Chain, len(chains))
	for i, c := range chains {
		if err := landing.Extend(ctx, s.engines.records, c); err != nil {
			return nil, fmt.Errorf("partition %d: %w", c.Partition, err)
		}
		extended := *c
		out[i] = &extended
	}
	return out, nil
}

// openObject opens a committed object for the batch engine. Its digest is compared with the record's
// the first time in this process. Objects are immutable, and to hash each one at every run would
// double the work.
func (s *Server) openObject(ctx context.Context, o record.Object) (exact.File, error) {
	r, err := s.engines.lake.Open(ctx, o.Key)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	open := s.openRanges
	if _, seen := s.verified.Load(o.Key); !seen {
		open = s.verifyAndOpen
	}
	f, err := open(ctx, o, r)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	return f, nil
}

// openRanges opens an object. Only the columns and rows that the caller asks for are read.
func (s *Server) openRanges(ctx context.Context, o record.Object, r *lake.Object) (exact.File, error) {
	f, err := object.Open(ctx, o, r)
	if err != nil {
		return nil, err
	}
	return f.Lend(), nil
}

// verifyAndOpen compares the digest of an object. Where there is memory for it, the bytes that were read for this are
// kept until the file is closed, so that nothing is read twice.
func (s *Server) verifyAndOpen(ctx context.Context, o record.Object, r *lake.Object) (exact.File, error) {
	if !s.held.TryAcquire(o.Size) {
		if err := object.Verify(ctx, o, r); err != nil {
			return nil, err
		}
		s.verified.Store(o.Key, struct{}{})
		return s.openRanges(ctx, o, r)
	}
	f, err := readWhole(ctx, o, r)
	if err != nil {
		s.held.Release(o.Size)
		return nil, err
	}
	s.verified.Store(o.Key, struct{}{})
	return heldFile{f.Lend(), func() { s.held.Release(o.Size) }}, nil
}

// readWhole reads an object into memory, compares its digest and opens it.
func readWhole(ctx context.Context, o record.Object, r *lake.Object) (*object.File, error) {
	raw := make([]byte, o.Size+1) // One more byte shows whether the object is longer.
	n, err := r.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	raw = raw[:n]
	if err := object.Verify(ctx, o, bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	return object.OpenBytes(ctx, o, raw)
}

// heldFile is an open object that is in memory.
type heldFile struct {
	*object.File
	release func()
}

func (f heldFile) Close() error {
	f.release()
	return f.File.Close()
}

// objectsOf lists the objects with events of a type before H of a publication, in buckets that [from, to) touches.
func (s *Server) objectsOf(ctx context.Context, state *record.State, eventType string, from, to int64) (
	*query.ObjectList, error) {
	chains, err := s.currentChains(ctx)
	if err != nil {
		return nil, err
	}
	width := s.cfg.Bucket.Microseconds()
	list := &query.ObjectList{Keys: []string{}}
	for _, o := range record.CommittedObjects(chains, state.H, nil, eventType) {
		var rows int64
		for _, b := range o.Buckets {
			if b.Bucket < to && b.Bucket+width > from {
				rows += b.Rows
			}
		}
		list.Add(o.Key, rows)
	}
	return list, nil
}
