package natsserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// testMessages are in the block that the tests damage. The middle one is message 3.
const testMessages = 5

// writeBlock returns a store with a stream of one block, as a crash leaves it: without a valid index. Its messages have
// headers, as those of the log.
func writeBlock(t *testing.T) (dir, block string) {
	t.Helper()
	c := DefaultConfig(t.TempDir())
	c.SyncAlways = false
	s, js := openStore(t, c)
	stream := jetstream.StreamConfig{Name: "test-p0", Subjects: []string{"test.p0"}, MaxBytes: 1 << 20}
	if _, err := js.CreateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	for i := range testMessages {
		m := &nats.Msg{Subject: "test.p0", Data: bytes.Repeat([]byte{byte(i)}, 40+i),
			Header: nats.Header{nats.MsgIdHdr: {strings.Repeat("m", i+1)}}}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	blocks, err := filepath.Glob(filepath.Join(c.Dir, "jetstream/*/streams/*/msgs/*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatal(blocks, err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(blocks[0]), indexFile)); err != nil {
		t.Fatal(err)
	}
	return c.Dir, blocks[0]
}

func openStore(t *testing.T, c Config) (*Server, jetstream.JetStream) {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return s, js
}

// readStore opens a store and returns the messages that its stream can give, and the stream's next sequence.
func readStore(t *testing.T, dir string) (messages []uint64, next uint64) {
	t.Helper()
	c := DefaultConfig(dir)
	c.SyncAlways = false
	s, js := openStore(t, c)
	defer s.Close()
	stream, err := js.Stream(t.Context(), "test-p0")
	if err != nil {
		t.Fatal(err)
	}
	next = stream.CachedInfo().State.LastSeq + 1
	for seq := uint64(1); seq < next; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			continue
		}
		if !bytes.Equal(m.Data, bytes.Repeat([]byte{byte(seq - 1)}, 40+int(seq-1))) {
			t.Errorf("message %d is %q", seq, m.Data)
		}
		messages = append(messages, seq)
	}
	return messages, next
}

// recordsOf returns where the records of a block begin, and where the last one ends.
func recordsOf(t *testing.T, raw []byte) []int {
	t.Helper()
	s := scan{checksum: newChecksum("test-p0-1")}
	starts := []int{0}
	for at := 0; at < len(raw); {
		length := s.intact(raw[at:])
		if length == 0 {
			t.Fatalf("the record at byte %d is not read as intact", at)
		}
		at += length
		starts = append(starts, at)
	}
	if len(starts) != testMessages+1 {
		t.Fatalf("%d records, want %d", len(starts)-1, testMessages)
	}
	return starts
}

// damageOf returns the damage that a scan finds in the block.
func damageOf(raw []byte) []damagedPart {
	s := scan{checksum: newChecksum("test-p0-1")}
	s.raw.Write(raw)
	s.find(0)
	return s.damage
}

// TestEveryFlippedBit flips each bit of the block. The scan finds the message of the bit, if it is not the last one.
func TestEveryFlippedBit(t *testing.T) {
	t.Parallel()
	_, block := writeBlock(t)
	raw, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	starts := recordsOf(t, raw)
	for bit := range 8 * len(raw) {
		message := slices.IndexFunc(starts[1:], func(end int) bool { return bit/8 < end })
		want := []damagedPart{{start: starts[message], end: starts[message+1], after: uint64(message),
			before: uint64(message + 2)}}
		if at := bit/8 - starts[message] - recordHead - len("test.p0"); at >= 0 && at < 4 {
			want = nil // The length of the header is in no checksum. The server gives the message with another header.
		}
		if message == testMessages-1 {
			want = nil
		}
		raw[bit/8] ^= 1 << (bit % 8)
		if got := damageOf(raw); !slices.Equal(got, want) {
			t.Errorf("bit %d of byte %d, message %d: got damage %+v, want %+v", bit%8, bit/8, message+1, got, want)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

// TestTornTail cuts the block at every byte. A crash leaves such a block, so it is no damage.
func TestTornTail(t *testing.T) {
	t.Parallel()
	_, block := writeBlock(t)
	raw, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	for end := range raw {
		if got := damageOf(raw[:end]); len(got) != 0 {
			t.Fatalf("cut at byte %d: got damage %+v", end, got)
		}
	}
}

// TestEndIsNamed flips a bit in the last message of a block, and cuts the block within it. The scan names the message
// before. A whole block has no such end.
func TestEndIsNamed(t *testing.T) {
	t.Parallel()
	dir, block := writeBlock(t)
	whole, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-20] ^= 1
	for _, c := range []struct {
		raw  []byte
		want string // empty for no line
	}{{whole, ""}, {flipped, "after_message=4"}, {whole[:len(whole)-1], "after_message=4"}} {
		if err := os.WriteFile(block, c.raw, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		if err := setDamagedAside(filepath.Join(dir, "jetstream"), logger); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%d bytes: got %q, want %q", len(c.raw), got, c.want)
		}
	}
}

// TestDamageAfterCrash flips a bit in each region of a message. The server then gives all other messages, keeps the
// block as it was, and names the message in the log.
func TestDamageAfterCrash(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(record []byte) int{
		"length":         func([]byte) int { return 0 },
		"sequence":       func([]byte) int { return 5 },
		"time":           func([]byte) int { return 14 },
		"subject length": func([]byte) int { return 20 },
		"subject":        func([]byte) int { return recordHead + 2 },
		"header":         func([]byte) int { return recordHead + len("test.p0") + 6 },
		"body":           func(r []byte) int { return len(r) - recordChecksum - 3 },
		"checksum":       func(r []byte) int { return len(r) - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, message := range []int{0, 2, testMessages - 1} {
				dir, block := writeBlock(t)
				raw, err := os.ReadFile(block)
				if err != nil {
					t.Fatal(err)
				}
				starts := recordsOf(t, raw)
				raw[starts[message]+at(raw[starts[message]:starts[message+1]])] ^= 1
				if err := os.WriteFile(block, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				want := []uint64{1, 2, 3, 4, 5}
				want = slices.Delete(want, message, message+1)
				wantNext := uint64(testMessages + 1)
				if message == testMessages-1 {
					wantNext--
				}
				if got, next := readStore(t, dir); !slices.Equal(got, want) || next != wantNext {
					t.Errorf("message %d: got messages %v and next %d, want %v and %d", message+1, got, next, want,
						wantNext)
				}
				kept, err := filepath.Glob(block + ".*.damaged")
				if err != nil || (len(kept) == 1) != (message < testMessages-1) {
					t.Errorf("message %d: kept %v, %v", message+1, kept, err)
				}
				if len(kept) == 0 {
					continue
				}
				if got, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(got, raw) {
					t.Errorf("message %d: the kept block has %d bytes, want %d: %v", message+1, len(got), len(raw), err)
				}
			}
		})
	}
}

// TestValidIndexSparesTheScan stops a server and damages its block. The server will not read the block as a whole, and
// names the message when a reader asks for it, so the scan leaves it.
// TestDamageAfterStop flips bits that make the server cut a block although its index is valid. The messages after the
// corrupt one must stay.
func TestDamageAfterStop(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1, 2, 3, 4, 5, 11} { // in the length and in the sequence
		for _, message := range []int{0, 2, testMessages - 1} {
			dir, block := writeBlock(t)
			if got, _ := readStore(t, dir); len(got) != testMessages { // writes an index
				t.Fatal(got)
			}
			raw, err := os.ReadFile(block)
			if err != nil {
				t.Fatal(err)
			}
			raw[recordsOf(t, raw)[message]+at] ^= 1
			if err := os.WriteFile(block, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			want := slices.Delete([]uint64{1, 2, 3, 4, 5}, message, message+1)
			wantNext := want[len(want)-1] + 1 // A corrupt end is as after a crash.
			if got, next := readStore(t, dir); !slices.Equal(got, want) || next != wantNext {
				t.Errorf("byte %d of message %d: got messages %v and next %d, want %v and %d", at, message+1, got, next,
					want, wantNext)
			}
		}
	}
}

func TestValidIndexSparesTheScan(t *testing.T) {
	t.Parallel()
	dir, block := writeBlock(t)
	if messages, _ := readStore(t, dir); len(messages) != testMessages { // writes an index
		t.Fatal(messages)
	}
	folder := filepath.Dir(block)
	blocks, err := listBlocks(folder)
	if err != nil {
		t.Fatal(err)
	}
	if current, err := indexIsCurrent(folder, "test-p0", blocks); err != nil || !current {
		t.Fatalf("after a stop the index is current: got %v, %v", current, err)
	}
	raw, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	raw[recordsOf(t, raw)[3]-20] ^= 1
	if err := os.WriteFile(block, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := setDamagedAside(filepath.Join(dir, "jetstream"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(block); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("a block with a valid index was changed: %v", err)
	}
	index, err := os.ReadFile(filepath.Join(folder, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { return os.WriteFile(filepath.Join(folder, indexFile), index[:len(index)-1], 0o600) },
		func() error { return os.Remove(filepath.Join(folder, indexFile)) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if current, err := indexIsCurrent(folder, "test-p0", blocks); err != nil || current {
			t.Errorf("a broken or missing index is current: %v", err)
		}
	}
}

// BenchmarkScan scans 64 MiB of blocks whose index is missing.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	folder := filepath.Join(dir, "$G", "streams", "bench-p0", "msgs")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	const blocks = 8
	for number := range uint32(blocks) {
		block := bytes.Repeat(record(fmt.Sprintf("bench-p0-%d", number), 64<<10), 128)
		if err := os.WriteFile(blockPath(folder, number), block, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(blocks * 8 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if err := setDamagedAside(dir, slog.New(slog.DiscardHandler)); err != nil {
			b.Fatal(err)
		}
	}
}

// record returns a record of a length in a block with the name.
func record(block string, length int) []byte {
	raw := make([]byte, length)
	binary.LittleEndian.PutUint32(raw, uint32(length))
	checksum := newChecksum(block)
	checksum.Write(raw[4:20])
	checksum.Write(raw[recordHead : length-recordChecksum])
	return checksum.Sum(raw[:length-recordChecksum])
}

// TestInspectEmptyStream: a stream whose messages were all trimmed still says how many it had, and one whose block was
// emptied does not. A block that does not continue the one before it is a fault.
func TestInspectEmptyStream(t *testing.T) {
	t.Parallel()
	dir, block := writeBlock(t)
	stream := filepath.Dir(filepath.Dir(block))
	bodies, err := LastMessages(stream, 3)
	newest := bytes.Repeat([]byte{testMessages - 1}, 40+testMessages-1)
	if err != nil || len(bodies) != 3 || !bytes.Equal(bodies[0], newest) {
		t.Errorf("got %q, %v", bodies, err)
	}
	expect := func(what string, want uint64, fault string) {
		t.Helper()
		last, faults, err := Inspect(stream)
		if err != nil || last != want || (len(faults) > 0) != (fault != "") ||
			fault != "" && !strings.Contains(faults[0], fault) {
			t.Errorf("%s: last message %d, faults %q, %v", what, last, faults, err)
		}
	}
	expect("whole", testMessages, "")
	raw, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	starts := recordsOf(t, raw)
	for name, content := range map[string][]byte{"1.blk": raw[:starts[2]], "2.blk": raw[starts[3]:]} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(block), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	last, faults, err := Inspect(stream)
	if err != nil || last < 2 || len(faults) == 0 {
		t.Errorf("a gap between blocks: last message %d, faults %q, %v", last, faults, err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(block), "2.blk")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(block, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig(dir)
	c.SyncAlways = false
	s, js := openStore(t, c)
	trimmed, err := js.Stream(t.Context(), "test-p0")
	if err != nil {
		t.Fatal(err)
	}
	if err := trimmed.Purge(t.Context(), jetstream.WithPurgeSequence(testMessages+1)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	expect("all trimmed", testMessages, "")
	blocks, err := filepath.Glob(filepath.Join(filepath.Dir(block), "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := os.Truncate(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	expect("emptied", 0, "")
}
