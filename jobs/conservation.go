package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Books are the stored facts that conservation (A1) is computed from.
type Books struct {
	Catalog    *catalog.Catalog
	Partitions []PartitionBooks
	States     []*record.State // kept publications, ascending
	// Counted is how many events the rows of the newest publication count, by view. Views
	// with a filter count fewer than there are, so they are not in it.
	Counted map[string]int64
}

// PartitionBooks are the facts about one partition.
type PartitionBooks struct {
	Landed []*record.Commit // segments with events, in order
	Holes  []*record.Commit // given up by an operator (C7)
	Head   position.Offset
	// First and Next are the log's bounds; equal where it has nothing or cannot be read.
	First, Next uint64
	// Headers calls each with the header of every message of [from, to), which the log has.
	Headers func(ctx context.Context, from, to uint64, each func(seq uint64, h eventbatch.Header)) error
	// Acknowledged is how many events have been promised: those the log had when ingest
	// began to count, and those it has answered for since. Voided is how many of them a seal
	// has given up because the log had lost them (L5). Nil where nobody counts.
	Acknowledged *int64
	Voided       int64
}

// Audit is what conservation came to: at each of the four tiers the number of events, and
// the residue of what went in at one tier and did not come out at the next. It is 0.
type Audit struct {
	Partitions   []PartitionAudit   `json:"partitions"`
	Publications []PublicationAudit `json:"publications"`
	Residue      int64              `json:"residue"` // the sum of all of them
}

// PartitionAudit is the part of the audit that partitions can be told apart in. More events
// may be logged than acknowledged: those of an append whose answer was lost.
type PartitionAudit struct {
	Partition    int          `json:"partition"`
	Acknowledged *int64       `json:"acknowledged"`
	Logged       int64        `json:"logged"` // landed, or in the log behind what has landed
	Voided       int64        `json:"voided"` // acknowledged, then lost by the log and given up by a seal
	Lost         int64        `json:"lost"`   // acknowledged and neither logged nor voided
	Ranges       []RangeAudit `json:"ranges"`
}

// RangeAudit is a range of a partition's offsets [From, To) at the tiers.
type RangeAudit struct {
	From        uint64 `json:"from"`
	To          uint64 `json:"to"`
	Publication uint64 `json:"publication,omitempty"` // the first kept one that covers the range; none yet
	Logged      *int64 `json:"logged"`                // null where the log is trimmed
	Landed      int64  `json:"landed"`
	Published   int64  `json:"published"`
	Rejected    int64  `json:"rejected"` // of the landed ones, dead letters
	Voided      int64  `json:"voided"`   // in a hole, as far as the log still has them
	Waiting     int64  `json:"waiting"`  // not landed yet
	Residue     int64  `json:"residue"`
}

// PublicationAudit is everything below one publication's H, in all partitions.
type PublicationAudit struct {
	Publication uint64 `json:"publication"`
	Landed      int64  `json:"landed"`    // by the commit records
	Published   int64  `json:"published"` // by the publication
	Counted     int64  `json:"counted"`
	Duplicates  int64  `json:"duplicates"`
	Rejected    int64  `json:"rejected"`  // dead letters
	Uncounted   int64  `json:"uncounted"` // of types without a view
	Residue     int64  `json:"residue"`
}

// Conserve adds up the books.
func (b *Books) Conserve(ctx context.Context) (*Audit, error) {
	a := &Audit{Partitions: []PartitionAudit{}, Publications: []PublicationAudit{}}
	for p := range b.Partitions {
		x, err := b.partition(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, err)
		}
		a.Partitions = append(a.Partitions, x)
		a.Residue += x.Lost
		for _, r := range x.Ranges {
			a.Residue += r.Residue
		}
	}
	for i, s := range b.States {
		x := b.publication(s, i == len(b.States)-1)
		a.Publications = append(a.Publications, x)
		a.Residue += x.Residue
	}
	return a, nil
}

// boundaries are where ranges end: the H of each kept publication, the chain's head, the
// end of the log.
func (b *Books) boundaries(p int) (ends []uint64, publications []uint64) {
	last := position.First
	add := func(end, publication uint64) {
		if end > last {
			ends, publications = append(ends, end), append(publications, publication)
			last = end
		}
	}
	for _, s := range b.States {
		add(s.H[p].Seq, s.N)
	}
	add(b.Partitions[p].Head.Seq, 0)
	add(b.Partitions[p].Next, 0)
	return ends, publications
}

func (b *Books) partition(ctx context.Context, p int) (PartitionAudit, error) {
	books := b.Partitions[p]
	a := PartitionAudit{Partition: p, Acknowledged: books.Acknowledged, Voided: books.Voided, Ranges: []RangeAudit{}}
	ends, publications := b.boundaries(p)
	from := position.First
	for i, end := range ends {
		a.Ranges = append(a.Ranges, RangeAudit{From: from, To: end, Publication: publications[i]})
		from = end
	}
	for _, c := range books.Landed {
		i, ok := find(a.Ranges, c.Start)
		if !ok {
			continue
		}
		r := &a.Ranges[i]
		a.Logged += c.Events
		r.Landed += c.Events
		if r.Publication > 0 {
			r.Published += c.Events
		}
		for _, o := range c.Objects {
			if o.Type == deadletter.Type {
				r.Rejected += o.Rows
			}
		}
	}
	if err := books.count(ctx, &a); err != nil {
		return a, err
	}
	if books.Acknowledged != nil {
		known := books.Voided + a.Logged
		for _, r := range a.Ranges {
			known += r.Voided
		}
		a.Lost = max(0, *books.Acknowledged-known)
	}
	return a, nil
}

func find(ranges []RangeAudit, seq uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(ranges, seq, func(r RangeAudit, seq uint64) int {
		if r.To <= seq {
			return -1
		}
		return 1
	})
	return i, i < len(ranges)
}

// count adds what the log has, range by range, and compares it with what has landed.
func (b *PartitionBooks) count(ctx context.Context, a *PartitionAudit) error {
	logged := make([]int64, len(a.Ranges))
	if b.First < b.Next {
		err := b.Headers(ctx, b.First, b.Next, func(seq uint64, h eventbatch.Header) {
			i, ok := find(a.Ranges, seq)
			if !ok {
				return
			}
			logged[i] += int64(h.Events)
			switch {
			case seq >= b.Head.Seq:
				a.Ranges[i].Waiting += int64(h.Events)
				a.Logged += int64(h.Events)
			case slices.ContainsFunc(b.Holes, func(c *record.Commit) bool { return c.Start <= seq && seq < c.End }):
				a.Ranges[i].Voided += int64(h.Events)
			}
		})
		if err != nil {
			return err
		}
	}
	for i := range a.Ranges {
		r := &a.Ranges[i]
		if b.First >= b.Next || r.From < b.First || r.To > b.Next {
			continue // The log has not all of it, so it cannot testify.
		}
		r.Logged = &logged[i]
		r.Residue = distance(logged[i], r.Landed+r.Waiting+r.Voided)
	}
	return nil
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// publication adds up everything below a publication's H. The rows of the newest one are
// asked what they count; for older ones the publication's word must do.
func (b *Books) publication(s *record.State, newest bool) PublicationAudit {
	a := PublicationAudit{Publication: s.N, Published: s.Publication.Events}
	landed := map[string]int64{}
	for p, h := range s.H {
		for _, c := range b.Partitions[p].Landed {
			if c.End > h.Seq {
				break
			}
			a.Landed += c.Events
			for _, o := range c.Objects {
				landed[o.Type] += o.Rows
			}
		}
	}
	a.Residue = distance(a.Landed, a.Published)
	for _, name := range slices.Sorted(maps.Keys(landed)) {
		var rows, duplicates int64
		for _, c := range s.Types[name] {
			rows, duplicates = rows+c.Rows, duplicates+c.Duplicates
		}
		switch {
		case name == deadletter.Type:
			a.Rejected += landed[name]
		case !b.counted(s, name):
			a.Uncounted += landed[name]
		default:
			a.Duplicates += duplicates
			a.Counted += rows - duplicates
			a.Residue += distance(landed[name], rows)
			if newest {
				a.Residue += b.rowsOff(name, rows-duplicates)
			}
		}
	}
	return a
}

// counted reports whether the publication has a view over the event type.
func (b *Books) counted(s *record.State, name string) bool {
	return slices.ContainsFunc(b.Catalog.ViewsOf(name), func(v *catalog.View) bool { _, ok := s.Views[v.Name]; return ok })
}

// rowsOff is how many events the views' rows count too many or too few.
func (b *Books) rowsOff(event string, want int64) (off int64) {
	for _, v := range b.Catalog.ViewsOf(event) {
		if got, asked := b.Counted[v.Name]; asked {
			off += distance(got, want)
		}
	}
	return off
}
