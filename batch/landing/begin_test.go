package landing

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/setting"
)

// begin begins the chain of partition p.
func begin(t testing.TB, records record.CommitLog, p int, next record.Next) *record.Chain {
	t.Helper()
	c, err := Begin(t.Context(), records, p, next, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBegin: the first seal is created once, and beginning again with the same configuration adds nothing.
func TestBegin(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first := begin(t, w, 1, testNext)
	again := begin(t, w, 1, testNext)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if want := (position.Offset{Epoch: 1, Seq: 1}); first.Head != want || first.Rule() != testRule ||
		len(w.Bodies) != 1 {
		t.Errorf("head %v, rule %v, %d records; want %v, %v, 1", first.Head, first.Rule(), len(w.Bodies), want,
			testRule)
	}
}

// TestChangedCutRule is C1: another cut rule opens a new epoch, once.
func TestChangedCutRule(t *testing.T) {
	t.Parallel()
	w := newWorld()
	begin(t, w, 0, testNext)
	other := testNext
	other.Rule.Rows = 7
	for range 2 {
		c := begin(t, w, 0, other)
		if want := (position.Offset{Epoch: 2, Seq: 1}); c.Head != want || c.Rule() != other.Rule {
			t.Errorf("head %v, rule %v; want %v, %v", c.Head, c.Rule(), want, other.Rule)
		}
	}
}

// TestFixedSettings: a change of a setting that the data has fixed is refused with the name of the
// setting, also for a partition that has no chain yet.
func TestFixedSettings(t *testing.T) {
	t.Parallel()
	w := newWorld()
	begin(t, w, 0, testNext)
	other := testNext
	other.Bucket = 6 * time.Hour
	other.Partitions = 8
	for _, p := range []int{0, 5} {
		_, err := Begin(t.Context(), w, p, other, nil)
		var problem *setting.Error
		if !errors.As(err, &problem) {
			t.Fatalf("partition %d: got %v, want a *setting.Error", p, err)
		}
		for _, want := range []string{"batch.bucket", "1h0m0s", "6h0m0s", "log.partitions", "2 partitions", "8"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("partition %d: %q does not say %q", p, err, want)
			}
		}
	}
	if len(w.Bodies) != 1 {
		t.Errorf("%d records, want only the first", len(w.Bodies))
	}
}

// TestSealLostReplies: over a network that loses nearly every reply, repeated calls seal the epoch
// in the end, and the chain is whole.
func TestSealLostReplies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			c := begin(t, w, 0, testNext)
			n := newNode(w, seed, 1, 1)
			n.killAt = 0
			for try := 0; SealEpoch(t.Context(), n, c, testNext, "a test") != nil; try++ {
				if try == 20 {
					t.Fatalf("seed %d: not sealed in 20 calls", seed)
				}
			}
			n.late.Wait()
			there, err := LoadChain(t.Context(), w, 0)
			if err != nil || there.Head != c.Head || c.Head.Epoch != 2 {
				t.Errorf("seed %d: sealed at %v, the records say %v (%v)", seed, c.Head, there, err)
			}
		})
	}
}

// TestSealAfterZombie is L5: a segment at the key that the seal needs is kept, and the seal comes
// after it. The lander of the old epoch, the zombie, then finds the seal at its next key.
func TestSealAfterZombie(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := begin(t, w, 0, testNext)
	zombie := cloneChain(c)
	appendSegment(t, w, zombie, 4)
	if err := SealEpoch(t.Context(), w, c, testNext, "the log lost its end"); err != nil {
		t.Fatal(err)
	}
	if want := (position.Offset{Epoch: 2, Seq: 4}); c.Head != want || len(c.Segments) != 1 {
		t.Errorf("head %v with %d segments, want %v with the zombie's segment", c.Head, len(c.Segments), want)
	}
	if o, _, _ := w.Create(t.Context(), zombie.NextKey(), []byte("segment")); o != record.Exists {
		t.Errorf("create at the key that the zombie needs next: %v, want Exists", o)
	}
}

// appendSegment appends a segment of one event that ends before end.
func appendSegment(t testing.TB, w *world, c *record.Chain, end uint64) {
	t.Helper()
	r := &record.Commit{Kind: record.Segment, Epoch: c.Head.Epoch, Partition: c.Partition, Start: c.Head.Seq, End: end,
		Events: 1, Tenants: map[string]int64{eventbatch.DefaultTenant: 1}, Attempt: "a", Previous: c.Tip,
		Objects: []record.Object{{Type: "t", Key: "k", Size: 1, Rows: 1, Buckets: []record.BucketRows{{Rows: 1}}}}}
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.Bodies[c.NextKey()] = raw
	if _, err := c.Extend(raw); err != nil {
		t.Fatal(err)
	}
}

// TestLoadChain reads a chain of several windows and epochs. A record that is missing in the middle
// is an error, and never the end of the chain (V1).
func TestLoadChain(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := begin(t, w, 0, testNext)
	for i := range uint64(3 * windowGets) {
		appendSegment(t, w, c, 2+i)
		if i == 100 {
			if err := SealEpoch(t.Context(), w, c, testNext, "a test"); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := LoadChain(t.Context(), w, 0)
	if diff := cmp.Diff(c, got); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	seals := []string{record.CommitKey(0, 0, 1), record.CommitKey(1, 0, got.Epochs[1].Start)}
	for _, key := range append(seals, record.CommitKey(2, 0, 300)) {
		removed := w.Bodies[key]
		delete(w.Bodies, key)
		if _, err := LoadChain(t.Context(), w, 0); removed == nil || !errors.Is(err, record.ErrInvalid) ||
			!strings.Contains(err.Error(), key) {
			t.Errorf("without %s: got %v, want ErrInvalid and the key", key, err)
		}
		w.Bodies[key] = removed
	}
}

// TestStoredSchemas: schemas are returned by type, and a schema under the key of another is refused.
func TestStoredSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, e := range []*catalog.EventType{clicked, clicked2, viewed, clicked} {
		if err := createSchema(t.Context(), w, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := StoredSchemas(t.Context(), w)
	if err != nil || len(got["clicked"]) != 2 || len(got["viewed"]) != 1 {
		t.Fatal(got, err)
	}
	if diff := cmp.Diff(viewed, got["viewed"][0]); diff != "" {
		t.Error(diff)
	}
	// The first format of a schema has no header, and a writer of the same type takes it for its own.
	w.Bodies[schemaKey(viewed)] = bytes.Replace(w.Bodies[schemaKey(viewed)], []byte(`"format":1,`), nil, 1)
	if err := createSchema(t.Context(), w, viewed); err != nil {
		t.Errorf("a schema of the first format is there: %v", err)
	}
	got, err = StoredSchemas(t.Context(), w)
	if err != nil || cmp.Diff(viewed, got["viewed"][0]) != "" {
		t.Error(got, err)
	}
	later := bytes.Replace(w.Bodies[schemaKey(clicked)], []byte(`"format":1,`), []byte(`"format":2,`), 1)
	if _, err := decodeSchema(schemaKey(clicked), later); !errors.Is(err, record.ErrInvalid) {
		t.Errorf("a schema of a later format: got %v, want ErrInvalid", err)
	}
	w.Bodies[schemaKey(viewed2)] = w.Bodies[schemaKey(viewed)]
	if _, err := StoredSchemas(t.Context(), w); !errors.Is(err, record.ErrInvalid) {
		t.Errorf("a schema under the key of another: got %v, want ErrInvalid", err)
	}
}
