package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/record"
)

// commitLog is what landing, publishing and the epoch seal each need a part of.
type commitLog interface {
	Create(ctx context.Context, key string, body []byte) (record.Outcome, []byte, error)
	Get(ctx context.Context, key string) ([]byte, error)
	List(ctx context.Context, prefix string) ([]string, error)
}

func TestS3CommitLog(t *testing.T) {
	t.Parallel()
	conform(t, NewCommitLog(open(t, embedded(t))))
}

func TestDirCommitLog(t *testing.T) {
	t.Parallel()
	root := t.TempDir() + "/commits"
	log, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	conform(t, log)
	for _, key := range []string{"", ".", "../x", "/x", "a/../../x", "a/" + dirTemp + "1"} {
		if _, _, err := log.Create(t.Context(), key, nil); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
	again, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := again.List(t.Context(), "land/"); err != nil || len(keys) == 0 {
		t.Errorf("after reopening: %v, %v", keys, err)
	}
}

// conform is the contract of every commit log.
func conform(t *testing.T, log commitLog) {
	t.Helper()
	ctx := t.Context()
	want := func(outcome record.Outcome, body string) func(record.Outcome, []byte, error) {
		return func(o record.Outcome, b []byte, err error) {
			t.Helper()
			if o != outcome || string(b) != body || err != nil {
				t.Errorf("create: %v %q, %v; want %v %q", o, b, err, outcome, body)
			}
		}
	}
	if _, err := log.Get(ctx, "land/none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of nothing: %v, want ErrNotFound", err)
	}
	if keys, err := log.List(ctx, "land/"); err != nil || len(keys) != 0 {
		t.Errorf("list of nothing: %v, %v", keys, err)
	}
	want(record.Created, "")(log.Create(ctx, record.CommitKey(1, 0, 1), []byte("mine")))
	want(record.Created, "")(log.Create(ctx, record.CommitKey(1, 0, 1), []byte("mine"))) // mine = done (C5)
	want(record.Exists, "mine")(log.Create(ctx, record.CommitKey(1, 0, 1), []byte("another's")))
	want(record.Exists, "mine")(log.Create(ctx, record.CommitKey(1, 0, 1), nil))
	want(record.Created, "")(log.Create(ctx, record.CommitKey(1, 0, 20), nil))
	want(record.Exists, "")(log.Create(ctx, record.CommitKey(1, 0, 20), []byte("late")))
	big := bytes.Repeat([]byte("0123456789"), 300<<10)
	want(record.Created, "")(log.Create(ctx, record.CommitKey(1, 10, 3), big))
	if got, err := log.Get(ctx, record.CommitKey(1, 10, 3)); err != nil || !bytes.Equal(got, big) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
	for prefix, want := range map[string][]string{
		"land/":                   {record.CommitKey(1, 0, 1), record.CommitKey(1, 0, 20), record.CommitKey(1, 10, 3)},
		record.CommitPrefix(1, 0): {record.CommitKey(1, 0, 1), record.CommitKey(1, 0, 20)},
		record.CommitPrefix(2, 0): nil,
	} {
		if got, err := log.List(ctx, prefix); err != nil || !cmp.Equal(got, want) {
			t.Errorf("list %s: %v, %v; want %v", prefix, got, err, want)
		}
	}
	oneWinner(t, log)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if o, _, err := log.Create(cancelled, "land/cancelled", nil); o != record.Unknown ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("create after cancel: %v, %v", o, err)
	}
}

// oneWinner races 16 writers: one is told Created, the others get the winner's body.
func oneWinner(t *testing.T, log commitLog) {
	t.Helper()
	for round := range uint64(5) {
		key := record.PublicationKey(round)
		outcomes := make([]record.Outcome, 16)
		bodies := make([][]byte, 16)
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() {
				var err error
				if outcomes[i], bodies[i],
					err = log.Create(t.Context(), key, fmt.Appendf(nil, "writer %d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		winner, err := log.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			mine := fmt.Appendf(nil, "writer %d", i)
			if won := bytes.Equal(mine, winner); won != (o == record.Created) || !won &&
				!bytes.Equal(bodies[i], winner) {
				t.Errorf("writer %d was told %v %q; there is %q", i, o, bodies[i], winner)
			}
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	log := NewCommitLog(open(b, embedded(b)))
	body := bytes.Repeat([]byte{'x'}, 1<<10)
	b.SetBytes(1 << 10)
	for i := uint64(0); b.Loop(); i++ {
		if o, _, err := log.Create(b.Context(), record.CommitKey(1, 0, i), body); err != nil || o != record.Created {
			b.Fatal(o, err)
		}
	}
}
