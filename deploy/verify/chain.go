package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"recount/schemas/position"
	"recount/schemas/record"
)

// chain is a partition's commit chain as far as it can be read. After a record that is missing or
// damaged, it continues with the next record that exists.
type chain struct {
	partition  int
	head       position.Offset
	tip        string                     // digest of the last record; empty before the first record
	boundaries map[position.Offset]string // digest of each record, by the offset at which it ends
	last       *link
	incomplete bool            // records, and so events, are missing or cannot be read
	unreadable position.Offset // where the last record that could not be read starts
	segments   []*record.Commit
	holes      []*record.Commit
	seals      []*link
	events     int64
}

// link is a commit record with its key and digest.
type link struct {
	key    string
	digest string
	*record.Commit
}

var commitKey = regexp.MustCompile(`^land/e(\d{6,})/p(\d{3,})/(\d{20})\.json$`)

const (
	commitPrefix = "land/"
	parallelGets = 16
	windowGets   = 256 // bodies held at the same time
)

// place is the place of a commit record's key in its chain.
type place struct {
	key       string
	partition int
	at        position.Offset
}

// readChains reads every commit record that exists (V1).
func readChains(ctx context.Context, e *Evidence, r *recorder) ([]*chain, error) {
	keys, err := e.Records.List(ctx, commitPrefix)
	if err != nil {
		return nil, err
	}
	byPartition := make([][]place, e.Partitions)
	for _, key := range keys {
		at, ok := parseCommitKey(key)
		if !ok || at.partition >= e.Partitions {
			r.find(V1, Place{File: key}, "find out which program wrote it, and remove it",
				"the key is not that of a commit record of the %d partitions", e.Partitions)
			continue
		}
		byPartition[at.partition] = append(byPartition[at.partition], at)
	}
	chains := make([]*chain, e.Partitions)
	done := int64(0)
	for p, places := range byPartition {
		slices.SortFunc(places, func(a, b place) int {
			return cmp.Or(cmp.Compare(a.at.Epoch, b.at.Epoch), cmp.Compare(a.at.Seq, b.at.Seq))
		})
		start := position.Offset{Seq: position.First}
		c := &chain{partition: p, head: start, boundaries: map[position.Offset]string{start: ""}}
		chains[p] = c
		for window := range slices.Chunk(places, windowGets) {
			bodies, err := getAll(ctx, e, window)
			if err != nil {
				return nil, err
			}
			for i, at := range window {
				c.check(r, at, bodies[i])
			}
			done += int64(len(window))
			r.progress("V1 commit chains", done, int64(len(keys)))
		}
		if len(places) == 0 && len(keys) > 0 {
			r.find(V1, placeOf(p), "restore the object store from a copy",
				"the partition has no commit records, but other partitions have")
		}
		if err := c.checkCheckpoints(ctx, e, r); err != nil {
			return nil, err
		}
	}
	r.examine(V1, int64(len(keys)), "commit records")
	return chains, nil
}

func parseCommitKey(key string) (place, bool) {
	m := commitKey.FindStringSubmatch(key)
	if m == nil {
		return place{}, false
	}
	epoch, err1 := strconv.ParseUint(m[1], 10, 32)
	partition, err2 := strconv.Atoi(m[2])
	start, err3 := strconv.ParseUint(m[3], 10, 64)
	ok := err1 == nil && err2 == nil && err3 == nil && record.CommitKey(uint32(epoch), partition, start) == key
	return place{key: key, partition: partition, at: position.Offset{Epoch: uint32(epoch), Seq: start}}, ok
}

// body is the bytes of a stored record, or the error that says how they are corrupt.
type body struct {
	raw     []byte
	corrupt error
}

func getAll(ctx context.Context, e *Evidence, places []place) ([]body, error) {
	bodies := make([]body, len(places))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelGets)
	for i, at := range places {
		g.Go(func() error {
			raw, err := e.Records.Get(ctx, at.key)
			if errors.Is(err, record.ErrCorrupt) {
				bodies[i].corrupt = err
				return nil
			}
			bodies[i].raw = raw
			return err
		})
	}
	return bodies, g.Wait()
}

// read decodes a record that may be corrupt.
func read[R any](b body, decode func([]byte) (*R, error)) (*R, error) {
	if b.corrupt != nil {
		return nil, b.corrupt
	}
	return decode(b.raw)
}

const restore = "restore the record from a copy of the object store (a bucket's older version); until then nothing " +
	"after it can be trusted to be complete"

// check judges the next record in the order of keys and appends it to the chain if it belongs there.
func (c *chain) check(r *recorder, at place, b body) {
	where := placeOf(c.partition).InFile(at.key)
	rec, err := read(b, record.DecodeCommit)
	if err != nil {
		r.find(V1, where.AtOffsets(at.at.Epoch, at.at.Seq, 0), restore, "the record cannot be read: %v", err)
		c.unreadable = at.at
		c.incomplete = true
		return
	}
	where = where.AtOffsets(at.at.Epoch, at.at.Seq, rec.End)
	l := &link{key: at.key, digest: record.Digest(b.raw), Commit: rec}
	switch {
	case rec.Partition != c.partition || rec.Epoch != at.at.Epoch || rec.Start != at.at.Seq:
		r.find(V1, where, restore, "the record says partition %d, epoch %d, start %d, and its key says otherwise",
			rec.Partition, rec.Epoch, rec.Start)
		c.incomplete = true
		return
	case at.at.Epoch < c.head.Epoch || at.at.Seq < c.head.Seq:
		r.find(V1, where, "find out which program wrote it; if the chain's other records have its events too, remove "+
			"it, otherwise keep both and stop landing",
			"the record overlaps the chain, which %[3]s had brought to epoch %[1]d, sequence %[2]d", c.head.Epoch,
			c.head.Seq,
			c.last.name())
		return
	case at.at != c.head && c.unreadable == c.head: // It was reported when the record could not be read.
	case at.at != c.head:
		c.incomplete = true
		gap := placeOf(c.partition).AtOffsets(c.head.Epoch, c.head.Seq,
			at.at.Seq).InFile(record.CommitKey(c.head.Epoch, c.partition, c.head.Seq))
		r.find(V1, gap, restore, "the record is missing: the chain stops here and continues at epoch %d, sequence %d",
			at.at.Epoch, at.at.Seq)
	case c.last == nil && rec.Kind != record.Seal:
		r.find(V1, where, restore, "a chain begins with a seal, and this is a %s", rec.Kind)
	case rec.Previous != c.tip:
		r.find(V1, where, "compare both records with a copy of the object store: one of them was replaced",
			"the record names the digest %.12s… for the record before it, but %s has the digest %.12s…", rec.Previous,
			c.last.name(), c.tip)
	}
	c.append(l)
}

func (l *link) name() string {
	if l == nil {
		return "none"
	}
	return l.key
}

// append adds a record and moves the head to its end.
func (c *chain) append(l *link) {
	c.last = l
	c.tip = l.digest
	c.head = l.EndOffset()
	if l.Kind == record.Seal {
		c.seals = append(c.seals, l)
	}
	c.boundaries[c.head] = l.digest
	if l.Kind == record.Hole {
		c.holes = append(c.holes, l.Commit)
	} else if l.Events > 0 {
		c.segments = append(c.segments, l.Commit)
		c.events += l.Events
	}
}

// eventsBelow returns how many events of a partition have landed below H.
func (s *snapshot) eventsBelow(p int, h position.Offset) (n int64) {
	for _, c := range s.segmentsBelow(p, h) {
		n += c.Events
	}
	return n
}

// describe returns a segment in words.
func describe(c *record.Commit) string {
	return fmt.Sprintf("segment [%d, %d) of partition %d", c.Start, c.End, c.Partition)
}
