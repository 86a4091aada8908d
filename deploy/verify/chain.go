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

// chain is a partition's commit chain as far as it can be made out: behind a record
// that is missing or damaged it goes on with the next one there is.
type chain struct {
	partition  int
	head       position.Offset
	tip        string                     // digest of the last record; empty before the first and behind a fault
	boundaries map[position.Offset]string // every place a record ends, and its digest
	last       *link
	incomplete bool            // records are missing or cannot be read, and with them events
	unreadable position.Offset // of the last record that could not be read
	segments   []*record.Commit
	holes      []*record.Commit
	events     int64
}

// link is a commit record under its key.
type link struct {
	key    string
	digest string
	*record.Commit
}

var commitKey = regexp.MustCompile(`^land/e(\d{6,})/p(\d{3,})/(\d{20})\.json$`)

const (
	commitPrefix = "land/"
	parallelGets = 16
	windowGets   = 256 // bodies held at once
)

// place is a key's place in the order of its chain.
type place struct {
	key       string
	partition int
	at        position.Offset
}

// readChains walks every commit record there is (V1).
func readChains(ctx context.Context, e *Evidence, r *recorder) ([]*chain, error) {
	keys, err := e.Records.List(ctx, commitPrefix)
	if err != nil {
		return nil, err
	}
	byPartition := make([][]place, e.Partitions)
	for _, key := range keys {
		at, ok := parseCommitKey(key)
		if !ok || at.partition >= e.Partitions {
			r.find(V1, Place{File: key}, "find out who wrote it, and remove it",
				"the key is that of no commit record of the %d partitions", e.Partitions)
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
				c.take(r, at, bodies[i])
			}
			done += int64(len(window))
			r.progress("V1 commit chains", done, int64(len(keys)))
		}
		if len(places) == 0 && len(keys) > 0 {
			r.find(V1, placeOf(p), "restore the object store, or start again with an empty one",
				"the partition has no commit records while others do")
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

// body is a record's bytes, or that they are spoilt where they lie.
type body struct {
	raw    []byte
	spoilt error
}

func getAll(ctx context.Context, e *Evidence, places []place) ([]body, error) {
	bodies := make([]body, len(places))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelGets)
	for i, at := range places {
		g.Go(func() error {
			raw, err := e.Records.Get(ctx, at.key)
			if errors.Is(err, record.ErrCorrupt) {
				bodies[i].spoilt = err
				return nil
			}
			bodies[i].raw = raw
			return err
		})
	}
	return bodies, g.Wait()
}

// read decodes a record that may be spoilt.
func read[R any](b body, decode func([]byte) (*R, error)) (*R, error) {
	if b.spoilt != nil {
		return nil, b.spoilt
	}
	return decode(b.raw)
}

const restore = "restore the record from a copy of the object store (a bucket's older version); until then nothing " +
	"behind it can be trusted to be complete"

// take judges the next record in the order of keys and goes on behind it.
func (c *chain) take(r *recorder, at place, b body) {
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
		r.find(V1, where, restore, "the record says partition %d, epoch %d, start %d, which is not its key",
			rec.Partition, rec.Epoch, rec.Start)
		c.incomplete = true
		return
	case at.at.Epoch < c.head.Epoch || at.at.Seq < c.head.Seq:
		r.find(V1, where, "find out who wrote it; if its events are those of the chain's own records remove it, "+
			"otherwise keep both and stop landing",
			"the record overlaps the chain, which had come to epoch %d, sequence %d with %s", c.head.Epoch, c.head.Seq,
			c.last.name())
		return
	case at.at != c.head && c.unreadable == c.head: // Said already.
	case at.at != c.head:
		c.incomplete = true
		gap := placeOf(c.partition).AtOffsets(c.head.Epoch, c.head.Seq,
			at.at.Seq).InFile(record.CommitKey(c.head.Epoch, c.partition, c.head.Seq))
		r.find(V1, gap, restore, "the record is missing: the chain stops here and goes on at epoch %d, sequence %d",
			at.at.Epoch, at.at.Seq)
	case c.last == nil && rec.Kind != record.Seal:
		r.find(V1, where, restore, "a chain begins with a seal, and this is a %s", rec.Kind)
	case rec.Previous != c.tip:
		r.find(V1, where, "compare both records with a copy of the object store: one of them was replaced",
			"the record names %.12s… as the digest of the record before it, %s, whose digest is %.12s…", rec.Previous,
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

// append moves the head behind a record.
func (c *chain) append(l *link) {
	c.last = l
	c.tip = l.digest
	c.head = position.Offset{Epoch: l.Epoch, Seq: l.End}
	if l.Kind == record.Seal {
		c.head.Epoch = l.Next.Epoch
	}
	c.boundaries[c.head] = l.digest
	if l.Kind == record.Hole {
		c.holes = append(c.holes, l.Commit)
	} else if l.Events > 0 {
		c.segments = append(c.segments, l.Commit)
		c.events += l.Events
	}
}

// eventsBelow is how many events have landed below H.
func (s *snapshot) eventsBelow(p int, h position.Offset) (n int64) {
	for _, c := range s.segmentsBelow(p, h) {
		n += c.Events
	}
	return n
}

// describe is a segment in words.
func describe(c *record.Commit) string {
	return fmt.Sprintf("segment [%d, %d) of partition %d", c.Start, c.End, c.Partition)
}
