package eventlog_test

import (
	"testing"

	"recount/speed/eventlog"
)

// TestRecoverNamesWhatIsLost checks that a seal names the acknowledged messages that have not landed.
func TestRecoverNamesWhatIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   eventlog.Remembered
		want string
	}{
		{eventlog.Remembered{Head: 5, HighWater: 9, Next: 8},
			"the log ends below the high-water mark of acknowledged messages; the acknowledged messages [8, 9) are " +
				"lost"},
		{eventlog.Remembered{Head: 9, Snapshot: 12, HighWater: 14, Next: 1},
			"the log ends below the chain head; the acknowledged messages [9, 14) are lost"},
		{eventlog.Remembered{Head: 9, HighWater: 9, Next: 8}, "the log ends below the chain head"},
		{eventlog.Remembered{Head: 5, HighWater: 9, Next: 12, OtherDigest: true},
			"the log has another message at a remembered sequence; the acknowledged messages [5, 9) may be lost"},
		{eventlog.Remembered{Head: 5, Snapshot: 9, HighWater: 9, Next: 9}, ""},
	} {
		if got := eventlog.Recover(c.in).Reason; got != c.want {
			t.Errorf("%+v: got %q, want %q", c.in, got, c.want)
		}
	}
}

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
