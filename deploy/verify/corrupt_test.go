package verify_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/deploy/embedded/natsserver"
	"recount/deploy/verify"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// TestCorruptMessage appends a message that cannot be decoded. It is found, and V8 is reported as not
// checked, because the partition cannot be counted. The other checks are not affected.
func TestCorruptMessage(t *testing.T) {
	w := shared.copied(t)
	seq := w.appendMessage(t, []byte("RCN1 and what a failing disk makes of the rest of a frame"))
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

// TestLostGeneration appends a message of a generation of the catalog that is not stored.
func TestLostGeneration(t *testing.T) {
	w := shared.copied(t)
	cat, err := w.cfg.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, eventbatch.Schema(cat.Events["hit"]))
	defer b.Release()
	event := `{"_key":"AAAAAAAAAAAAAAAAAAAAAA==","_tenant":"default","_flags":0,"_hash":0,"id":"x","time":0,` +
		`"source":""}`
	if err := b.UnmarshalJSON([]byte(event)); err != nil {
		t.Fatal(err)
	}
	frame, err := eventbatch.Append(nil, "hit", 2, 0, b.NewRecord())
	if err != nil {
		t.Fatal(err)
	}
	w.appendMessage(t, frame)
	report := w.verify(t)
	if !slices.ContainsFunc(report.Findings, func(f verify.Finding) bool {
		return f.Check == verify.V13 && matches(f.Where, verify.Place{File: record.GenerationKey(2)}) &&
			strings.Contains(f.What, "was decoded by generation 2")
	}) {
		t.Errorf("want a finding of V13 at %s: %s", record.GenerationKey(2), dump(report))
	}
}

// appendMessage appends bytes as a message to the log of partition 0.
func (w *world) appendMessage(t *testing.T, raw []byte) (seq uint64) {
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
	if seq, err = log.Append(t.Context(), 0, raw, ""); err != nil {
		t.Fatal(err)
	}
	return seq
}
