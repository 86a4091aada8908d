package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/record/recordtest"
	"recount/speed/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var next = record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: 1}

// owner is a process that begins partition 0, with marks of its own.
type owner struct {
	t     *testing.T
	dir   string
	marks *Marks
	chain *record.Chain
}

func (o *owner) begin(log *eventlog.Log, records record.CommitLog, n record.Next) error {
	o.t.Helper()
	var err error
	if o.marks, err = OpenMarks(o.dir, log, slog.New(slog.DiscardHandler)); err != nil {
		o.t.Fatal(err)
	}
	c := Config{Next: n, Snapshots: o.dir, LogName: "the log", Logger: slog.New(slog.DiscardHandler)}
	chains, err := Begin(o.t.Context(), c, log, records, o.marks)
	if err == nil {
		o.chain = chains[0]
	}
	return err
}

func (o *owner) remember() {
	o.t.Helper()
	if err := o.marks.Advance(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// freshLog returns an empty log.
func freshLog(t *testing.T, partitions int) *eventlog.Log {
	t.Helper()
	s, err := natsserver.Open(t.Context(), natsserver.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := eventlog.DefaultConfig(s)
	c.Partitions = partitions
	c.MaxBytes = 64 << 20
	l, err := eventlog.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func fill(t *testing.T, log *eventlog.Log, name string, messages int) {
	t.Helper()
	for i := range messages {
		if _, err := log.Append(t.Context(), 0, fmt.Appendf(nil, "%s %d", name, i), ""); err != nil {
			t.Fatal(err)
		}
	}
}

// land moves the chain's head to the log's end.
func land(t *testing.T, log *eventlog.Log, records record.CommitLog, c *record.Chain) {
	t.Helper()
	_, end, err := log.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := (&record.Commit{Kind: record.Segment, Epoch: c.Head.Epoch, Start: c.Head.Seq, End: end,
		Previous: c.Tip}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if outcome, _, err := records.Create(context.Background(), c.NextKey(), raw); err != nil ||
		outcome != record.Created {
		t.Fatalf("%v, %v", outcome, err)
	}
	if _, err := c.Extend(raw); err != nil {
		t.Fatal(err)
	}
}

// TestTwoOwnersOfALostLog loses the whole log. One owner seals the epoch and continues. The other
// owner's memory of the lost log must not stop it from beginning, and must not make it seal again.
func TestTwoOwnersOfALostLog(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	before := freshLog(t, 1)
	after := freshLog(t, 1)
	a := owner{t: t, dir: t.TempDir()}
	b := owner{t: t, dir: t.TempDir()}
	for _, o := range []*owner{&a, &b} {
		if err := o.begin(before, records, next); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, before, "before", 3)
	land(t, before, records, a.chain)
	fill(t, before, "before", 3)
	a.remember()
	b.remember()

	if err := a.begin(after, records, next); err != nil || a.chain.Head != (position.Offset{Epoch: 2, Seq: 4}) {
		t.Fatalf("%v: head %v, want the epoch to be sealed at its head", err, a.chain.Head)
	}
	fill(t, after, "after", 5) // This reuses the sequences that b remembers.
	head := a.chain.Head
	if err := b.begin(after, records, next); err != nil || b.chain.Head != head {
		t.Errorf("the other owner: %v, its head %v, want %v", err, b.chain.Head, head)
	}
	land(t, after, records, a.chain)
	b.marks.marks[0] = mark{Epoch: 1, Next: 7, Digest: 1} // As they were before b began.
	if err := b.marks.write(); err != nil {
		t.Fatal(err)
	}
	if err := b.begin(after, records, next); err != nil || b.chain.Head != a.chain.Head {
		t.Errorf("the other owner, after a segment landed: %v, its head %v, want %v", err, b.chain.Head, a.chain.Head)
	}
}

// TestHoleForgetsNothing gives up a message (C7). That leaves the log as it is, so the mark stays. The events that
// are lost with the hole are voided once, and later losses are not.
func TestHoleForgetsNothing(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	log := freshLog(t, 1)
	o := owner{t: t, dir: t.TempDir()}
	if err := o.begin(log, records, next); err != nil {
		t.Fatal(err)
	}
	fill(t, log, "m", 3)
	o.marks.Promised = func(int) int64 { return 30 }
	o.remember()
	opened := next
	opened.Epoch = 2
	raw, err := (&record.Commit{Kind: record.Hole, Epoch: 1, Start: 1, End: 2, Reason: "x", Next: &opened,
		Previous: o.chain.Tip}).Encode()
	if err == nil {
		_, _, err = records.Create(t.Context(), o.chain.NextKey(), raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := o.begin(log, records, next); err != nil || o.chain.Head != (position.Offset{Epoch: 2, Seq: 2}) ||
		o.marks.marks[0].Next != 4 {
		t.Fatalf("%v: head %v, mark %+v, want the epoch of the hole and the mark as it was", err, o.chain.Head,
			o.marks.marks[0])
	}
	if promised, err := o.marks.Settle(0, 20, 1); err != nil || promised != 30 || o.marks.Voided(0) != 10 {
		t.Errorf("%v: %d promised, %d voided, want 30 and 10", err, promised, o.marks.Voided(0))
	}
	if _, err := o.marks.Settle(0, 15, 1); err != nil || o.marks.Voided(0) != 10 {
		t.Errorf("%v: %d voided after another loss, want 10", err, o.marks.Voided(0))
	}
}

// TestAnotherRuleForgetsNothing begins an epoch with another cut rule. That leaves the log as it is, so
// what an owner remembers of the earlier epoch still counts.
func TestAnotherRuleForgetsNothing(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	before := freshLog(t, 1)
	after := freshLog(t, 1)
	o := owner{t: t, dir: t.TempDir()}
	if err := o.begin(before, records, next); err != nil {
		t.Fatal(err)
	}
	fill(t, before, "before", 3)
	o.remember()
	fill(t, after, "after", 5)
	other := next
	other.Rule.Rows++
	if err := o.begin(after, records, other); err != nil || o.chain.Head.Epoch != 3 {
		t.Errorf("%v: head %v, want epoch 2 for the rule and epoch 3 for the log", err, o.chain.Head)
	}
}

// TestLostSeal: the number of an epoch is not given again when the record that began it is gone (C10). Nothing is
// created, also if the configuration has another cut rule.
func TestLostSeal(t *testing.T) {
	t.Parallel()
	records := &recordtest.Memory{}
	log := freshLog(t, 1)
	o := owner{t: t, dir: t.TempDir()}
	other := next
	other.Rule.Rows /= 2
	if err := o.begin(log, records, next); err != nil {
		t.Fatal(err)
	}
	seal := o.chain.NextKey()
	if err := o.begin(log, records, other); err != nil || o.chain.Head.Epoch != 2 {
		t.Fatalf("%v: head %v", err, o.chain.Head)
	}
	fill(t, log, "m", 1)
	o.remember()
	body := records.Bodies[seal]
	delete(records.Bodies, seal)
	for _, n := range []record.Next{next, other} {
		err := o.begin(log, records, n)
		if !errors.Is(err, record.ErrMissing) || !strings.Contains(err.Error(), seal) || records.Bodies[seal] != nil {
			t.Errorf("got %v", err)
		}
		c := Config{Next: n, Snapshots: o.dir, Logger: slog.New(slog.DiscardHandler)}
		if _, err := Foresee(t.Context(), c, log, records, o.marks); !errors.Is(err, record.ErrMissing) {
			t.Errorf("foreseen: %v", err)
		}
	}
	records.Bodies[seal] = body
	if err := o.begin(log, records, other); err != nil || o.chain.Head.Epoch != 2 {
		t.Errorf("after the repair: %v", err)
	}
}
