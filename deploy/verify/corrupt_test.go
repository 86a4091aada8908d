package verify_test

import (
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/embedded/natsserver"
	"recount/deploy/verify"
	"recount/speed/eventlog"
)

// TestCorruptMessage appends a message that cannot be decoded. It is found, and V8 is reported as not
// checked, because the partition cannot be counted. The other checks are not affected.
func TestCorruptMessage(t *testing.T) {
	w := shared.copied(t)
	seq := w.appendCorrupt(t)
	report := w.verify(t)
	p := 0
	want := verify.Place{Partition: &p, From: seq}
	if n := report.Check(verify.V10).Findings; n != 1 || report.Findings[0].Check != verify.V10 ||
		!matches(report.Findings[0].Where, want) {
		t.Errorf("want one finding of V10 at %s: %s", want, dump(report))
	}
	for _, c := range report.Checks {
		if failed := strings.Contains(c.Failed,
			"the log of partition 0 cannot be counted: message"); failed != (c.Name == verify.V8) {
			t.Errorf("%s: %q", c.Name, c.Failed)
		}
	}
}

// appendCorrupt appends bytes that are not a message to the log of partition 0.
func (w *world) appendCorrupt(t *testing.T) (seq uint64) {
	t.Helper()
	nc := natsserver.DefaultConfig(filepath.Join(w.cfg.DataDir, "log"))
	nc.MaxStore = 1 << 40
	server, err := natsserver.Open(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	lc := eventlog.DefaultConfig(server)
	lc.Partitions = w.cfg.Log.Partitions
	lc.MaxBytes = w.cfg.Log.MaxBytes
	log, err := eventlog.Open(t.Context(), lc)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if seq, err = log.Append(t.Context(), 0, []byte("RCN1 and what a failing disk makes of the rest of a frame"),
		""); err != nil {
		t.Fatal(err)
	}
	return seq
}
