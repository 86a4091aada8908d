package publish

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkRecompute publishes a history of 200,000 events in a wide view. Nearly every event is a
// row, so most of the time goes into writing rows to ClickHouse and reading them back.
func BenchmarkRecompute(b *testing.B) {
	w := newWorld(b)
	w.land("flight", randomEvents(rand.New(rand.NewPCG(1, 2)), 200_000, epoch.UnixMicro(), 24)...)
	var rows int64
	for b.Loop() {
		w.records.Bodies = nil
		rows += w.recompute(w.publisher(catalogOf(wideView()), nil)).Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
