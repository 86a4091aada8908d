package landing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/batch/object"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Rebuild restores a committed object that is missing, from the messages of its segment that the
// log still has (C8). It writes the object under its own name, which readers know, so the bytes
// must be those that the record names. Another digest is an error, and nothing is written. The error wraps
// record.ErrObjectLost if the log no longer has the messages, or has others. bucket is the width of a bucket.
func Rebuild(ctx context.Context, source Source, objects Objects, c *record.Commit, key string,
	bucket time.Duration) error {
	at := slices.IndexFunc(c.Objects, func(o record.Object) bool { return o.Key == key })
	if at < 0 {
		return fmt.Errorf("rebuild %s: the record of segment [%d, %d) of partition %d does not name it",
			key, c.Start, c.End, c.Partition)
	}
	s, err := readAgain(ctx, source, c, bucket)
	if errors.Is(err, position.ErrTrimmed) || errors.Is(err, position.ErrGap) ||
		errors.Is(err, eventbatch.ErrCorrupt) {
		return fmt.Errorf("rebuild %s: %w: %w", key, record.ErrObjectLost, err)
	}
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", key, err)
	}
	tables := s.sortedTables() // A record lists its objects in this order.
	if len(tables) != len(c.Objects) {
		return fmt.Errorf("rebuild %s: %w: the messages of the log make %d objects and the record names %d",
			key, record.ErrObjectLost, len(tables), len(c.Objects))
	}
	body, got, err := tables[at].Encode()
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", key, err)
	}
	if want := c.Objects[at]; got.Digest != want.Digest || got.SHA256 != want.SHA256 {
		return fmt.Errorf(
			"rebuild %s: %w: the messages of the log give digest %s and SHA-256 %s and the record names %s and %s",
			key, record.ErrObjectLost, got.Digest, got.SHA256, want.Digest, want.SHA256)
	}
	if err := objects.Put(ctx, key, bytes.NewReader(body), got.Size); err != nil {
		return fmt.Errorf("rebuild %s: %w", key, err)
	}
	return nil
}

// Landed reports whether the messages of the log are those of a committed segment: whether they give the digests that
// the record names. bucket is the width of a bucket.
func Landed(ctx context.Context, source Source, c *record.Commit, bucket time.Duration) (bool, error) {
	s, err := readAgain(ctx, source, c, bucket)
	if err != nil {
		return false, fmt.Errorf("read segment [%d, %d) of partition %d again: %w", c.Start, c.End, c.Partition, err)
	}
	tables := s.sortedTables() // A record lists its objects in this order.
	if len(tables) != len(c.Objects) {
		return false, nil
	}
	for i, table := range tables {
		_, got, err := table.Encode()
		if err != nil {
			return false, err
		}
		if got.Digest != c.Objects[i].Digest { // The bytes may differ, if another version wrote them.
			return false, nil
		}
	}
	return true, nil
}

// readAgain collects the events of a committed segment from the log.
func readAgain(ctx context.Context, source Source, c *record.Commit, bucket time.Duration) (*segment, error) {
	s := &segment{start: position.Offset{Epoch: c.Epoch, Seq: c.Start}, partition: c.Partition, bucket: bucket,
		tables: map[string][]*object.Table{}}
	r, err := source.Read(ctx, c.Partition, c.Start)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for want := c.Start; want < c.End; want++ {
		m, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		if m.Seq != want {
			return nil, position.GapError{Partition: c.Partition, Want: want, Got: m.Seq}
		}
		h, batches, err := eventbatch.Decode(m.Frame)
		if err != nil {
			return nil, err
		}
		if h.Kind == eventbatch.Events {
			if err := s.add(m, h, batches); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}
