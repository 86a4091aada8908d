package reader

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/window"
	"recount/serving/batchview"
	"recount/serving/changes"
	"recount/serving/merge"
	"recount/serving/oracle"
)

// past is the events of two tenants, two publications of them, and a question about what changed.
type past struct {
	events   []landedEvent
	sides    [2]pastSide
	question changes.Question
	tenant   string
}

// landedEvent is an event as it landed.
type landedEvent struct {
	oracle.Event
	tenant string
	isCopy bool
}

// pastSide is a publication: how many events had landed, how the view was defined, and down to where it was filled.
type pastSide struct {
	n       uint64
	landed  int
	narrow  bool // the definition is narrowCatalog
	fill    int64
	created time.Time
	// anew has the buckets that were computed again, although nothing was new in them.
	anew map[int64]bool
}

// narrowCatalog is the catalog with another definition of flights: a dimension and some measures are missing, and
// events without a delay, or with a negative one, do not count.
func narrowCatalog() *catalog.Catalog {
	c := oracle.Catalog()
	v := c.Views["flights"]
	v.Dimensions = []string{"origin", "delay"}
	v.Measures = slices.DeleteFunc(v.Measures,
		func(m catalog.Measure) bool { return m.Name == "mean" || m.Name == "first" })
	v.Where = []catalog.Filter{{Field: "delay", Op: catalog.Ge, Values: []any{int64(0)}}}
	return c
}

func (s *pastSide) catalog() *catalog.Catalog {
	if s.narrow {
		return narrowCatalog()
	}
	return oracle.Catalog()
}

func (s *pastSide) counts(e oracle.Event) bool {
	delay, has := e.Fields["delay"].(int64)
	return (!s.narrow || has && delay >= 0) && e.Time >= s.fill
}

func bucketOf(e oracle.Event) int64 { return window.Floor(e.Time, time.Hour) }

// drawPast draws lists of at most 40 events.
func drawPast(t *rapid.T, lists int) *past {
	p := &past{tenant: "default"}
	var events []oracle.Event
	for range lists {
		events = append(events, oracle.Draw(t, start, 300, 40)...)
	}
	for _, e := range events {
		l := landedEvent{Event: e, tenant: rapid.SampledFrom([]string{"default", "other"}).Draw(t, "tenant")}
		if len(p.events) > 0 && rapid.IntRange(0, 5).Draw(t, "copy") == 0 {
			l = rapid.SampledFrom(p.events).Draw(t, "of")
			l.isCopy = true
		}
		p.events = append(p.events, l)
	}
	hours := rapid.IntRange(0, 6)
	hour := func(label string) time.Time { return start.Add(time.Duration(hours.Draw(t, label)) * time.Hour) }
	for i := range p.sides {
		s := &p.sides[i]
		s.n = []uint64{3, 5}[i]
		s.narrow = rapid.IntRange(0, 3).Draw(t, "narrow") == 0
		s.created = hour("created").Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "tens")) * 10 * time.Minute)
		s.landed = len(p.events)
		if rapid.IntRange(0, 4).Draw(t, "fills") == 0 {
			s.fill = hour("fill").UnixMicro()
		}
		s.anew = map[int64]bool{hour("anew").UnixMicro(): true}
	}
	p.sides[0].landed = rapid.IntRange(0, len(p.events)).Draw(t, "landed")
	return p
}

func (p *past) drawQuestion(t *rapid.T) {
	p.question = changes.Question{Query: query.Query{View: "flights"}, FromPublication: 3}
	q := &p.question
	q.ToPublication = rapid.SampledFrom([]uint64{0, 5}).Draw(t, "to")
	q.Limit = rapid.SampledFrom([]int{1, 5, 1000, 1000}).Draw(t, "limit")
	q.TimeZone = rapid.SampledFrom([]string{"", "America/Chicago", "Asia/Kolkata"}).Draw(t, "zone")
	q.Granularity = rapid.SampledFrom([]string{"", "", "all", "15m", "1h", "1d", "1mo"}).Draw(t, "granularity")
	minutes := rapid.IntRange(0, 150)
	if rapid.Bool().Draw(t, "from?") {
		q.From = start.Add(time.Duration(minutes.Draw(t, "from")) * time.Minute)
	}
	if rapid.Bool().Draw(t, "to?") {
		q.To = start.Add(time.Duration(151+minutes.Draw(t, "end")) * time.Minute)
	}
	switch rapid.IntRange(0, 3).Draw(t, "groups") {
	case 0:
		q.GroupBy = []string{"origin"}
	case 1:
		q.Ungrouped = true
	}
	q.Measures = rapid.SampledFrom([][]string{nil, {"tails", "far", "late"}, {"far"}, {"usual"}, {"short"},
		{"lateness.p99.9", "length"}}).
		Draw(t, "measures")
	if !p.sides[0].narrow && !p.sides[1].narrow {
		q.Where = oracle.DrawWhere(t, 1)
	}
}

// landed returns the events that a side has of a bucket, and those that count for its view.
func (p *past) landed(i int, bucket int64) (landed, counted []landedEvent) {
	for _, e := range p.events[:p.sides[i].landed] {
		if bucketOf(e.Event) != bucket {
			continue
		}
		landed = append(landed, e)
		if !e.isCopy && p.sides[i].counts(e.Event) {
			counted = append(counted, e)
		}
	}
	return landed, counted
}

func (p *past) buckets() []int64 {
	all := map[int64]bool{}
	for _, e := range p.events {
		all[bucketOf(e.Event)] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// state returns the publication of a side. Its rows are one for each event that counts.
func (p *past) state(i int) *record.State {
	side := &p.sides[i]
	c := side.catalog()
	view := record.ViewState{Digest: c.Digest(c.Views["flights"]), Reading: record.CurrentReading}
	if side.fill > 0 {
		view.Fill = &record.Fill{From: side.fill, Buckets: 1, Rows: 1}
	}
	s := &record.State{N: side.n, Types: map[string][]record.BucketCount{},
		Publication: &record.Publication{N: side.n, Created: side.created, Copies: record.CopiesByPosition}}
	for _, b := range p.buckets() {
		landed, counted := p.landed(i, b)
		count := record.BucketCount{Bucket: b, Rows: int64(len(landed))}
		for _, e := range landed {
			if e.isCopy {
				count.Duplicates++
			}
		}
		if count.Rows > 0 && b >= side.fill {
			s.Types["flight"] = append(s.Types["flight"], count)
		}
		version := record.BucketVersion{Bucket: b, Ver: uint64(i + 1), Rows: int64(len(counted)),
			Checksum: hashOf(counted)}
		if i == 1 && !side.anew[b] && version.Checksum == p.checksum(0, b) {
			version.Ver = 1
		}
		view.Buckets = append(view.Buckets, version)
	}
	s.Views = map[string]record.ViewState{"flights": view}
	return s
}

func (p *past) checksum(i int, bucket int64) uint64 {
	_, counted := p.landed(i, bucket)
	return hashOf(counted)
}

func hashOf(events []landedEvent) uint64 {
	var texts []string
	for _, e := range events {
		texts = append(texts, fmt.Sprintf("%s %d %q", e.tenant, e.Time, fmt.Sprint(e.Fields)))
	}
	slices.Sort(texts)
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", texts)
	return h.Sum64()
}

// Newest and StateAt implement Publications.
func (p *past) Newest(context.Context) (*record.State, error) { return p.state(1), nil }

func (p *past) StateAt(_ context.Context, n uint64) (*record.State, error) {
	for i := range p.sides {
		if p.sides[i].n == n {
			return p.state(i), nil
		}
	}
	return nil, query.ErrCollected
}

// pastBatch is the batch layer of a past. It notes the buckets that it was asked for, but for totals.
type pastBatch struct {
	*past
	read map[int64]bool
}

func (b *pastBatch) Scan(_ context.Context, s *record.State, scan *query.Scan, _ batchview.Options) (*query.Part,
	error) {
	i := 0
	if s.N == b.sides[1].n {
		i = 1
	}
	var events []oracle.Event
	for _, v := range s.Views["flights"].Buckets {
		if len(s.Views["flights"].Buckets) < len(b.buckets()) {
			b.read[v.Bucket] = true
		}
		_, counted := b.landed(i, v.Bucket)
		for _, e := range counted {
			if e.tenant == scan.Tenant {
				events = append(events, e.Event)
			}
		}
	}
	return oracle.Part(scan, events, oracle.Batch), nil
}

// definition implements Config.Definition.
func definition(_ context.Context, _, digest string) (*catalog.Catalog, error) {
	for _, c := range []*catalog.Catalog{oracle.Catalog(), narrowCatalog()} {
		if c.Digest(c.Views["flights"]) == digest {
			return c, nil
		}
	}
	return nil, query.ErrNoDefinition
}

func (p *past) reader(t interface{ Fatal(args ...any) }, publications Publications, batch BatchViews) *Reader {
	r, err := New(Config{Catalog: oracle.Catalog(), Publications: publications, Batch: batch, Definition: definition,
		Memory: query.NewBudget(1<<30, time.Second, false)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestChanges compares changes with the difference of two naive answers.
func TestChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPast(t, 1)
		batch := &pastBatch{p, map[int64]bool{}}
		r := p.reader(t, p, batch)
		for range 4 {
			p.drawQuestion(t)
			r.comparedRows = rapid.Int64Range(1, 20).Draw(t, "at once")
			clear(batch.read)
			a, err := r.Changes(t.Context(), &p.question, p.tenant)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.check(a); err != nil {
				t.Fatal(err)
			}
			if p.question.Granularity == "" {
				p.checkRead(t, batch.read)
			}
			if a.Close(); held(r) != 0 {
				t.Fatalf("%d bytes are held", held(r))
			}
		}
	})
}

// checkRead: only buckets with other rows are read.
func (p *past) checkRead(t *rapid.T, read map[int64]bool) {
	for b := range read {
		if p.isSame(b) {
			t.Fatalf("the bucket %s is read, and is the same", time.UnixMicro(b).UTC())
		}
	}
}

// isSame reports whether a bucket has the same rows in both publications.
func (p *past) isSame(bucket int64) bool {
	sameTable := p.sides[0].narrow == p.sides[1].narrow || p.checksum(0, bucket) == hashOf(nil)
	return sameTable && p.checksum(0, bucket) == p.checksum(1, bucket)
}

// naiveCell is a changed cell. A measure has two values.
type naiveCell struct {
	key      string
	window   int
	old, new string
	events   [2]uint64
}

// naive returns the changed cells of the question by key, and the events of both sides in its range.
func (p *past) naive() (cells map[string]naiveCell, all [2][]oracle.Event, w window.Windows) {
	cells = map[string]naiveCell{}
	q := p.bounded()
	var rows [2]map[string]*oracle.Row
	var scans [2]*query.Scan
	for i := range p.sides {
		asked := q
		scan, err := asked.Resolve(p.sides[i].catalog(), p.tenant)
		if err != nil {
			panic(err)
		}
		scans[i] = scan
		w = scan.Windows
		for _, b := range p.buckets() {
			_, counted := p.landed(i, b)
			for _, e := range counted {
				if e.tenant == p.tenant {
					all[i] = append(all[i], e.Event)
				}
			}
		}
		rows[i] = map[string]*oracle.Row{}
		for _, r := range oracle.Rows(scan, all[i]) {
			rows[i][fmt.Sprintf("%d %#v", r.Window, r.Keys)] = r
		}
	}
	for i := range rows {
		for key, r := range rows[i] {
			c := naiveCell{key: key, window: r.Window, old: naiveValues(scans[0], rows[0][key]),
				new: naiveValues(scans[1], rows[1][key])}
			for j := range rows {
				if row := rows[j][key]; row != nil {
					c.events[j] = uint64(len(row.Events))
				}
			}
			beyond := rows[0][key] != nil && rows[1][key] != nil && c.events[0] != c.events[1] &&
				slices.ContainsFunc(scans[0].Measures, func(m query.Measure) bool {
					return rows[0][key].OutOfRange(m) && rows[1][key].OutOfRange(findMeasure(scans[1], m.Name))
				})
			if c.old != c.new || beyond {
				cells[key] = c
			}
		}
	}
	return cells, all, w
}

func findMeasure(scan *query.Scan, name string) query.Measure {
	return scan.Measures[slices.IndexFunc(scan.Measures, func(m query.Measure) bool { return m.Name == name })]
}

// bounded is the question as a query with all that is optional.
func (p *past) bounded() query.Query {
	q := p.question.Query
	isNarrow := p.sides[0].narrow || p.sides[1].narrow
	if len(q.GroupBy) == 0 && !p.question.Ungrouped {
		q.GroupBy = oracle.Catalog().Views["flights"].Dimensions
		if isNarrow {
			q.GroupBy = narrowCatalog().Views["flights"].Dimensions
		}
	}
	if len(q.Measures) == 0 && isNarrow {
		for _, m := range narrowCatalog().Views["flights"].Measures {
			q.Measures = append(q.Measures, m.Name)
		}
	}
	if q.Granularity == "" {
		q.Granularity = "1m"
	}
	day := 24 * time.Hour
	if q.From.IsZero() {
		q.From = start.Add(-40 * day)
	}
	if q.To.IsZero() {
		q.To = start.Add(40 * day)
	}
	return q
}

// naiveValues writes the values of a row, and with them whether they do not fit their types.
func naiveValues(scan *query.Scan, r *oracle.Row) string {
	if r == nil {
		return "none"
	}
	var texts []string
	for _, m := range scan.Measures {
		texts = append(texts, fmt.Sprint(m.Name, " ", r.Measure(m), r.OutOfRange(m)))
	}
	return strings.Join(texts, ", ")
}

// check compares an answer with the naive one.
func (p *past) check(a *changes.Answer) error {
	cells, all, w := p.naive()
	listed := min(len(cells), p.question.Limit)
	if a.Rows() != listed || a.Truncated != (listed < len(cells)) {
		return fmt.Errorf("%d changes are listed, truncated %t; want %d of %d", a.Rows(), a.Truncated, listed,
			len(cells))
	}
	if err := p.checkSums(a, cells, w); err != nil {
		return err
	}
	for i, total := range []*changes.Total{&a.Old, &a.New} {
		if err := p.checkTotal(total, i, all[i]); err != nil {
			return err
		}
	}
	last := 0
	for _, part := range a.Listed {
		for i := range part.Listed {
			key := keyOf(part.Comparison, w, i)
			c, found := cells[key]
			if !found {
				return fmt.Errorf("%s did not change", key)
			}
			delete(cells, key)
			for j, measures := range [][]merge.Measure{part.Old, part.New} {
				if err := checkShown([]string{c.old, c.new}[j], measures, i); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
			if err := p.checkCauses(part.Causes[i], w, c); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if c.window < last {
				return fmt.Errorf("%s comes after the window %d", key, last)
			}
			last = c.window
		}
	}
	return nil
}

// keyOf returns the key that naive has for a listed change.
func keyOf(c *merge.Comparison, w window.Windows, i int) string {
	at := 0
	if c.Windowed {
		at = w.Index(max(c.Times[i], w.From))
	}
	var keys []any
	for d := range c.Dims {
		switch dim := &c.Dims[d]; {
		case dim.IsNull(i):
			keys = append(keys, nil)
		case dim.Type == catalog.String:
			keys = append(keys, dim.Strings[i])
		case dim.Type == catalog.Bool:
			keys = append(keys, dim.Ints[i] == 1)
		default:
			keys = append(keys, dim.Ints[i])
		}
	}
	return fmt.Sprintf("%d %#v", at, keys)
}

// checkShown compares the values of a listed change with the naive ones, without whether they fit.
func checkShown(want string, measures []merge.Measure, i int) error {
	for j := range measures {
		m := &measures[j]
		got := shown(m, i)
		if want == "none" && got != nil {
			return fmt.Errorf("%s is %v, and there is no row", m.Name, got)
		}
		beyond := got == nil && strings.Contains(want, fmt.Sprint(m.Name, " ", nil, true))
		if want != "none" && !strings.Contains(want+", ", fmt.Sprint(m.Name, " ", got, beyond, ", ")) {
			return fmt.Errorf("%s is %v; want one of %s", m.Name, got, want)
		}
	}
	return nil
}

func shown(m *merge.Measure, i int) any {
	switch {
	case m.Value.Null[i]:
		return nil
	case m.Type == catalog.Float64:
		return m.Value.Floats[i]
	}
	return m.Value.Ints[i]
}

// checkSums compares the sums and the days.
func (p *past) checkSums(a *changes.Answer, cells map[string]naiveCell, w window.Windows) error {
	var sum changes.Tally
	days := map[string]changes.Tally{}
	for _, c := range cells {
		add := func(t *changes.Tally) {
			switch {
			case c.old == "none":
				t.Added++
			case c.new == "none":
				t.Removed++
			default:
				t.Changed++
			}
			t.Old += c.events[0]
			t.New += c.events[1]
		}
		add(&sum)
		from, _ := w.Span(c.window)
		if p.question.Granularity == "all" && p.question.From.IsZero() {
			from = window.MinTime
		}
		date := time.UnixMicro(from).In(a.Location).Format(time.DateOnly)
		if p.question.Granularity == "1mo" { // The test's range begins in the middle of a month.
			date = a.Days[0].Date
		}
		day := days[date]
		add(&day)
		days[date] = day
	}
	got := a.Sum
	if got.Causes = 0; got != sum {
		return fmt.Errorf("the sum is %+v, want %+v", got, sum)
	}
	for _, d := range a.Days {
		if d.Causes = 0; d.Tally != days[d.Date] {
			return fmt.Errorf("%s has %+v, want %+v", d.Date, d.Tally, days[d.Date])
		}
	}
	if len(a.Days) != len(days) {
		return fmt.Errorf("%d days, want %d", len(a.Days), len(days))
	}
	return nil
}

// checkTotal compares a total with the naive one.
func (p *past) checkTotal(total *changes.Total, i int, events []oracle.Event) error {
	q := p.bounded()
	q.GroupBy = nil
	q.Granularity = "all"
	scan, err := q.Resolve(p.sides[i].catalog(), p.tenant)
	if err != nil {
		return err
	}
	want := naiveValues(scan, append(oracle.Rows(scan, events), &oracle.Row{})[0])
	if total.Publication != p.sides[i].n || total.Answer.Rows() != 1 {
		return fmt.Errorf("the total of publication %d has %d rows", total.Publication, total.Answer.Rows())
	}
	if err := checkShown(want, total.Answer.Measures, 0); err != nil {
		return fmt.Errorf("total of publication %d: %w", total.Publication, err)
	}
	return nil
}

// checkCauses compares the causes of a change with the events and definitions of the past.
func (p *past) checkCauses(got changes.Causes, w window.Windows, c naiveCell) error {
	var want changes.Causes
	from, to := w.Span(c.window)
	if p.sides[0].narrow != p.sides[1].narrow {
		want |= changes.Definition
	}
	for _, b := range p.buckets() {
		if end := b + time.Hour.Microseconds(); p.isSame(b) || b >= to || end <= from {
			continue
		}
		isFilled := [2]bool{b >= p.sides[0].fill, b >= p.sides[1].fill}
		if isFilled[0] != isFilled[1] {
			want |= changes.Fill
			continue
		}
		for _, e := range p.events[p.sides[0].landed:] {
			switch end := min(b+time.Hour.Microseconds(), to); {
			case bucketOf(e.Event) != b || e.isCopy || !isFilled[0]:
			case end <= p.sides[0].created.UnixMicro():
				want |= changes.LateEvents
			default:
				want |= changes.NewEvents
			}
		}
	}
	if got != want {
		return fmt.Errorf("causes %v, want %v", got.List(), want.List())
	}
	return nil
}

// TestChangesWithoutSharedMeasures: a view of which all measures were replaced cannot be compared.
func TestChangesWithoutSharedMeasures(t *testing.T) {
	t.Parallel()
	p := &past{sides: [2]pastSide{{n: 3, narrow: true}, {n: 5}}}
	r := p.reader(t, p, &pastBatch{p, nil})
	r.Definition = func(context.Context, string, string) (*catalog.Catalog, error) {
		c := oracle.Catalog()
		c.Views["flights"].Measures = []catalog.Measure{{Name: "other", Kind: catalog.Count}}
		return c, nil
	}
	q := &changes.Question{Query: query.Query{View: "flights"}, FromPublication: 3}
	_, err := r.Changes(t.Context(), q, "default")
	if wrong := (*query.Error)(nil); !errors.As(err, &wrong) || wrong.Field != "measures" {
		t.Errorf("got %v", err)
	}
}

// TestChangesOfKind: a quantile is not compared with a measure of another kind, although both are of one type.
func TestChangesOfKind(t *testing.T) {
	t.Parallel()
	maximum := oracle.Catalog()
	maximum.Views["flights"].Measures = []catalog.Measure{{Name: "n", Kind: catalog.Count},
		{Name: "lateness", Kind: catalog.Max, Field: "delay"}}
	for _, sides := range [][2]pastSide{{{n: 3, narrow: true}, {n: 5}}, {{n: 3}, {n: 5, narrow: true}}} {
		p := &past{sides: sides}
		r := p.reader(t, p, &pastBatch{p, nil})
		r.Definition = func(context.Context, string, string) (*catalog.Catalog, error) { return maximum, nil }
		q := &changes.Question{Query: query.Query{View: "flights", Measures: []string{"lateness"}}, FromPublication: 3}
		_, err := r.Changes(t.Context(), q, "default")
		wrong := (*query.Error)(nil)
		if !errors.As(err, &wrong) || wrong.Field != "measures" || !strings.Contains(err.Error(), "quantile") {
			t.Errorf("got %v", err)
		}
	}
	measures, _ := shared(&compared{catalog: oracle.Catalog()}, &compared{catalog: maximum}, "flights")
	if !slices.Equal(measures, []string{"n"}) {
		t.Errorf("compares %v", measures)
	}
}

// TestChangesRefuses: what cannot be compared is refused with the part of the question that is wrong.
func TestChangesRefuses(t *testing.T) {
	t.Parallel()
	sides := [2]pastSide{{n: 3, created: start}, {n: 5, created: start, narrow: true}}
	for _, c := range []struct {
		name     string
		question changes.Question
		field    string
		is       error
	}{
		{"no publication", changes.Question{}, "from_publication", nil},
		{"the same", changes.Question{FromPublication: 3, ToPublication: 3}, "to_publication", nil},
		{"backwards", changes.Question{FromPublication: 5, ToPublication: 3}, "from_publication", nil},
		{"collected", changes.Question{FromPublication: 2}, "from_publication", query.ErrCollected},
		{"a measure of one", changes.Question{FromPublication: 3, Query: query.Query{Measures: []string{"mean"}}},
			"measures", nil},
		{"a dimension of one", changes.Question{FromPublication: 3, Query: query.Query{GroupBy: []string{"cancelled"}}},
			"group_by", nil},
		{"a fine granularity", changes.Question{FromPublication: 3, Query: query.Query{Granularity: "1s"}},
			"granularity", nil},
	} {
		p := &past{sides: sides}
		if c.question.View == "" {
			c.question.View = "flights"
		}
		_, err := p.reader(t, p, &pastBatch{p, nil}).Changes(t.Context(), &c.question, "default")
		var wrong *query.Error
		var side *PublicationError
		switch {
		case c.is != nil && (!errors.Is(err, c.is) || !errors.As(err, &side) || side.Field != c.field):
			t.Errorf("%s: %v", c.name, err)
		case c.is == nil && (!errors.As(err, &wrong) || wrong.Field != c.field):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
