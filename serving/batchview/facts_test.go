package batchview

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recount/schemas/catalog"
	"recount/schemas/distinct"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/oracle"
)

// delayed returns 30 events in 3 buckets, one a minute in the first 10 minutes of each, all with values.
func delayed() (events []oracle.Event) {
	for i := range 30 {
		at := start.Add(time.Duration(i/10) * time.Hour).Add(time.Duration(i%10) * time.Minute)
		events = append(events, oracle.Event{Time: at.UnixMicro(),
			Fields: map[string]any{"origin": fmt.Sprint("A", i%3), "delay": int64(i % 4), "miles": 0.25}})
	}
	return events
}

// TestFactsSpareColumns reads tables of which more and more is unknown. A statement must leave out what it need not
// read, and no answer may depend on what it leaves out.
func TestFactsSpareColumns(t *testing.T) {
	t.Parallel()
	of := func(change func(*oracle.Event)) []oracle.Event {
		events := delayed()
		change(&events[15])
		return events
	}
	second := start.Add(time.Hour).UnixMicro()
	all := []string{"_ver", "_bucket", "tenant", "`late__n`", "~overflow"}
	for name, c := range map[string]struct {
		events []oracle.Event
		// pinned is the version of each bucket. Rows of others are written too.
		pinned []uint64
		others map[uint64][]oracle.Event
		tenant string
		reads  []string
	}{
		"only pinned rows": {events: delayed()},
		"a missing value": {events: of(func(e *oracle.Event) { delete(e.Fields, "delay") }),
			reads: []string{"`late__n`"}},
		"overflow": {events: of(func(e *oracle.Event) { e.Fields["origin"] = catalog.Overflow }),
			reads: []string{"~overflow"}},
		"another tenant": {events: delayed(), tenant: "other", reads: []string{"tenant"}},
		"an earlier bucket": {events: delayed(), others: map[uint64][]oracle.Event{4: earlier()},
			reads: []string{"_bucket"}},
		"an earlier version": {events: delayed(), others: map[uint64][]oracle.Event{3: delayed()},
			reads: []string{"_ver"}},
		"two versions, and earlier ones": {events: delayed(), pinned: []uint64{4, 6, 4},
			others: map[uint64][]oracle.Event{3: delayed(), 5: delayed()[:10]}, reads: []string{"_ver"}},
		"a version that is pinned of another bucket": {events: delayed(), pinned: []uint64{4, 6, 6},
			others: map[uint64][]oracle.Event{4: delayed()[10:20]}, reads: []string{"_bucket", "_ver"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			var pinned []record.BucketVersion
			if c.pinned == nil {
				c.pinned = []uint64{4, 4, 4}
			}
			for i, ver := range c.pinned {
				pinned = append(pinned, s.prepare("default", ver, c.events[10*i:10*i+10])...)
			}
			for ver, events := range c.others {
				s.prepare("default", ver, events)
			}
			if c.tenant != "" {
				s.prepare(c.tenant, c.pinned[1], c.events[10:12])
				pinned[1].Rows += 2
			}
			s.flush()
			q := &query.Query{View: "flights", From: start, To: start.Add(3 * time.Hour), GroupBy: []string{"origin"},
				Granularity: "1m", Where: []query.Condition{{Dimension: "origin", Op: query.Ne, Value: "A1"}},
				Measures: []string{"n", "late", "far"}}
			scan := s.resolve(q)
			state := s.state(pinned)
			if i := slices.IndexFunc(pinned, func(b record.BucketVersion) bool { return b.Bucket == second }); i != 1 {
				t.Fatalf("the second bucket is number %d", i)
			}
			views := s.views()
			got, err := views.Scan(t.Context(), state, scan, Options{})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, byKey(oracle.Part(scan, c.events, oracle.Batch)), byKey(got))
			p := pinsOf(state.Views["flights"], scan.Windows.From, scan.Windows.To, s.catalog.Bucket)
			f := views.proof(p.table(scan)).newest.Load().facts(p.versions, p.width)
			sql := build(scan, p, Options{}, f, nearSums, nil).sql
			for _, column := range all {
				got := strings.Contains(sql, column)
				if got != slices.Contains(c.reads, column) {
					t.Errorf("%s is in the statement: %v\n%s", column, got, sql)
				}
			}
			memory := int64(1 << 30)
			unaided, err := views.run(t.Context(), scan, build(scan, p, Options{}, facts{}, nearSums, nil), &memory)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, byKey(unaided.part), byKey(got))
			if unaided.part.Overflow != got.Overflow {
				t.Errorf("overflow: got %+v, want %+v", got.Overflow, unaided.part.Overflow)
			}
		})
	}
}

// TestNewColumnsMoveNoFacts adds a column before all others, to a table whose parts are known. The parts stay as they
// are, so what is known of them must not be taken for what the new columns say.
func TestNewColumnsMoveNoFacts(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	events := delayed()
	delete(events[15].Fields, "delay")
	state := s.state(s.write(events))
	views := s.views()
	scan := s.resolve(&query.Query{View: "flights", From: start, To: start.Add(3 * time.Hour),
		Measures: []string{"late", "mean"}})
	want := byKey(oracle.Part(scan, events, oracle.Batch))
	compare(t, want, s.mustScan(views, state, scan))
	s.exec("ALTER TABLE " + s.table + " ADD COLUMN zzz UInt64 DEFAULT _events FIRST")
	s.exec(fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (9 AS _ver) FROM %[1]s", s.table))
	part, err := views.Scan(t.Context(), state, scan, Options{})
	if errors.Is(err, query.ErrCollected) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	compare(t, want, byKey(part))
}

// earlier returns the events of the first bucket, a day before.
func earlier() []oracle.Event {
	events := delayed()[:10]
	for i := range events {
		events[i].Time -= (24 * time.Hour).Microseconds()
	}
	return events
}

func compare(t *testing.T, want, got map[string][]query.Acc) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(distinct.Sketch{}, quantile.Sketch{}),
		cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
