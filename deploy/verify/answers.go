package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount/deploy/client/acklog"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
)

// Bounds of what is judged at once.
const (
	maxAnswers = 100_000
	maxTallies = 256 // different queries
	maxPasses  = 8   // over all events
)

// recorded is an answer that the client recorded.
type recorded struct {
	line int
	acklog.Line
}

// claim is a decoded recorded answer: the rows that it states for the events below S.
type claim struct {
	line    int
	query   *query.Query
	scan    *query.Scan
	through []uint64 // S
	tally   *tally
	stated  answer
}

// answer is the body of an answer.
type answer struct {
	Rows     []map[string]any
	Accuracy struct {
		Publication  uint64
		Cut, Through []uint64
		Truncated    bool
		Overflow     struct { // zero where the answer has null
			query.Overflow
			Live *uint64 // nil in the answers of older programs
		}
		Range       *query.Range
		FilledFrom  *time.Time         `json:"filled_from"`
		Unconverted uint64             `json:"unconverted_events"`
		OutOfRange  []query.OutOfRange `json:"out_of_range"`
	}
}

// checkAnswers computes the recorded answers again (V7), from nothing but the events of [0, S) in the order
// of their positions. Answers whose S are ordered share one pass over the events.
func (a *acks) checkAnswers(ctx context.Context) error {
	e := a.e
	r := a.r
	s := a.s
	switch {
	case len(a.answers) == 0:
		r.skip(V7, "the acknowledgement log has no answers")
		return nil
	case a.incomplete():
		return errors.New("records or objects are missing or damaged (V1, V2)")
	}
	claims := openClaims(e, r, s, a.answers)
	slices.SortStableFunc(claims, func(a, b *claim) int { return cmp.Compare(total(a.through), total(b.through)) })
	all := int64(len(claims))
	copies, err := findCopies(ctx, e, r, s, columnsOf(claims), a.atOnce)
	if err != nil {
		return err
	}
	for pass := 0; pass < maxPasses && len(claims) > 0; pass++ {
		left, err := judgePass(ctx, e, r, s, claims, copies, all)
		if err != nil {
			return err
		}
		claims = left
	}
	if len(claims) > 0 {
		r.fail(V7, "%d answers were not judged: their S are in too many different orders; split the answers into "+
			"several files", len(claims))
	}
	return nil
}

func total(s []uint64) (n uint64) {
	for _, x := range s {
		n += x
	}
	return n
}

// openClaims decodes the answers and leaves out those that cannot be judged.
func openClaims(e *Evidence, r *recorder, s *snapshot, answers []recorded) []*claim {
	var out []*claim
	tallies := map[string]*tally{}
	removed := 0
	for _, a := range answers {
		c, err := openClaim(e, s, a)
		if err != nil {
			r.fail(V7, "line %d: %v", a.line, err)
			continue
		}
		if p := c.partitionBeyond(s); p >= 0 {
			r.find(V7, Place{Partition: &p, Line: c.line, From: c.through[p]},
				"restore the log: it once held what was answered",
				"the answer covers the partition up to %d, and the partition ends at %d", c.through[p],
				max(s.logs[p].next, s.chains[p].head.Seq))
			continue
		}
		if _, retired := s.horizons[c.scan.View.Event]; retired {
			removed++
			continue
		}
		key := a.Tenant + "|" + string(a.Query)
		if c.query.Mode == query.Live {
			key += fmt.Sprint(c.stated.Accuracy.Cut)
		}
		if covered := c.stated.Accuracy.Range; covered != nil {
			key += fmt.Sprint(covered.From.UnixMicro(), covered.To.UnixMicro())
		}
		filled := c.stated.Accuracy.FilledFrom
		if filled != nil {
			key += fmt.Sprint(filled.UnixMicro(), c.stated.Accuracy.Cut)
		}
		if tallies[key] == nil {
			if len(tallies) == maxTallies {
				r.fail(V7,
					"line %d and later lines were not judged: the log has more than %d different queries; split it",
					a.line, maxTallies)
				return out
			}
			tallies[key] = &tally{scan: c.scan, bucket: e.Catalog.Bucket,
				overflows: s.mayOverflow(c.scan.View.Name)}
			if c.query.Mode == query.Live {
				tallies[key].base = c.stated.Accuracy.Cut
			}
			if filled != nil {
				tallies[key].filled = &filledRange{from: filled.UnixMicro(), cut: c.stated.Accuracy.Cut}
			}
		}
		c.tally = tallies[key]
		out = append(out, c)
	}
	if removed > 0 {
		r.addNote("%d answers were not computed again, because retention removes events of their types", removed)
	}
	return out
}

func openClaim(e *Evidence, s *snapshot, a recorded) (*claim, error) {
	q, err := query.Parse(a.Query, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("the query: %w", err)
	}
	c := &claim{line: a.line, query: q}
	d := json.NewDecoder(bytes.NewReader(a.Response))
	d.UseNumber()
	if err := d.Decode(&c.stated); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	if covered := c.stated.Accuracy.Range; covered != nil { // Words such as today, and missing ends, meant this.
		q.From = covered.From
		q.To = covered.To
	}
	if c.scan, err = q.Resolve(e.Catalog, a.Tenant); err != nil {
		return nil, fmt.Errorf("the query: %w", err)
	}
	c.through = c.stated.Accuracy.Through
	if q.Mode == query.Exact {
		c.through = c.stated.Accuracy.Cut
	}
	if len(c.through) != len(s.chains) || len(c.stated.Accuracy.Cut) != len(s.chains) {
		return nil, errors.New("the answer's accuracy does not name an offset for every partition")
	}
	return c, nil
}

// partitionBeyond returns a partition of which the answer covers more than is stored, or -1.
func (c *claim) partitionBeyond(s *snapshot) int {
	for p, x := range c.through {
		if x > max(s.logs[p].next, s.chains[p].head.Seq) {
			return p
		}
	}
	return -1
}

// judgePass replays all events once and judges the claims in their order. It returns the claims whose
// S was already passed in some partition when their turn came.
func judgePass(ctx context.Context, e *Evidence, r *recorder, s *snapshot, claims []*claim, copies *copies,
	all int64) (left []*claim, err error) {
	p := newReplay(e, s, columnsOf(claims), copies)
	defer p.close()
	var tallies []*tally
	for _, c := range claims {
		if !slices.Contains(tallies, c.tally) {
			c.tally.groups = map[string]*group{}
			c.tally.over = query.Overflow{}
			c.tally.unconverted = 0
			c.tally.held = nil
			tallies = append(tallies, c.tally)
		}
	}
	at := make([]uint64, len(s.chains))
	for _, c := range claims {
		if isPassed(c.through, at) {
			left = append(left, c)
			continue
		}
		for part, to := range c.through {
			err := p.advance(ctx, part, to, func(e *event) {
				for _, t := range tallies {
					t.add(e)
				}
			})
			if err != nil {
				return nil, err
			}
			at[part] = to
		}
		r.examine(V7, 1, "answers")
		r.progress("V7 answers", r.report.Check(V7).Examined, all)
		rule, known := s.overflowRuleOf(c.stated.Accuracy.Publication)
		if !known && len(c.tally.held) > 0 {
			r.addNote("line %d was not judged: values overflowed, and publication %d, which decided which, is "+
				"forgotten", c.line, c.stated.Accuracy.Publication)
			continue
		}
		c.judge(r, c.tally.withHeld(c.stated.Accuracy.Cut, rule))
	}
	return left, nil
}

// isPassed reports whether s is below at in some partition.
func isPassed(s, at []uint64) bool {
	for p := range s {
		if s[p] < at[p] {
			return true
		}
	}
	return false
}

// columnsOf returns the columns that the claims' views read, by event type.
func columnsOf(claims []*claim) map[string][]string {
	out := map[string][]string{}
	for _, c := range claims {
		columns := out[c.scan.View.Event]
		for _, name := range append(c.scan.View.Columns(), eventbatch.ColOverflow) {
			if !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
		out[c.scan.View.Event] = columns
	}
	return out
}
