package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestMissingBlock removes the first block of a log, with events that have not landed. The server must say how to give
// them up. It is not parallel: a process has one embedded ClickHouse.
func TestMissingBlock(t *testing.T) {
	cfg := countedConfig(t)
	cfg.Landing.Interval = time.Hour
	for i := range 2 { // Each start begins a new block.
		s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		postHits(t, s, 100*i, 100*i+20)
		stop()
	}
	blocks, err := filepath.Glob(filepath.Join(cfg.DataDir, "log/jetstream/*/streams/*/msgs/1.blk"))
	if err != nil || len(blocks) != 2 {
		t.Fatal(blocks, err)
	}
	if err := os.Remove(blocks[0]); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	want := "recount hole --partition 0 --from 1 --to "
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, body := ask(t, s.URL()+"/readyz"); strings.Contains(body, want) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("/readyz is %s, want %q", body, want)
		}
	}
}
