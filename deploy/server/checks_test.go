package server

import (
	"testing"

	"recount/schemas/position"
	"recount/speed/realtime"
)

// TestReadyOnceLevel checks that /readyz names the partition, how far it is, and what it waits for.
func TestReadyOnceLevel(t *testing.T) {
	t.Parallel()
	st := realtime.PartitionStatus{Partition: 3, Through: position.Offset{Seq: 7}, Level: 60, Stalled: "memory"}
	const want = "partition 3 is reading the log: it is at message 7, and ready at 60, where the log ended at the " +
		"start; it waits: memory"
	if err := checkLevel(st); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	st.Through.Seq = 60
	if err := checkLevel(st); err != nil {
		t.Errorf("level: got %v", err)
	}
}
