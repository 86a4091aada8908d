package realtime

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"recount/schemas/durable"
)

const (
	blockMagic  = "RCNIDS01"
	blockSuffix = ".ids"
	// maxBlock is the number of identities from which a block is not merged with newer ones, 16 MiB.
	maxBlock = 1 << 20
)

// block is an immutable file with identities that snapshots refer to. A snapshot writes only the identities that
// came since the one before, and the blocks before them that are not larger (extend). So an identity is written
// a few times in its life, and not with every snapshot.
type block struct {
	number     uint64 // of the snapshot with which it was written; part of its name
	first, end int64  // its entries in the ring; first is negative if entries before the ring were forgotten
	sum        uint32 // checksum of the file
}

func (s *snapshots) blockName(number uint64) string {
	return fmt.Sprintf("%s%020d%s", s.prefix, number, blockSuffix)
}

// extend returns blocks with all identities of a ring, and how many bytes it wrote. It writes at most one block.
// The blocks that the ring has forgotten are left out. mu must be held.
func (s *snapshots) extend(r *ring) (blocks []block, size int64, err error) {
	if r.lineage == s.lineage {
		blocks = slices.DeleteFunc(slices.Clone(s.blocks), func(b block) bool { return b.end <= int64(r.first) })
	}
	next := block{number: s.newest + 1, first: int64(r.first), end: int64(r.end)}
	if n := len(blocks); n > 0 {
		next.first = blocks[n-1].end
	}
	if next.first == next.end {
		return blocks, 0, nil
	}
	for n := len(blocks); n > 0; n-- {
		last := blocks[n-1]
		if count := last.end - last.first; count >= maxBlock || count > next.end-next.first {
			break
		}
		next.first = max(last.first, int64(r.first))
		blocks = blocks[:n-1]
	}
	if next.sum, size, err = s.writeBlock(next, r); err != nil {
		return nil, 0, err
	}
	return append(blocks, next), size, nil
}

// writeBlock writes a block so that, under its name, it is either complete or missing.
func (s *snapshots) writeBlock(b block, r *ring) (sum uint32, size int64, err error) {
	hash := crc32.New(castagnoli)
	f := durable.File{Path: filepath.Join(s.dir, s.blockName(b.number)), Mode: 0o666, Points: "snapshot"}
	err = f.Replace(func(w *os.File) error {
		out := bufio.NewWriterSize(io.MultiWriter(w, hash), 64<<10)
		head := littleEndian.AppendUint64([]byte(blockMagic), uint64(b.end-b.first))
		if _, err := out.Write(head); err != nil {
			return err
		}
		var entry [16]byte
		for n := b.first; n < b.end; n++ {
			id := r.entry(uint64(n))
			littleEndian.PutUint64(entry[:], id.low)
			littleEndian.PutUint64(entry[8:], id.high)
			if _, err := out.Write(entry[:]); err != nil {
				return err
			}
		}
		size = int64(len(head)) + 16*(b.end-b.first)
		return out.Flush()
	})
	return hash.Sum32(), size, err
}

// encodeBlocks appends the list of a snapshot's blocks.
func (s *snapshot) encodeBlocks(b []byte) []byte {
	b = littleEndian.AppendUint64(b, uint64(len(s.blocks)))
	for _, k := range s.blocks {
		first := max(k.first, int64(s.ring.first))
		b = littleEndian.AppendUint64(b, k.number)
		b = littleEndian.AppendUint64(b, uint64(first-k.first))
		b = littleEndian.AppendUint64(b, uint64(k.end-first))
		b = littleEndian.AppendUint32(b, k.sum)
	}
	return b
}

// decodeBlocks reads the list of a snapshot's blocks and returns the number of their identities.
func (s *snapshot) decodeBlocks(d *decoder, missing uint64) (count uint64) {
	s.blocks = []block{}
	for range d.count(28) {
		number := d.uint64()
		skipped := d.uint64()
		n := d.uint64()
		if skipped > maxWindowEntries || n > missing-count {
			d.reject("block %d has %d identities, but only %d are missing", number, n, missing-count)
			return count
		}
		first := int64(count) - int64(skipped)
		count += n
		s.blocks = append(s.blocks, block{number: number, first: first, end: int64(count), sum: d.uint32()})
	}
	return count
}

// readBlocks appends the identities of a snapshot's blocks to its ring. Errors wrap errSnapshot or are the system's.
func (s *snapshots) readBlocks(snap *snapshot) error {
	for _, b := range snap.blocks {
		name := s.blockName(b.number)
		raw, err := os.ReadFile(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: its block %s is missing", errSnapshot, name)
		}
		if err != nil {
			return fmt.Errorf("read block: %w", err)
		}
		if len(raw) != 16+16*int(b.end-b.first) || string(raw[:8]) != blockMagic ||
			crc32.Checksum(raw, castagnoli) != b.sum {
			return fmt.Errorf("%w: its block %s is damaged", errSnapshot, name)
		}
		d := &decoder{payload: raw[16+16*max(0, -b.first):]}
		if len(snap.ring.chunks) > 0 { // Only the first block has forgotten entries.
			d.payload = raw[16:]
		}
		for len(d.payload) > 0 {
			snap.ring.append(identity{d.uint64(), d.uint64()})
		}
	}
	return nil
}

// pruneBlocks removes the blocks that none of the kept snapshots refers to. It removes none if a snapshot cannot be
// read. mu must be held.
func (s *snapshots) pruneBlocks(kept []string) error {
	wanted := map[string]bool{}
	for _, name := range kept {
		snap, err := s.open(name, nil)
		if err != nil {
			return nil
		}
		for _, b := range snap.blocks {
			wanted[s.blockName(b.number)] = true
		}
	}
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		digits := strings.TrimSuffix(strings.TrimPrefix(e.Name(), s.prefix), blockSuffix)
		n, notNumber := strconv.ParseUint(digits, 10, 64)
		if notNumber == nil && e.Name() == s.blockName(n) && !wanted[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return err
}
