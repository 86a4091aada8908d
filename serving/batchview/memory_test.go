package batchview

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"recount/schemas/distinct"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/serving/oracle"
)

// TestScanGetsMoreMemory groups by 200,000 values. With too little memory for ClickHouse the statement runs
// again with more. With no more to have the scan is refused, and its share is empty again.
func TestScanGetsMoreMemory(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.exec(fmt.Sprintf(`INSERT INTO %s (_bucket, _ver, tenant, time, origin, _events, n)
SELECT fromUnixTimestamp64Micro(%d, 'UTC') AS b, 4, 'default', b, concat('airport-', toString(number)), 1, 1
FROM numbers(200000)`, s.table, start.UnixMicro()))
	state := s.state([]record.BucketVersion{{Bucket: start.UnixMicro(), Ver: 4, Rows: 200_000}})
	q := wholeRange()
	q.Measures = []string{"n"}
	v := s.views()
	for _, c := range []struct {
		budget, first int64
		ok            bool
	}{{1 << 30, 4 << 20, true}, {16 << 20, 4 << 20, false}, {8 << 20, 4 << 20, false}} {
		scan := s.resolve(q)
		b := query.NewBudget(c.budget, time.Millisecond, false)
		scan.Memory = b.Open("default")
		pins := pinsOf(state.Views["flights"], scan.Windows.From, scan.Windows.To, v.cfg.Bucket)
		memory := c.first
		got, err := v.run(t.Context(), scan, build(scan, pins, Options{}, facts{}, nearSums, nil), &memory)
		var limit *LimitError
		var tooMuch *query.TooMuchMemoryError
		if c.ok && (err != nil || got.part.Rows() != 200_000 || memory == c.first) ||
			!c.ok && !errors.As(err, &limit) && !errors.As(err, &tooMuch) {
			t.Errorf("a budget of %d MiB: %d rows with %d bytes for ClickHouse, %v", c.budget>>20, got.part.Rows(),
				memory, err)
		}
		scan.Memory.Close()
		if n, _, _ := b.Held(); n != 0 {
			t.Errorf("a budget of %d MiB: %d bytes are held at the end", c.budget>>20, n)
		}
	}
	first := v.firstMemory(s.resolve(q), pinsOf(state.Views["flights"], 0, 1<<60, v.cfg.Bucket), 0)
	if first < 40<<20 || first > 200<<20 {
		t.Errorf("the first attempt gets %d MiB", first>>20)
	}
	q.Measures = append(q.Measures, "tails")
	pins := pinsOf(state.Views["flights"], 0, 1<<60, v.cfg.Bucket)
	without := v.firstMemory(s.resolve(q), pins, 0)
	if sets := v.firstMemory(s.resolve(q), pins, 8<<20) - without; sets < 64<<20 {
		t.Errorf("the first attempt gets %d MiB for sets of 8 MiB", sets>>20)
	}
}

// TestSmallTenantBesideALargeOne counts the ten ids of a tenant whose bucket holds many ids of another. The claim of
// memory must not grow with the other's.
func TestSmallTenantBesideALargeOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var events []oracle.Event
	for i := range 10 {
		events = append(events, oracle.Event{Time: start.UnixMicro(), Fields: map[string]any{"tail": fmt.Sprint(i)}})
	}
	pinned := s.write(events)
	hashes := make([]uint64, 400_000)
	for i := range hashes {
		hashes[i] = uint64(i)
	}
	b, err := s.conn.PrepareBatch(t.Context(), "INSERT INTO "+s.table+" (_bucket, _ver, tenant, time, _events, n, "+
		"tails__state)")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.Append(start, uint64(4), "large", start, uint64(len(hashes)), uint64(len(hashes)),
		string(distinct.AppendState(nil, hashes)))
	if err := errors.Join(err, b.Send()); err != nil {
		t.Fatal(err)
	}
	pinned[0].Rows++
	q := wholeRange()
	q.GroupBy = nil
	q.Measures = []string{"tails"}
	scan := s.resolve(q)
	scan.Memory = query.NewBudget(34<<20, time.Millisecond, false).Open("default")
	defer scan.Memory.Close()
	views := s.views()
	state := s.state(pinned)
	part, err := views.Scan(t.Context(), state, scan, Options{Sketches: []int32{0}})
	if err != nil || part.Measures[0][0].Exact != 10 {
		t.Fatalf("got %+v, %v, want 10 ids", part, err)
	}
	f := views.proof(sqlschema.Table(scan.View, scan.Digest)).newest.Load().facts(state.Views["flights"].Buckets,
		s.catalog.Bucket.Microseconds())
	if n := f.statesRead(scan); n != 0 {
		t.Errorf("the first claim counts sets of %d bytes, which another tenant has", n)
	}
}
