package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"recount/deploy/acklog"
	"recount/schemas/catalog"
	"recount/schemas/query"
)

// Bounds of what is judged at once.
const (
	maxAnswers = 100_000
	maxTallies = 256 // different questions
	maxPasses  = 8   // over all events
)

// recorded is an answer the client wrote down.
type recorded struct {
	line int
	acklog.Line
}

// claim is a recorded answer taken apart: the rows it states for the events below S.
type claim struct {
	line    int
	query   *query.Query
	scan    *query.Scan
	through []uint64 // S
	tally   *tally
	said    answer
}

// answer is the body of an answer.
type answer struct {
	Rows     []map[string]any
	Accuracy struct {
		Publication  uint64
		Cut, Through []uint64
		Truncated    bool
	}
}

// checkAnswers works recorded answers out again (V7): from the events of [0, S) alone, in
// the order of their positions. Answers whose S are ordered share one pass over the events.
func (a *acks) checkAnswers(ctx context.Context) error {
	e, r, s := a.e, a.r, a.s
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
	for pass := 0; pass < maxPasses && len(claims) > 0; pass++ {
		left, err := judgePass(ctx, e, r, s, claims, all)
		if err != nil {
			return err
		}
		claims = left
	}
	if len(claims) > 0 {
		r.fail(V7, "%d answers were not judged: their S are in too many different orders; judge them in files of their own", len(claims))
	}
	return nil
}

func total(s []uint64) (n uint64) {
	for _, x := range s {
		n += x
	}
	return n
}

// openClaims takes the answers apart and leaves out those that cannot be judged.
func openClaims(e *Evidence, r *recorder, s *snapshot, answers []recorded) []*claim {
	var out []*claim
	tallies := map[string]*tally{}
	for _, a := range answers {
		c, err := openClaim(e, s, a)
		if err != nil {
			r.fail(V7, "line %d: %v", a.line, err)
			continue
		}
		if p := c.beyond(s); p >= 0 {
			r.find(V7, Place{Partition: &p, Line: c.line, From: c.through[p]}, "restore the log: what was answered has been in it",
				"the answer covers the partition up to %d, and there is nothing behind %d", c.through[p], max(s.logs[p].next, s.chains[p].head.Seq))
			continue
		}
		key := a.Tenant + "|" + string(a.Query)
		if c.query.Mode == query.Live {
			key += fmt.Sprint(c.said.Accuracy.Cut)
		}
		if tallies[key] == nil {
			if len(tallies) == maxTallies {
				r.fail(V7, "line %d and others: more than %d different questions", a.line, maxTallies)
				return out
			}
			tallies[key] = &tally{scan: c.scan}
			if c.query.Mode == query.Live {
				tallies[key].base = c.said.Accuracy.Cut
			}
		}
		c.tally = tallies[key]
		out = append(out, c)
	}
	return out
}

func openClaim(e *Evidence, s *snapshot, a recorded) (*claim, error) {
	q, err := query.Parse(a.Query)
	if err != nil {
		return nil, fmt.Errorf("the query: %w", err)
	}
	c := &claim{line: a.line, query: q}
	if c.scan, err = q.Resolve(e.Catalog, a.Tenant); err != nil {
		return nil, fmt.Errorf("the query: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(a.Response))
	d.UseNumber()
	if err := d.Decode(&c.said); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	c.through = c.said.Accuracy.Through
	if q.Mode == query.Exact {
		c.through = c.said.Accuracy.Cut
	}
	if len(c.through) != len(s.chains) || len(c.said.Accuracy.Cut) != len(s.chains) {
		return nil, errors.New("the answer's accuracy does not name an offset for every partition")
	}
	return c, nil
}

// beyond returns a partition that the answer covers further than there are events, or -1.
func (c *claim) beyond(s *snapshot) int {
	for p, x := range c.through {
		if x > max(s.logs[p].next, s.chains[p].head.Seq) {
			return p
		}
	}
	return -1
}

// judgePass replays all events once and judges every claim whose S lies ahead in all partitions
// when its turn comes. It returns the others.
func judgePass(ctx context.Context, e *Evidence, r *recorder, s *snapshot, claims []*claim, all int64) (left []*claim, err error) {
	p := newReplay(e, s, columnsOf(claims))
	defer p.close()
	var tallies []*tally
	for _, c := range claims {
		if !slices.Contains(tallies, c.tally) {
			c.tally.groups = map[string]*group{}
			tallies = append(tallies, c.tally)
		}
	}
	at := make([]uint64, len(s.chains))
	for _, c := range claims {
		if behind(c.through, at) {
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
		r.progress("V7 answers", r.report.Of(V7).Examined, all)
		if p.unclear[c.scan.View.Event] {
			r.note("answers of view %s were not judged: copies with times the server assigned lie on both sides of a bucket's edge, and which of them counts depends on when batch saw them (I3)", c.scan.View.Name)
			continue
		}
		c.judge(r)
	}
	return left, nil
}

func behind(s, at []uint64) bool {
	for p := range s {
		if s[p] < at[p] {
			return true
		}
	}
	return false
}

// columnsOf are the columns the claims' views read, by event type.
func columnsOf(claims []*claim) map[string][]string {
	out := map[string][]string{}
	for _, c := range claims {
		of := out[c.scan.View.Event]
		for _, name := range c.scan.View.Columns() {
			if !slices.Contains(of, name) {
				of = append(of, name)
			}
		}
		out[c.scan.View.Event] = of
	}
	return out
}

// judge compares the rows of an answer with the tally's groups.
func (c *claim) judge(r *recorder) {
	where := Place{Line: c.line, View: c.scan.View.Name, Publication: c.said.Accuracy.Publication}
	const do = "keep the line and the data: the answer was not that of the events it says it covers"
	matched := map[string]bool{}
	for _, row := range c.said.Rows {
		key, err := c.key(row)
		if err != nil {
			r.find(V7, where, do, "row %v: %v", row, err)
			return
		}
		g := c.tally.groups[key]
		if g == nil && c.query.Fill && c.empty(row) {
			continue
		}
		if g == nil || matched[key] {
			r.find(V7, where, do, "the answer has the row %v, and the events of [0, S) have no such group, or not twice", row)
			return
		}
		matched[key] = true
		for i := range c.scan.Measures {
			if err := c.compare(row, g, i); err != nil {
				r.find(V7, where, do, "row %v: %s %v", row, c.scan.Measures[i].Name, err)
				return
			}
		}
	}
	if missing := len(c.tally.groups) - len(matched); missing > 0 && !c.said.Accuracy.Truncated {
		r.find(V7, where, do, "the answer has %d rows, and the events of [0, S) give %d", len(c.said.Rows), len(c.tally.groups))
	}
}

// empty reports whether a row says that nothing happened, as fill adds them.
func (c *claim) empty(row map[string]any) bool {
	for _, m := range c.scan.Measures {
		if v := row[m.Name]; v != nil && v != json.Number("0") {
			return false
		}
	}
	return true
}

// key is the group a row is about.
func (c *claim) key(row map[string]any) (string, error) {
	start := c.scan.Windows.Starts[0]
	if stamp, ok := row["time"].(string); ok && c.query.Granularity != "" && c.query.Granularity != "all" {
		t, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return "", err
		}
		start = t.UnixMicro()
	}
	dims := make([]any, len(c.scan.GroupBy))
	for i, d := range c.scan.GroupBy {
		dims[i] = row[d.Name]
		if n, ok := dims[i].(json.Number); ok {
			v, err := n.Int64()
			if err != nil {
				return "", err
			}
			dims[i] = v
		}
	}
	return groupKey(start, dims), nil
}

// compare says how a stated measure differs from the group's.
func (c *claim) compare(row map[string]any, g *group, i int) error {
	m, got := c.scan.Measures[i], row[c.scan.Measures[i].Name]
	x := &g.measures[i]
	switch m.Kind {
	case catalog.Count:
		return same(got, fmt.Sprint(g.events))
	case catalog.Distinct:
		return c.compareDistinct(row, m.Name, int64(len(x.distinct)))
	}
	if x.n == 0 {
		if got != nil {
			return fmt.Errorf("is %v, and no event has a value", got)
		}
		return nil
	}
	sum, isFloat := x.float, m.Type == catalog.Float64
	if !isFloat {
		sum, _ = new(big.Float).SetInt(&x.sum).Float64()
	}
	switch {
	case m.Kind == catalog.Avg:
		return near(got, sum/float64(x.n))
	case m.Kind == catalog.Sum && isFloat:
		return near(got, sum)
	case m.Kind == catalog.Sum:
		return same(got, x.sum.String())
	case m.Kind == catalog.Min:
		return sameValue(got, x.min, m.Type)
	}
	return sameValue(got, x.max, m.Type)
}

func same(got any, want string) error {
	if fmt.Sprint(got) != want {
		return fmt.Errorf("is %v, the events give %s", got, want)
	}
	return nil
}

// near allows for the order of a float sum, which the protocol leaves open in answers.
func near(got any, want float64) error {
	n, ok := got.(json.Number)
	f, err := n.Float64()
	if !ok || err != nil || math.Abs(f-want) > 1e-9*max(1, math.Abs(want)) {
		return fmt.Errorf("is %v, the events give %g", got, want)
	}
	return nil
}

func sameValue(got, want any, t catalog.FieldType) error {
	switch {
	case t == catalog.Float64:
		return near(got, want.(float64))
	case t == catalog.Timestamp:
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got))
		if err != nil || at.UnixMicro() != want.(int64) {
			return fmt.Errorf("is %v, the events give %s", got, time.UnixMicro(want.(int64)).UTC().Format(time.RFC3339Nano))
		}
		return nil
	}
	return same(got, fmt.Sprint(want))
}

// compareDistinct holds an answer to the bounds it states, and to the number where it states none.
func (c *claim) compareDistinct(row map[string]any, name string, want int64) error {
	bounds, _ := row["bounds"].(map[string]any)
	pair, stated := bounds[name].([]any)
	if !stated || len(pair) != 2 {
		return same(row[name], fmt.Sprint(want))
	}
	low, err1 := integer(pair[0])
	high, err2 := integer(pair[1])
	value, err3 := integer(row[name])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if want < low || want > high || value < low || value > high {
		return fmt.Errorf("is %d within [%d, %d], the events give %d", value, low, high, want)
	}
	return nil
}

func integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number", v)
	}
	return n.Int64()
}
