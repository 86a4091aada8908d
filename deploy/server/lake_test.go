package server

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"golang.org/x/sync/semaphore"

	"recount/batch/lake"
	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// TestOpenObject opens objects with and without memory for them, sound and damaged, and checks that the memory is given
// back.
func TestOpenObject(t *testing.T) {
	t.Parallel()
	store := startStore(t)
	cfg := lake.DefaultConfig("s3://recount?endpoint=" + store.Endpoint())
	cfg.AccessKey = store.Credentials().AccessKey
	cfg.SecretKey = store.Credentials().SecretKey
	l, err := lake.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	raw, sound := oneEvent(t)
	damaged := sound
	damaged.Key = "data/damaged.parquet"
	longer := sound
	longer.Key = "data/longer.parquet"
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 1
	for key, body := range map[string][]byte{sound.Key: raw, longer.Key: append(bytes.Clone(raw), 0),
		damaged.Key: flipped} {
		if err := l.Put(t.Context(), key, bytes.NewReader(body), int64(len(body))); err != nil {
			t.Fatal(err)
		}
	}
	for _, memory := range []int64{sound.Size, sound.Size - 1} { // With one byte less the object is not held.
		s := &Server{engines: &engines{lake: l}, held: semaphore.NewWeighted(memory)}
		for _, o := range []record.Object{damaged, longer} {
			if _, err := s.openObject(t.Context(), o); !errors.Is(err, object.ErrMalformed) {
				t.Errorf("memory %d, %s: %v, want ErrMalformed", memory, o.Key, err)
			}
		}
		for range 2 { // The second time its digest is known.
			checkOpen(t.Context(), t, s, sound)
		}
		if !s.held.TryAcquire(memory) {
			t.Errorf("memory %d: not all of it was given back", memory)
		}
	}
}

// checkOpen opens an object and reads its rows.
func checkOpen(ctx context.Context, t *testing.T, s *Server, o record.Object) {
	t.Helper()
	f, err := s.openObject(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for c, err := range f.Read(ctx, []string{eventbatch.ColKey, eventbatch.ColTime}, 0, o.Rows) {
		if err != nil {
			t.Fatal(err)
		}
		rows += c.Rec.NumRows()
	}
	if rows != o.Rows {
		t.Errorf("read %d rows of %d", rows, o.Rows)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// oneEvent returns an object of one event.
func oneEvent(t *testing.T) ([]byte, record.Object) {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(&catalog.EventType{Name: "e"}))
	defer b.Release()
	for _, f := range b.Fields() {
		f.AppendEmptyValue()
	}
	c, err := eventbatch.NewColumns(b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	table := object.NewTable("e", 0, 1, time.Hour)
	if err := table.Append(position.Offset{Epoch: 1, Seq: 1}, 0, c); err != nil {
		t.Fatal(err)
	}
	raw, o, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	o.Key = "data/sound.parquet"
	return raw, o
}
