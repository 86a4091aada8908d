package batchview

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
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
		got, err := v.run(t.Context(), scan, build(scan, pins, nil, facts{}, nearSums), &memory)
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
