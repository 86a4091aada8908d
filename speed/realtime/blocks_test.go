package realtime

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// snapshotOf returns a snapshot without views of a ring, which ends just before the message next.
func snapshotOf(r *ring, next uint64) *snapshot {
	frozen := *r
	frozen.chunks = append([]*[chunkSize]identity{}, r.chunks...)
	return &snapshot{partitionCount: 1, base: next, next: next, ring: frozen,
		marks: []segmentMark{{start: next, first: r.end}}}
}

func checkSameRing(t *testing.T, got, want *ring) {
	t.Helper()
	if got.len() != want.len() {
		t.Fatalf("got %d identities, want %d", got.len(), want.len())
	}
	for n := range uint64(want.len()) {
		if *got.entry(got.first + n) != *want.entry(want.first + n) {
			t.Fatalf("identity %d of %d differs", n, want.len())
		}
	}
}

// newestOf reads the newest snapshot as a start does.
func newestOf(t *testing.T, dir string) (*snapshots, *snapshot) {
	t.Helper()
	s := newSnapshots(dir, "", 0)
	names, err := s.list()
	if err != nil || len(names) == 0 {
		t.Fatalf("got the files %v, %v", names, err)
	}
	snap, err := s.read(names[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	s.blocks = snap.blocks
	s.lineage = snap.ring.lineage
	return &s, snap
}

// TestBlocks takes many snapshots of a window that forgets, with a restart now and then. Each holds the window, and
// all together write and keep little more than the identities that came.
func TestBlocks(t *testing.T) {
	t.Parallel()
	const rounds, each, window = 600, 100, 20_000
	dir := t.TempDir()
	files := newSnapshots(dir, "", 0)
	s := &files
	rng := rand.New(rand.NewPCG(1, 1))
	r := &ring{lineage: rng.Uint64()}
	var written int64
	for i := range rounds {
		for range rng.IntN(2 * each) {
			r.append(randomIdentity(rng))
		}
		r.forget(max(r.first, r.end-min(r.end, window)))
		if err := s.write(snapshotOf(r, uint64(i+1))); err != nil {
			t.Fatal(err)
		}
		written += s.saved.bytes
		if i%50 == 49 {
			var snap *snapshot
			s, snap = newestOf(t, dir)
			checkSameRing(t, &snap.ring, r)
			r = &snap.ring
		}
	}
	// Without blocks it would be 16 bytes for each of 20,000 identities in each of 600 rounds.
	if most := int64(16 * rounds * each * 10); written > most {
		t.Errorf("%d bytes were written, want at most %d", written, most)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 30 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	var kept int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		kept += info.Size()
	}
	if kept > 4*16*window {
		t.Errorf("%d bytes are kept", kept)
	}
}

// TestDamagedBlocks damages and removes the newest block. The newest snapshot is not used, and the one before is
// where it does not need that block.
func TestDamagedBlocks(t *testing.T) {
	t.Parallel()
	for _, remove := range []bool{false, true} {
		dir := t.TempDir()
		s := newSnapshots(dir, "", 0)
		r := &ring{lineage: 1}
		rng := rand.New(rand.NewPCG(2, 2))
		for i, n := range []int{1000, 10} {
			for range n {
				r.append(randomIdentity(rng))
			}
			if err := s.write(snapshotOf(r, uint64(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, s.blockName(2))
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if remove {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.read(s.name(2), nil); !errors.Is(err, errSnapshot) {
			t.Errorf("the newest snapshot: got %v", err)
		}
		at, found, err := SnapshotOffset(dir, "", 0)
		if err != nil || !found || at.Seq != 1 {
			t.Errorf("got the offset %v, %v, %v", at, found, err)
		}
	}
}

// TestBlocksOfAnotherRing gives a partition another window, as after a seal. Nothing of the old blocks is used.
func TestBlocksOfAnotherRing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSnapshots(dir, "", 0)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range uint64(2) {
		r := &ring{lineage: i + 1}
		for range 100 {
			r.append(randomIdentity(rng))
		}
		if err := s.write(snapshotOf(r, i+1)); err != nil {
			t.Fatal(err)
		}
		_, snap := newestOf(t, dir)
		checkSameRing(t, &snap.ring, r)
	}
}

// TestBlockFormatIsFrozen compares a snapshot that refers to a block, and the block, with golden files.
func TestBlockFormatIsFrozen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := goldenPartition(t, dir)
	p.cfg.Installation = "GOLDEN"
	if err := p.snapshots.write(p.capture()); err != nil {
		t.Fatal(err)
	}
	for name, golden := range map[string]string{p.snapshots.name(p.snapshots.newest): "partition_4.snap",
		p.snapshots.blockName(p.snapshots.newest): "partition_3.ids"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", golden)
		if *updateGolden {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s, %v: a new format needs a new magic", name, path, err)
		}
	}
}

// TestSnapshotOfVersion2 reads a folder whose snapshot holds its identities itself. The next snapshot has them in a
// block.
func TestSnapshotOfVersion2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	golden, err := os.ReadFile(filepath.Join("testdata", "partition.snap"))
	if err != nil {
		t.Fatal(err)
	}
	files := newSnapshots(dir, "", 0)
	if err := os.WriteFile(filepath.Join(dir, files.name(1)), golden, 0o600); err != nil {
		t.Fatal(err)
	}
	s, old := newestOf(t, dir)
	if old.ring.len() == 0 || old.blocks != nil {
		t.Fatalf("got %d identities in %d blocks", old.ring.len(), len(old.blocks))
	}
	if err := s.write(snapshotOf(&old.ring, old.next+1)); err != nil {
		t.Fatal(err)
	}
	_, next := newestOf(t, dir)
	checkSameRing(t, &next.ring, &old.ring)
	if len(next.blocks) != 1 {
		t.Errorf("got %d blocks", len(next.blocks))
	}
}

// TestSnapshotNamesItsInstallation reads a folder whose newest snapshot is of another installation. It is not used, and
// one from before snapshots named their installation is.
func TestSnapshotNamesItsInstallation(t *testing.T) {
	t.Parallel()
	for installation, want := range map[string]uint64{"GOLDEN": 2, "ANOTHER": 1, "": 2} {
		dir := t.TempDir()
		files := newSnapshots(dir, installation, 0)
		for number, golden := range map[uint64]string{1: "partition_3.snap", 2: "partition_4.snap"} {
			raw, err := os.ReadFile(filepath.Join("testdata", golden))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, files.name(number)), raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		raw, err := os.ReadFile(filepath.Join("testdata", "partition_3.ids")) // The block has not changed since.
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, files.blockName(1)), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		for number := uint64(1); number <= 2; number++ {
			_, err := files.read(files.name(number), nil)
			if used := err == nil; used != (number <= want) || err != nil && !errors.Is(err, errSnapshot) {
				t.Errorf("installation %q, snapshot %d: used %v, %v", installation, number, used, err)
			}
		}
	}
}
