package batchview

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"recount/schemas/query"
	"recount/schemas/record"
)

// pinsStore has n buckets, every so many hours. Each has a row of one of the versions, which alternate, and a row
// of version 5 that is not pinned. Two of three buckets are pinned.
func pinsStore(t testing.TB, n, every, versions int) (*store, *record.State) {
	t.Helper()
	s := newStore(t)
	for _, ver := range []string{fmt.Sprintf("1000 + number %% %d", versions), "5"} {
		s.exec(fmt.Sprintf(`INSERT INTO %s (_bucket, _ver, tenant, time, origin, _events, n)
SELECT fromUnixTimestamp64Micro(%d + 3600000000 * %d * number, 'UTC') AS b, %s, 'default', b, 'ORD', 1, 1
FROM numbers(%d) SETTINGS max_partitions_per_insert_block = 0`, s.table, start.UnixMicro(), every, ver, n))
	}
	var pinned []record.BucketVersion
	for i := range n {
		if i%3 != 0 {
			bucket := start.Add(time.Duration(i*every) * time.Hour).UnixMicro()
			pinned = append(pinned, record.BucketVersion{Bucket: bucket, Ver: 1000 + uint64(i%versions), Rows: 1})
		}
	}
	return s, s.state(pinned)
}

// TestPinsOfManyVersions reads pins with a version for each bucket, close together and far apart, whole and
// in part, and with another number of bytes for the places.
func TestPinsOfManyVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		buckets, every int
		strings        bool
	}{{100, 1, true}, {600, 1, true}, {600, 9, true}, {600, 50, false}} {
		s, state := pinsStore(t, c.buckets, c.every, c.buckets)
		for _, part := range []int{c.buckets, c.buckets / 2} {
			q := &query.Query{View: "flights", Measures: []string{"n"}, From: start.Add(time.Minute),
				To: start.Add(time.Duration(part*c.every) * time.Hour)}
			scan := s.resolve(q)
			p := pinsOf(state.Views["flights"], scan.Windows.From, scan.Windows.To, s.catalog.Bucket)
			if got := strings.Contains(p.condition(facts{}), "base64Decode"); got != c.strings {
				t.Errorf("%d buckets every %d hours: the pins are strings: %v", c.buckets, c.every, got)
			}
			want := uint64(0)
			for i := range part {
				if i%3 != 0 {
					want++
				}
			}
			got, err := s.views().Scan(t.Context(), state, scan, Options{})
			if err != nil || got.Events[0] != want {
				t.Errorf("%d of %d buckets every %d hours: got %+v, %v, want %d", part, c.buckets, c.every, got, err,
					want)
			}
		}
	}
}

// TestRowsBetweenBuckets writes rows of pinned versions whose buckets begin between those of the publication, as only a
// person does. No answer counts them.
func TestRowsBetweenBuckets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pinned []uint64 // the versions of three buckets
		bucket string   // rows of which bucket are written again
		shifts int      // into how many buckets, a minute apart
	}{
		"one version":                    {[]uint64{4, 4, 4}, "1", 1},
		"one version, in the last":       {[]uint64{4, 4, 4}, "2", 1},
		"several versions":               {[]uint64{4, 6, 4}, "1", 1},
		"several versions, in the last":  {[]uint64{4, 6, 4}, "2", 1},
		"many rows, of one version":      {[]uint64{4, 4, 4}, "1", maxExceptions + 3},
		"many rows, of several versions": {[]uint64{4, 6, 4}, "0", maxExceptions + 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			events := delayed()
			var pinned []record.BucketVersion
			for i, ver := range c.pinned {
				pinned = append(pinned, s.prepare("default", ver, events[10*i:10*i+10])...)
			}
			s.flush()
			state := s.state(pinned)
			scan := s.resolve(&query.Query{View: "flights", From: start, To: start.Add(3 * time.Hour),
				Measures: []string{"n"}})
			old := s.views()
			want := s.mustScan(old, state, scan)
			s.exec(fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (_bucket + toIntervalMinute(30 + shift) AS _bucket)"+
				" EXCEPT shift FROM (SELECT *, arrayJoin(range(%[2]d)) AS shift FROM %[1]s WHERE _bucket = %[3]s)",
				s.table, c.shifts, micros(fmt.Sprintf("%d + 3600000000 * %s", start.UnixMicro(), c.bucket))))
			compare(t, want, s.mustScan(old, state, scan))
			compare(t, want, s.mustScan(s.views(), state, scan))
		})
	}
}

// BenchmarkPins reads the pins of many buckets whose versions alternate.
func BenchmarkPins(b *testing.B) {
	s, state := pinsStore(b, 60_000, 1, 10)
	v := s.views()
	q := &query.Query{View: "flights", Measures: []string{"n"}, From: start, To: start.Add(60_000 * time.Hour)}
	for b.Loop() {
		if _, err := v.Scan(b.Context(), state, s.resolve(q), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
