package lake

import (
	"bytes"
	"testing"

	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

// TestS3CommitLog: a CommitLog in the embedded store does what every record.CommitLog must do.
func TestS3CommitLog(t *testing.T) {
	t.Parallel()
	recordtest.Conform(t, NewCommitLog(openStore(t, embeddedConfig(t))))
}

func BenchmarkCreate(b *testing.B) {
	records := NewCommitLog(openStore(b, embeddedConfig(b)))
	body := bytes.Repeat([]byte{'x'}, 1<<10)
	b.SetBytes(1 << 10)
	for i := uint64(0); b.Loop(); i++ {
		o, _, err := records.Create(b.Context(), record.CommitKey(1, 0, i), body)
		if err != nil || o != record.Created {
			b.Fatal(o, err)
		}
	}
}
