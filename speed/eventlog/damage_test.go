package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// The damaged log has 30 messages in blocks of ten.
const (
	damagedMessages = 30
	damagedBlock    = 10 // messages of one block: the server makes blocks of 8 MiB
	damagedFrame    = 800 << 10
)

// damageLog writes a log, lets damage change the bytes of a block, and opens the log again. The blocks are
// counted from 0. Without an index, the server reads the blocks at its start.
func damageLog(t *testing.T, block int, damage func([]byte) []byte, index bool) *eventlog.Log {
	t.Helper()
	dir := t.TempDir()
	c := natsserver.DefaultConfig(dir)
	c.SyncAlways = false
	open := func() (*natsserver.Server, *eventlog.Log) {
		s, err := natsserver.Open(testContext(t), c)
		if err != nil {
			t.Fatal(err)
		}
		lc := eventlog.DefaultConfig(s)
		lc.Partitions = 1
		lc.Durability = eventlog.Relaxed
		l, err := eventlog.Open(testContext(t), lc)
		if err != nil {
			t.Fatal(err)
		}
		return s, l
	}
	s, l := open()
	frame := bytes.Repeat([]byte("x"), damagedFrame)
	for range damagedMessages {
		if _, err := l.Append(testContext(t), 0, frame, ""); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	s.Close()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil || len(blocks) != damagedMessages/damagedBlock {
		t.Fatalf("got blocks %v, %v, want %d", blocks, err, damagedMessages/damagedBlock)
	}
	slices.Sort(blocks)
	raw, err := os.ReadFile(blocks[block])
	if err == nil {
		err = os.WriteFile(blocks[block], damage(raw), 0o600)
	}
	if err == nil && !index {
		err = os.Remove(filepath.Join(filepath.Dir(blocks[block]), "index.db"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s, l = open()
	t.Cleanup(s.Close)
	t.Cleanup(l.Close)
	return l
}

// flip returns a damage that changes one bit of a message of a block, counted from 0.
func flip(message int) func([]byte) []byte {
	return func(raw []byte) []byte {
		raw[len(raw)/damagedBlock*message+damagedFrame/2] ^= 1
		return raw
	}
}

// half leaves the first five messages of a block.
func half(raw []byte) []byte { return raw[:len(raw)/2] }

// TestDamagedBlockIsAGap damages a block of the log, and reads to the log's end. The reader must never wait
// for what is lost. It returns the messages before the damage, and then a gap that names the lost ones.
func TestDamagedBlockIsAGap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		block  int
		damage func([]byte) []byte
		index  bool
		gap    position.GapError // zero if the log only ends earlier
		next   uint64            // the log's next sequence
	}{
		"first message of a block":           {1, flip(0), true, position.GapError{Want: 11, Got: 12}, 31},
		"middle message of a block":          {1, flip(4), true, position.GapError{Want: 15, Got: 16}, 31},
		"last message of a block":            {1, flip(9), true, position.GapError{Want: 20, Got: 21}, 31},
		"last message of the log":            {2, flip(9), true, position.GapError{Want: 30, Got: 31}, 31},
		"last message of the log, no index":  {2, flip(9), false, position.GapError{}, 30},
		"block cut in half":                  {1, half, true, position.GapError{Want: 16, Got: 21}, 31},
		"last block cut in half":             {2, half, true, position.GapError{Want: 26, Got: 31}, 31},
		"last block cut in half, no index":   {2, half, false, position.GapError{}, 26},
		"first block cut in half":            {0, half, true, position.GapError{Want: 6, Got: 11}, 31},
		"first message of a block, no index": {1, flip(0), false, position.GapError{Want: 11, Got: 12}, 31},
		"middle of a block, no index":        {1, flip(4), false, position.GapError{Want: 15, Got: 16}, 31},
		"last of a block, no index":          {1, flip(9), false, position.GapError{Want: 20, Got: 21}, 31},
		"middle of the last block, no index": {2, flip(4), false, position.GapError{Want: 25, Got: 26}, 31},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := damageLog(t, c.block, c.damage, c.index)
			if _, next, err := l.Bounds(testContext(t), 0); err != nil || next != c.next {
				t.Fatalf("the log's next sequence is %d, %v, want %d", next, err, c.next)
			}
			end := c.next
			if c.gap != (position.GapError{}) {
				end = c.gap.Want
			}
			r := readFrom(t, l, 0, 1)
			for want := uint64(1); want < end; want++ {
				if m := next(t, r); m.Seq != want {
					t.Fatalf("got message %d, want %d", m.Seq, want)
				}
			}
			if c.gap == (position.GapError{}) {
				return
			}
			_, err := r.Next(testContext(t))
			var gap position.GapError
			if !errors.As(err, &gap) || gap != c.gap {
				t.Errorf("got %v, want %v", err, c.gap)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("the reader waits for a message that is lost")
			}
		})
	}
}
