package realtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"recount/schemas/durable"
	"recount/schemas/position"
)

const (
	snapshotSuffix = ".snap"
	// keptSnapshots is how many snapshots of each partition are kept. The second is used if the
	// newest is damaged.
	keptSnapshots = 2
)

// SnapshotOffset returns the offset of the newest valid snapshot of a partition in an installation, for L5 and L6, or
// false if there is none. It reads the whole file; in a process that runs the views, Status has the
// offset. A folder that does not exist has no snapshot.
func SnapshotOffset(dir, installation string, partition int) (position.Offset, bool, error) {
	s := newSnapshots(dir, installation, partition)
	names, err := s.list()
	if err != nil {
		return position.Offset{}, false, err
	}
	for _, name := range names {
		snap, err := s.read(name, nil)
		if err == nil {
			return position.Offset{Epoch: epochAt(snap.epochs, snap.next), Seq: snap.next}, true, nil
		}
		if !errors.Is(err, errSnapshot) {
			return position.Offset{}, false, err
		}
	}
	return position.Offset{}, false, nil
}

// UnusableSnapshots returns why a start would pass over files of a partition. The error is one with which a start ends.
func UnusableSnapshots(dir, installation string, partition int) (unusable []error, err error) {
	s := newSnapshots(dir, installation, partition)
	names, err := s.list()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		_, err := s.read(name, nil)
		switch {
		case errors.Is(err, errSnapshot):
			unusable = append(unusable, err)
		case err != nil:
			return unusable, err
		}
	}
	return unusable, nil
}

// snapshots manages the files of one partition. The number in a file's name only grows, so the newest
// file is known even if offsets went back because the log lost its end (L5).
type snapshots struct {
	dir          string
	prefix       string
	installation string // empty if the owner of the files is not known

	mu     sync.Mutex // held while a file is written; guards the fields below
	newest uint64     // number of the newest file
	saved  savedSnapshot

	blocks  []block // of the newest file
	lineage uint64  // of the ring whose entries they hold
}

// savedSnapshot describes the last snapshot that was written or loaded.
type savedSnapshot struct {
	next     uint64
	bytes    int64
	duration time.Duration
	failures uint64
}

func newSnapshots(dir, installation string, partition int) snapshots {
	return snapshots{dir: dir, prefix: fmt.Sprintf("p%03d-", partition), installation: installation}
}

func (s *snapshots) name(number uint64) string {
	return fmt.Sprintf("%s%020d%s", s.prefix, number, snapshotSuffix)
}

// list returns the names of the partition's files, the newest first.
func (s *snapshots) list() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var names []string
	for _, e := range entries {
		digits := strings.TrimSuffix(strings.TrimPrefix(e.Name(), s.prefix), snapshotSuffix)
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil && e.Name() == s.name(n) {
			names = append(names, e.Name())
			s.newest = max(s.newest, n)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// read reads a file of list and the blocks to which it refers.
func (s *snapshots) read(name string, p *plan) (*snapshot, error) {
	snap, err := s.open(name, p)
	if err != nil {
		return nil, err
	}
	if id := snap.installation; id != "" && s.installation != "" && id != s.installation {
		return nil, fmt.Errorf("%w: snapshot %s is of installation %s, not of %s (I8)", errSnapshot, name, id,
			s.installation)
	}
	if err := s.readBlocks(snap); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	return snap, nil
}

// open reads a file of list.
func (s *snapshots) open(name string, p *plan) (*snapshot, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	snap, err := readSnapshot(f, info.Size(), p)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	return snap, nil
}

// write writes snap as the newest file and removes the files that are no longer kept. It does nothing
// if the newest file has the same offset.
func (s *snapshots) write(snap *snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap.next == s.saved.next {
		return nil
	}
	begun := time.Now()
	blocks, blockSize, err := s.extend(&snap.ring)
	if err != nil {
		s.saved.failures++
		return fmt.Errorf("write block of partition %d: %w", snap.partition, err)
	}
	snap.blocks = append([]block{}, blocks...)
	size, err := s.create(s.name(s.newest+1), snap)
	if err != nil {
		s.saved.failures++
		return fmt.Errorf("write snapshot of partition %d: %w", snap.partition, err)
	}
	s.newest++
	s.blocks = blocks
	s.lineage = snap.ring.lineage
	s.saved.next = snap.next
	s.saved.bytes = size + blockSize
	s.saved.duration = time.Since(begun)
	return s.prune()
}

// create writes a file so that, under its name, it is either complete or missing.
func (s *snapshots) create(name string, snap *snapshot) (size int64, err error) {
	f := durable.File{Path: filepath.Join(s.dir, name), Mode: 0o666, Points: "snapshot"}
	err = f.Replace(func(w *os.File) error {
		if err := snap.write(w); err != nil {
			return err
		}
		info, err := w.Stat()
		if err != nil {
			return err
		}
		size = info.Size()
		return nil
	})
	return size, err
}

// prune removes the files that are no longer kept.
func (s *snapshots) prune() error {
	names, err := s.list()
	if err != nil {
		return err
	}
	for _, name := range names[min(len(names), keptSnapshots):] {
		err = errors.Join(err, os.Remove(filepath.Join(s.dir, name)))
	}
	return errors.Join(err, s.pruneBlocks(names[:min(len(names), keptSnapshots)]))
}

// removeTemporary removes the unfinished files that a crash left.
func (s *snapshots) removeTemporary() error {
	left, err := filepath.Glob(filepath.Join(s.dir, s.prefix+"*"+durable.TempSuffix))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func (s *snapshots) lastSaved() savedSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}
