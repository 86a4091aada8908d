package lake

import (
	"bytes"
	"testing"

	"recount/schemas/record"
	"recount/schemas/record/recordtest"
)

func TestS3CommitLog(t *testing.T) {
	t.Parallel()
	recordtest.Conform(t, NewCommitLog(open(t, embedded(t))))
}

func BenchmarkCreate(b *testing.B) {
	log := NewCommitLog(open(b, embedded(b)))
	body := bytes.Repeat([]byte{'x'}, 1<<10)
	b.SetBytes(1 << 10)
	for i := uint64(0); b.Loop(); i++ {
		if o, _, err := log.Create(b.Context(), record.CommitKey(1, 0, i), body); err != nil || o != record.Created {
			b.Fatal(o, err)
		}
	}
}
