package landing

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/batch/lake"
	"recount/schemas/position"
	"recount/schemas/record"
)

// extendBy appends n small segments, and a seal in their middle.
func extendBy(t testing.TB, records record.CommitLog, c *record.Chain, n int) {
	t.Helper()
	for i := range n {
		r := &record.Commit{Kind: record.Segment, Partition: c.Partition, Epoch: c.Head.Epoch, Start: c.Head.Seq,
			End: c.Head.Seq + 3, Events: 1, Previous: c.Tip,
			Objects: []record.Object{{Type: "hit", Key: fmt.Sprint("data/", c.Head.Seq), Size: 1, Rows: 1,
				Buckets: []record.BucketRows{{Bucket: 1, Rows: 1}}}}}
		raw, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := records.Create(t.Context(), c.NextKey(), raw); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Extend(raw); err != nil {
			t.Fatal(err)
		}
		if i == n/2 {
			if err := SealEpoch(t.Context(), records, c, record.Next{Rule: c.Rule()}, "a test"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// countingLog counts reads.
type countingLog struct {
	record.CommitLog
	gets atomic.Int64
}

func (c *countingLog) Get(ctx context.Context, key string) ([]byte, error) {
	c.gets.Add(1)
	return c.CommitLog.Get(ctx, key)
}

// checkLoad loads the chain of partition 0 and compares it with want. It may make limit reads.
func checkLoad(t *testing.T, w *world, want *record.Chain, when string, limit int64) {
	t.Helper()
	records := &countingLog{CommitLog: w}
	c, err := LoadChain(t.Context(), records, 0)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("%s: the chain (-records +checkpoints): %s", when, diff)
	}
	if n := records.gets.Load(); n > limit {
		t.Errorf("%s: %d reads, want at most %d", when, n, limit)
	}
}

// TestCheckpoints: a chain that is read by its checkpoints is the one that is read record by record,
// and needs few reads. Each checkpoint is written once.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := begin(t, w, 0, testNext)
	extendBy(t, w, c, 2*checkpointRecords+100)
	k := NewCheckpointer(w, 1, nil)
	for _, want := range []int64{2, 0} {
		if made, err := k.Make(t.Context(), []*record.Chain{c}); err != nil || made != want {
			t.Fatalf("made %d checkpoints, %v; want %d", made, err, want)
		}
	}
	if made, err := NewCheckpointer(w, 1, nil).Make(t.Context(), []*record.Chain{c}); err != nil || made != 0 {
		t.Fatalf("another process made %d checkpoints, %v; want 0", made, err)
	}
	checkLoad(t, w, c, "two checkpoints", 4+110+maxSingleGets)
	keys, err := w.List(t.Context(), record.CheckpointPrefix(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		_, w.Bodies[key], _ = bytes.Cut(w.Bodies[key], []byte("\n"))
	}
	checkLoad(t, w, c, "two checkpoints of the first format, without a header", 4+110+maxSingleGets)
}

// TestDamagedCheckpoints: a start passes over a checkpoint that is damaged in any way. Make logs its
// key, and still writes the checkpoints of the other partition.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld()
	chains := []*record.Chain{begin(t, w, 0, testNext), begin(t, w, 1, testNext)}
	extendBy(t, w, chains[0], 2*checkpointRecords+100)
	extendBy(t, w, chains[1], checkpointRecords+1)
	if _, err := NewCheckpointer(w, 1, nil).Make(t.Context(), chains[:1]); err != nil {
		t.Fatal(err)
	}
	keys, err := w.List(t.Context(), record.CheckpointPrefix(0))
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v; want two checkpoints", keys, err)
	}
	const limit = 2*checkpointRecords + 200 + maxSingleGets
	good := bytes.Clone(w.Bodies[keys[1]])
	lines := bytes.SplitAfter(good, []byte("\n"))
	for damage, body := range map[string][]byte{
		"another digit": bytes.Replace(good, []byte(`"rows":1`), []byte(`"rows":2`), 1),
		"another last record": bytes.Join(append(lines[:len(lines)-2:len(lines)-2],
			bytes.Replace(lines[len(lines)-2], []byte(`"attempt":""`), []byte(`"attempt":"x"`), 1)), nil),
		"a record is missing": bytes.Join(append(lines[:1:1], lines[2:]...), nil),
		"a later format":      bytes.Replace(good, []byte(`{"format":1}`), []byte(`{"format":2}`), 1),
		"no checkpoint":       []byte("{}"),
		"empty":               {},
		"half of it":          good[:len(good)/2],
		"forged":              forge(t, good),
	} {
		w.Bodies[keys[1]] = body
		checkLoad(t, w, chains[0], damage, limit)
		var logged bytes.Buffer
		k := NewCheckpointer(w, 2, slog.New(slog.NewTextHandler(&logged, nil)))
		if made, err := k.Make(t.Context(), chains); err != nil || made != 1 ||
			!strings.Contains(logged.String(), keys[1]) {
			t.Errorf("%s: made %d checkpoints, %v, logged %s; want 1, of partition 1, and the damaged key in the log",
				damage, made, err, &logged)
		}
		maps.DeleteFunc(w.Bodies,
			func(key string, _ []byte) bool { return strings.HasPrefix(key, record.CheckpointPrefix(1)) })
	}
	delete(w.Bodies, keys[0])
	w.Bodies[keys[1]] = good
	checkLoad(t, w, chains[0], "the first is missing", limit)
}

// forge returns a checkpoint with another first record, and with all later digests made to fit it.
func forge(t *testing.T, good []byte) (body []byte) {
	t.Helper()
	tip := ""
	header, records, _ := bytes.Cut(good, []byte("\n"))
	body = append(bytes.Clone(header), '\n')
	for i, line := range bytes.Split(bytes.TrimSuffix(records, []byte("\n")), []byte("\n")) {
		r, err := record.DecodeCommit(line)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			r.Previous = tip
		} else {
			r.Attempt = "forged"
		}
		raw, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		tip = record.Digest(raw)
		body = append(append(body, raw...), '\n')
	}
	return body
}

// BenchmarkLoadChain loads chains of two lengths from a store over HTTP, record by record and by checkpoints.
func BenchmarkLoadChain(b *testing.B) {
	for _, n := range []int{1000, 20_000} {
		records := lake.NewCommitLog(openStore(b))
		first := record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: testNext.Bucket, Partitions: 1}
		c, err := Begin(b.Context(), records, 0, first, nil)
		if err != nil {
			b.Fatal(err)
		}
		extendBy(b, records, c, n)
		load := func(b *testing.B) {
			for b.Loop() {
				if got, err := LoadChain(b.Context(), records, 0); err != nil || got.Tip != c.Tip {
					b.Fatalf("%v, %v", got, err)
				}
			}
		}
		b.Run(fmt.Sprintf("records=%d/walked", n), load)
		if _, err := NewCheckpointer(records, 1, nil).Make(b.Context(), []*record.Chain{c}); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("records=%d/checkpoints", n), load)
	}
}
