package natsserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/highwayhash"

	"recount/schemas/durable"
)

// A block is a file of records, one a message:
//
//	length(4) sequence(8) time(8) subject length(2) subject [header length(4) header] body checksum(8)
//
// The numbers are little-endian. The length is that of the record, and its highest bit says that there is a header. The
// checksum is over everything but the two lengths of four bytes and the length of the subject. The blocks of the
// log are neither compressed nor encrypted.
const (
	recordHead     = 22
	recordChecksum = 8
	maxRecord      = 32 << 20
	headerBit      = 1 << 31
	sequenceFlags  = 3 << 62 // marks of erased and deleted messages
)

const (
	indexFile   = "index.db" // the index of a stream, written now and then and when the server stops
	blockSuffix = ".blk"
)

// setDamagedAside takes corrupt records out of the blocks that the server is about to cut. Without an index, which is
// after a crash, it cuts a block at its first corrupt record; with one, at the first record whose length or sequence is
// wrong. Whole messages after it would be lost, and in the newest block the log would look as if it had lost its end
// (L5). Without the corrupt record its message is missing, and named as any other missing message (C7). The block as it
// was stays beside the new one.
//
// A corrupt record that no intact one follows in its block is left to the server: a crash leaves such an end. It is
// named, because an acknowledged message may be in it, and what is remembered of the log is up to a second old (L5).
func setDamagedAside(dir string, log *slog.Logger) error {
	folders, err := filepath.Glob(filepath.Join(dir, "*", "streams", "*", "msgs"))
	if err != nil {
		return err
	}
	s := scan{log: log}
	for _, folder := range folders {
		if err := s.stream(folder); err != nil {
			return fmt.Errorf("look for damage in %s: %w", folder, err)
		}
	}
	return nil
}

// scan is a reading of blocks. It holds one block at a time.
type scan struct {
	log      *slog.Logger
	raw      bytes.Buffer  // the block
	checksum hash.Hash64   // of the block's records
	damage   []damagedPart // of the block
	end      int           // bytes at the end of the block that are in no intact record
	marked   uint64        // the highest sequence of an erased or deleted message that follow has met
}

// damagedPart is a part of a block without an intact record, with an intact record after it.
type damagedPart struct {
	start, end    int
	after, before uint64 // sequences of the messages beside it; after is 0 for a part that begins the log
}

// stream scans the blocks of a stream, unless its index is valid and the records of each block follow one another.
func (s *scan) stream(folder string) error {
	name := filepath.Base(filepath.Dir(folder))
	blocks, err := listBlocks(folder)
	if err != nil || len(blocks) == 0 {
		return err
	}
	current, err := indexIsCurrent(folder, name, blocks)
	if err != nil {
		return err
	}
	if current {
		var last uint64
		if whole, err := s.follow(folder, blocks, &last); err != nil || whole {
			return err
		}
		// With the index the server would believe a wrong sequence, and take memory for all before it.
		if err := removeIndex(folder); err != nil {
			return err
		}
	}
	var last uint64
	for _, number := range blocks {
		path := blockPath(folder, number)
		if err := s.load(path, name, number); err != nil {
			return err
		}
		last = s.find(last)
		if s.end > 0 {
			s.log.Warn("a block of the log ends with what is no whole message, as a crash leaves it; if a message "+
				"after this one was acknowledged, it is lost: send the events of that time again with the same ids",
				"stream", name, "block", path, "after_message", last, "bytes", s.end)
		}
		if len(s.damage) == 0 {
			continue
		}
		left := s.raw.Len()
		for _, d := range s.damage {
			left -= d.end - d.start
		}
		for _, d := range s.damage {
			s.log.Error("messages of the log are corrupt, and later messages of their block are not; the messages are "+
				"taken out of the block and count as missing", "stream", name, "block", path, "after_message", d.after,
				"before_message", d.before, "kept", s.kept(path), "block_bytes", left)
		}
		if err := s.setAside(folder, path); err != nil {
			return fmt.Errorf("take corrupt messages out of %s: %w", path, err)
		}
	}
	return nil
}

// Inspect looks at the blocks of a stopped server's stream, and changes nothing. It returns the sequence of the last
// message that the stream has had, 0 if there was none, and what is wrong in words. Where records follow one another it
// reads only their heads, as a start does.
func Inspect(stream string) (last uint64, faults []string, err error) {
	folder := filepath.Join(stream, "msgs")
	name := filepath.Base(stream)
	blocks, err := listBlocks(folder)
	if err != nil {
		return 0, nil, fmt.Errorf("look for damage in %s: %w", folder, err)
	}
	s := scan{}
	for _, number := range blocks {
		path := blockPath(folder, number)
		whole, err := s.follow(folder, []uint32{number}, &last)
		if err == nil && !whole {
			err = s.load(path, name, number)
		}
		if err != nil {
			return last, faults, fmt.Errorf("look for damage in %s: %w", path, err)
		}
		if whole {
			continue
		}
		before := last
		last = s.find(last)
		if len(s.damage) == 0 && s.end == 0 {
			faults = append(faults, fmt.Sprintf("%s lacks messages after message %d", path, before))
		}
		for _, d := range s.damage {
			faults = append(faults, fmt.Sprintf("%s is corrupt between the messages %d and %d", path, d.after,
				d.before))
		}
		if s.end > 0 {
			faults = append(faults, fmt.Sprintf("%s ends with %d bytes that are no whole message, as a crash leaves "+
				"it, after message %d", path, s.end, last))
		}
	}
	if len(blocks) == 0 {
		faults = append(faults, folder+" has no blocks")
	}
	return max(last, s.marked), faults, nil
}

// LastMessages returns the bodies of at most that many of the last messages of a stopped server's stream, the newest
// first. It passes over what is not whole.
func LastMessages(stream string, most int) (bodies [][]byte, err error) {
	folder := filepath.Join(stream, "msgs")
	blocks, err := listBlocks(folder)
	if err != nil {
		return nil, err
	}
	s := scan{}
	for _, number := range slices.Backward(blocks) {
		if len(bodies) >= most {
			break
		}
		if err := s.load(blockPath(folder, number), filepath.Base(stream), number); err != nil {
			return nil, err
		}
		found := s.bodies()
		slices.Reverse(found)
		bodies = append(bodies, found...)
	}
	return bodies[:min(len(bodies), most)], nil
}

// bodies returns copies of the bodies of the block's messages.
func (s *scan) bodies() (bodies [][]byte) {
	raw := s.raw.Bytes()
	for at := 0; at < len(raw); {
		length := 0
		if mayBegin(raw[at:]) {
			length = s.intact(raw[at:])
		}
		if length == 0 {
			at++
			continue
		}
		message := raw[at : at+length-recordChecksum]
		at += length
		if binary.LittleEndian.Uint64(message[4:])&sequenceFlags != 0 {
			continue
		}
		body := message[recordHead+int(binary.LittleEndian.Uint16(message[20:])):]
		if binary.LittleEndian.Uint32(message)&headerBit != 0 {
			body = body[min(len(body), 4+int(binary.LittleEndian.Uint32(body))):]
		}
		bodies = append(bodies, bytes.Clone(body))
	}
	return bodies
}

// windowBytes is how much of a block follow reads at once. Most messages are larger, and most of a block is not read.
const windowBytes = 4 << 10

// follow reports whether the records of all blocks follow one another to the end of their block: their lengths fit, and
// each sequence is one more than that before, or marked. It reads the heads of records only. last is the sequence
// before the blocks, or 0, and then the last one in them.
func (s *scan) follow(folder string, blocks []uint32, last *uint64) (bool, error) {
	for _, number := range blocks {
		f, err := os.Open(blockPath(folder, number))
		if err != nil {
			return false, err
		}
		whole, err := s.recordsFollow(f, last)
		f.Close()
		if err != nil || !whole {
			return false, err
		}
	}
	return true, nil
}

// recordsFollow is follow for one block. last is the sequence of the record before, and 0 if there is none.
func (s *scan) recordsFollow(f *os.File, last *uint64) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	window := make([]byte, windowBytes)
	from := int64(0)
	n := 0 // The window has n bytes from there.
	for at := int64(0); at < info.Size(); {
		if at+recordHead > from+int64(n) {
			from = at
			if n, err = f.ReadAt(window, at); err != nil && !errors.Is(err, io.EOF) {
				return false, err
			}
		}
		if n-int(at-from) < recordHead {
			return false, nil
		}
		head := window[at-from:]
		length := int64(binary.LittleEndian.Uint32(head) &^ headerBit)
		number := binary.LittleEndian.Uint64(head[4:])
		marked := number&sequenceFlags != 0
		if length < recordHead+recordChecksum || length > maxRecord || number == 0 {
			return false, nil
		}
		if !marked {
			if *last > 0 && number != *last+1 {
				return false, nil
			}
			*last = number
		} else {
			s.marked = max(s.marked, number&^sequenceFlags)
		}
		if at += length; at > info.Size() {
			return false, nil
		}
	}
	return true, nil
}

func blockPath(folder string, number uint32) string {
	return filepath.Join(folder, strconv.FormatUint(uint64(number), 10)+blockSuffix)
}

// listBlocks returns the numbers of a stream's blocks in their order.
func listBlocks(folder string) ([]uint32, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var blocks []uint32
	for _, e := range entries {
		text, isBlock := strings.CutSuffix(e.Name(), blockSuffix)
		if number, err := strconv.ParseUint(text, 10, 32); isBlock && err == nil {
			blocks = append(blocks, uint32(number))
		}
	}
	slices.Sort(blocks)
	return blocks, nil
}

// indexIsCurrent reports whether the server will trust a stream's index and not read the blocks: its checksum holds,
// and it ends with the number and the last checksum of the newest block. If a block between others is missing, the
// server reads all of them.
func indexIsCurrent(folder, stream string, blocks []uint32) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(folder, indexFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	newest := blocks[len(blocks)-1]
	if len(raw) < recordChecksum || int(newest-blocks[0]) != len(blocks)-1 {
		return false, nil
	}
	body := raw[:len(raw)-recordChecksum]
	checksum := newChecksum(stream)
	checksum.Write(body)
	if !bytes.Equal(checksum.Sum(nil), raw[len(body):]) {
		return false, nil
	}
	end := binary.AppendUvarint(nil, uint64(newest))
	lastChecksum, err := readLastChecksum(blockPath(folder, newest))
	if err != nil {
		return false, err
	}
	return bytes.HasSuffix(body, append(end, lastChecksum...)), nil
}

// readLastChecksum returns the last eight bytes of a block, or zeros if it is shorter.
func readLastChecksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	checksum := make([]byte, recordChecksum)
	info, err := f.Stat()
	if err != nil || info.Size() < recordChecksum {
		return checksum, err
	}
	_, err = f.ReadAt(checksum, info.Size()-recordChecksum)
	return checksum, err
}

// newChecksum returns the server's checksum of an index or of a block, by the name that makes its key.
func newChecksum(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) // The key has the right length.
	}
	return h
}

// load reads a block.
func (s *scan) load(path, stream string, number uint32) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s.raw.Reset()
	s.checksum = newChecksum(fmt.Sprintf("%s-%d", stream, number))
	_, err = io.Copy(&s.raw, f)
	return err
}

// find finds the damage of the block, and returns the sequence of its last intact message, or last if it has none.
func (s *scan) find(last uint64) uint64 {
	raw := s.raw.Bytes()
	s.damage = s.damage[:0]
	s.end = 0
	for at := 0; at < len(raw); {
		if length := s.intact(raw[at:]); length > 0 {
			last = max(last, sequence(raw[at:]))
			at += length
			continue
		}
		next := at + 1
		for next < len(raw) && (!mayBegin(raw[next:]) || s.intact(raw[next:]) == 0) {
			next++
		}
		if next < len(raw) {
			s.damage = append(s.damage, damagedPart{start: at, end: next, after: last, before: sequence(raw[next:])})
		} else {
			s.end = len(raw) - at
		}
		at = next
	}
	return last
}

func sequence(record []byte) uint64 { return binary.LittleEndian.Uint64(record[4:]) &^ sequenceFlags }

// intact returns the length of the record at the start of raw, or 0 if it is not whole or corrupt.
func (s *scan) intact(raw []byte) int {
	if len(raw) < recordHead+recordChecksum {
		return 0
	}
	first := binary.LittleEndian.Uint32(raw)
	length := int(first &^ headerBit)
	body := recordHead + int(binary.LittleEndian.Uint16(raw[20:]))
	end := length - recordChecksum
	if length > min(len(raw), maxRecord) || body > end {
		return 0
	}
	s.checksum.Reset()
	s.checksum.Write(raw[4:20])
	s.checksum.Write(raw[recordHead:body])
	if first&headerBit != 0 {
		body += 4
	}
	if body > end {
		return 0
	}
	s.checksum.Write(raw[body:end])
	if !bytes.Equal(s.checksum.Sum(nil), raw[end:length]) {
		return 0
	}
	return length
}

// mayBegin reports whether raw looks like the start of a message: with a time, and a subject in printable characters.
// It spares the checksum at nearly all bytes of a corrupt message.
func mayBegin(raw []byte) bool {
	if len(raw) < recordHead+recordChecksum {
		return false
	}
	const earliest = int64(40 * 365 * 24 * time.Hour) // before the first version of the program
	const longest = 255                               // of the subjects of the log
	length := int(binary.LittleEndian.Uint32(raw) &^ headerBit)
	subject := int(binary.LittleEndian.Uint16(raw[20:]))
	if length > len(raw) || subject == 0 || subject > min(longest, length-recordHead-recordChecksum) ||
		int64(binary.LittleEndian.Uint64(raw[12:])) < earliest {
		return false
	}
	return !slices.ContainsFunc(raw[recordHead:recordHead+subject], func(c byte) bool { return c <= ' ' || c > '~' })
}

// kept returns the name under which the block stays as it is. Its length tells it from the same block at a later time.
func (s *scan) kept(path string) string { return fmt.Sprintf("%s.%d.damaged", path, s.raw.Len()) }

func removeIndex(folder string) error {
	if err := os.Remove(filepath.Join(folder, indexFile)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// setAside replaces the block by one without its damage. A crash leaves the old block or the new one.
func (s *scan) setAside(folder, path string) error {
	// The server must not trust an index that knows the messages.
	if err := removeIndex(folder); err != nil {
		return err
	}
	if err := os.Link(path, s.kept(path)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	raw := s.raw.Bytes()
	return durable.File{Path: path, Mode: 0o640}.Replace(func(w *os.File) error {
		start := 0
		for _, d := range s.damage {
			if _, err := w.Write(raw[start:d.start]); err != nil {
				return err
			}
			start = d.end
		}
		_, err := w.Write(raw[start:])
		return err
	})
}
