package eventlog_test

import (
	"testing"

	"recount/speed/eventlog"
)

// TestRecover checks the rule of L5: if the log's last sequence is below the chain head, the newest
// snapshot or the persisted high-water mark, or the message at that offset has another digest,
// then a SEAL record is created at (epoch, head) and the log continues as epoch+1 at max(last+1, head).
func TestRecover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in         eventlog.Remembered
		seal, jump bool
		next       uint64
	}{
		"new log": {eventlog.Remembered{Head: 1, Next: 1}, false, false, 1},
		"all landed": {eventlog.Remembered{Head: 9, Snapshot: 9, HighWater: 9, Next: 9}, false,
			false, 9},
		"tail to land": {eventlog.Remembered{Head: 5, Snapshot: 7, HighWater: 9, Next: 9}, false,
			false, 9},
		"stored, ack lost":             {eventlog.Remembered{Head: 5, HighWater: 8, Next: 9}, false, false, 9},
		"last is below the chain head": {eventlog.Remembered{Head: 9, Next: 8}, true, true, 9},
		"log is gone": {eventlog.Remembered{Head: 9, Snapshot: 12, HighWater: 14, Next: 1}, true,
			true, 9},
		"last is below the snapshot":     {eventlog.Remembered{Head: 5, Snapshot: 9, Next: 8}, true, false, 8},
		"last is below the high water":   {eventlog.Remembered{Head: 5, HighWater: 9, Next: 8}, true, false, 8},
		"lost tail, nothing ever landed": {eventlog.Remembered{Head: 1, HighWater: 9, Next: 1}, true, false, 1},
		"another digest": {eventlog.Remembered{Head: 5, HighWater: 9, Next: 12, OtherDigest: true},
			true, false, 12},
	} {
		v := eventlog.Recover(c.in)
		if v.Seal != c.seal || v.Jump != c.jump || v.Next != c.next || v.Seal != (v.Reason != "") {
			t.Errorf("%s: got %+v, want seal %v, jump %v, next %d", name, v, c.seal, c.jump, c.next)
		}
	}
}
