package realtime

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/position"
)

// TestLaggingPartitionsSaySo follows a partition that does not read its log: it is level only at the log's
// end as of Open, and lags once a message has been known for longer than MaxLag.
func TestLaggingPartitionsSaySo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newNumberedLog(t, 10, 1)
		v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
		if st := v.Status()[0]; st.Level != 11 || st.Through.Seq != 1 || v.Known()[0] != 11 {
			t.Fatalf("after open: level %d, through %d, known %v", st.Level, st.Through.Seq, v.Known())
		}
		wantLagging(t, v, "just opened", nil)
		time.Sleep(DefaultMaxLag + time.Millisecond)
		wantLagging(t, v, "did not read for MaxLag", []int{0})
		consumeAll(t, v, log)
		wantLagging(t, v, "level", nil)

		// A message that is known for less than MaxLag is no lag, however long the log was idle before.
		time.Sleep(time.Hour)
		v.Observe(0, 12)
		v.Observe(0, 3) // is known already
		if v.Known()[0] != 12 {
			t.Errorf("known %v, want 12", v.Known())
		}
		wantLagging(t, v, "a new message", nil)
		time.Sleep(DefaultMaxLag + time.Millisecond)
		wantLagging(t, v, "the message is old", []int{0})
	})
}

// TestSteadyLag compares the lag of a partition that always lags by the same time with MaxLag.
func TestSteadyLag(t *testing.T) {
	t.Parallel()
	for lag, want := range map[time.Duration][]int{DefaultMaxLag / 2: nil, 2 * DefaultMaxLag: {0}} {
		synctest.Test(t, func(t *testing.T) {
			log := newMemLog(1)
			v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
			const every = 100 * time.Millisecond
			delayed := int(lag / every)
			for i := range 4 * delayed {
				log.append(0, numbered(t, i, 1))
				v.Observe(0, log.next(0))
				if i < delayed {
					time.Sleep(every)
					continue
				}
				p := v.partitions[0]
				if err := p.consume(log.message(0, p.next)); err != nil {
					t.Fatal(err)
				}
				wantLagging(t, v, lag.String(), want)
				time.Sleep(every)
			}
			if n := len(v.partitions[0].logEnd.samples); n > samplesPerLag+2 {
				t.Errorf("%d samples are kept, want at most %d", n, samplesPerLag+2)
			}
		})
	}
}

// TestRenewalOfALostLog forgets what was known only if the log has lost it.
func TestRenewalOfALostLog(t *testing.T) {
	t.Parallel()
	for lost, want := range map[bool]uint64{false: 30, true: 11} {
		log := newNumberedLog(t, 10, 1)
		v := openTest(t, DefaultConfig(t.TempDir()), log, everyFour, 1)
		v.Observe(0, 30)
		if err := v.Renew(0, PartitionStart{Epochs: everyFour, OldestKept: 1, LogNext: 11, LogLost: lost}); err != nil {
			t.Fatal(err)
		}
		if !v.partitions[0].applyRenewal() || v.Known()[0] != want || v.Status()[0].Level != 11 {
			t.Errorf("lost %t: known %v, level %d, want %d and 11", lost, v.Known(), v.Status()[0].Level, want)
		}
	}
}

func wantLagging(t *testing.T, v *Views, when string, want []int) {
	t.Helper()
	_, live, err := count(t, v, position.Offset{Seq: 1})
	if err != nil || !slices.Equal(live.Lagging, want) || len(live.Stale) > 0 || v.Status()[0].Lags != (want != nil) {
		t.Fatalf("%s: got %+v, %v, want lagging %v", when, live, err, want)
	}
}
