package recordtest

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

// Conform is the contract of every commit log. It needs an empty one.
func Conform(t *testing.T, records record.CommitLog) {
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
	if _, err := records.Get(ctx, "land/none"); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("get of nothing: %v, want ErrNotFound", err)
	}
	if keys, err := records.List(ctx, "land/"); err != nil || len(keys) != 0 {
		t.Errorf("list of nothing: %v, %v", keys, err)
	}
	want(record.Created, "")(records.Create(ctx, record.CommitKey(1, 0, 1), []byte("mine")))
	want(record.Created, "")(records.Create(ctx, record.CommitKey(1, 0, 1), []byte("mine"))) // mine = done (C5)
	want(record.Exists, "mine")(records.Create(ctx, record.CommitKey(1, 0, 1), []byte("another's")))
	want(record.Exists, "mine")(records.Create(ctx, record.CommitKey(1, 0, 1), nil))
	want(record.Created, "")(records.Create(ctx, record.CommitKey(1, 0, 20), nil))
	want(record.Exists, "")(records.Create(ctx, record.CommitKey(1, 0, 20), []byte("late")))
	big := bytes.Repeat([]byte("0123456789"), 300<<10)
	want(record.Created, "")(records.Create(ctx, record.CommitKey(1, 10, 3), big))
	if got, err := records.Get(ctx, record.CommitKey(1, 10, 3)); err != nil || !bytes.Equal(got, big) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
	for prefix, want := range map[string][]string{
		"land/":                   {record.CommitKey(1, 0, 1), record.CommitKey(1, 0, 20), record.CommitKey(1, 10, 3)},
		record.CommitPrefix(1, 0): {record.CommitKey(1, 0, 1), record.CommitKey(1, 0, 20)},
		record.CommitPrefix(2, 0): nil,
	} {
		if got, err := records.List(ctx, prefix); err != nil || !cmp.Equal(got, want) {
			t.Errorf("list %s: %v, %v; want %v", prefix, got, err, want)
		}
	}
	oneWinner(t, records)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if o, _, err := records.Create(cancelled, "land/cancelled", nil); o != record.Unknown ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("create after cancel: %v, %v", o, err)
	}
}

// oneWinner races 16 writers: one gets Created, the others the winner's body.
func oneWinner(t *testing.T, records record.CommitLog) {
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
					err = records.Create(t.Context(), key, fmt.Appendf(nil, "writer %d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		winner, err := records.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes {
			mine := fmt.Appendf(nil, "writer %d", i)
			if won := bytes.Equal(mine, winner); won != (o == record.Created) || !won &&
				!bytes.Equal(bodies[i], winner) {
				t.Errorf("writer %d got %v %q; there is %q", i, o, bodies[i], winner)
			}
		}
	}
}
