package preview

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/batch/exact"
	"recount/schemas/record"
)

// TestChoose draws objects. What is chosen is in the newest hour, is at the end of each run of rows, is no more than a
// preview may read, and is everything unless the sample says that it is partial. The rows of an object stay in place.
func TestChoose(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bucket := rapid.SampledFrom([]time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour}).Draw(t, "bucket")
		width := bucket.Microseconds()
		s := &sample{}
		spread := rapid.SampledFrom([]int64{0, 40}).Draw(t, "spread")
		rows := map[int64]int64{}
		newest := int64(0)
		for i := range rapid.IntRange(0, 2*maxObjects).Draw(t, "objects") {
			o := record.Object{Key: fmt.Sprint(i)}
			at := rapid.Int64Range(0, spread).Draw(t, "first")
			for range rapid.IntRange(1, 3).Draw(t, "runs") {
				run := record.BucketRows{Bucket: at * width, Rows: rapid.Int64Range(1, 9000).Draw(t, "rows")}
				run.Assigned = rapid.Int64Range(0, run.Rows).Draw(t, "assigned")
				o.Rows += run.Rows
				o.Buckets = append(o.Buckets, run)
				rows[run.Bucket] += run.Rows
				newest = max(newest, run.Bucket)
				at += rapid.Int64Range(1, 4).Draw(t, "gap")
			}
			s.landed = append(s.landed, source{Object: exact.Object{Object: o},
				created: time.Unix(rapid.Int64Range(0, 5).Draw(t, "created"), 0)})
		}
		whole := map[string][]record.BucketRows{}
		for _, x := range s.landed {
			whole[x.Key] = x.Buckets
		}
		s.choose(bucket)
		from := newest + width - max(width, maxSpan.Microseconds())
		want := int64(0)
		for b, n := range rows {
			if b >= from {
				want += n
			}
		}
		if s.events > maxEvents || len(s.sources) > maxObjects || s.events > want || !s.partial && s.events != want ||
			s.partial && want <= maxEvents && len(whole) <= maxObjects {
			t.Fatalf("%d of %d events of %d objects, partial %v", s.events, want, len(s.sources), s.partial)
		}
		for _, x := range s.sources {
			checkRuns(t, x.Buckets, whole[x.Key], from, width)
		}
	})
}

// checkRuns compares runs with those that the object has. Rows that are left out are in no bucket that exists.
func checkRuns(t *rapid.T, got, whole []record.BucketRows, from, width int64) {
	for _, run := range whole {
		left := run.Rows
		for left > 0 && len(got) > 0 {
			if got[0].Bucket == run.Bucket && (left != got[0].Rows || run.Bucket < from) {
				t.Fatalf("of %v the rows %v are kept, which are not its last", run, got[0])
			}
			if got[0].Bucket%width != 0 && got[0].Bucket != run.Bucket+1 || got[0].Assigned > got[0].Rows {
				t.Fatalf("%v of %v", got[0], run)
			}
			left -= got[0].Rows
			got = got[1:]
		}
		if left != 0 {
			t.Fatalf("%d rows of %v are missing", left, run)
		}
	}
	if len(got) > 0 {
		t.Fatalf("%v are too many", got)
	}
}
