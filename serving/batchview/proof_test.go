package batchview

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/distinct"
	"recount/schemas/quantile"
	"recount/schemas/query"
	"recount/schemas/record"
)

// mustScan returns the groups of a scan that must succeed.
func (s *store) mustScan(v *Views, state *record.State, scan *query.Scan) map[string][]query.Acc {
	s.t.Helper()
	part, err := v.Scan(s.t.Context(), state, scan, Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return byKey(part)
}

// TestDamageIsNoticed changes what ClickHouse has of a publication, in the ways of a collection, of a replica that
// differs, and of a person with SQL. Each time the next ordinary query must fail, and never return other
// numbers (Q3, Q5). A process that has answered before must notice it, and so must one that has just started.
func TestDamageIsNoticed(t *testing.T) {
	t.Parallel()
	const hour = " WHERE _bucket = '2024-11-03 04:00:00' AND "
	const wait = " SETTINGS mutations_sync = 2"
	const insert = "INSERT INTO %[1]s SELECT * FROM %[1]s"
	const alter = "ALTER TABLE %[1]s "
	for name, damage := range map[string][]string{
		"20 of 60 deleted and 20 others doubled": {
			alter + "DELETE" + hour + "toMinute(time) < 20" + wait,
			insert + hour + "toMinute(time) >= 40"},
		"lightweight delete, others doubled": {
			insert + hour + "toMinute(time) >= 40",
			"DELETE FROM %[1]s" + hour + "toMinute(time) < 20"},
		"one value edited":      {alter + "UPDATE n = 2" + hour + "toMinute(time) = 7" + wait},
		"one value set to null": {alter + "UPDATE origin = NULL" + hour + "toMinute(time) = 7" + wait},
		"values exchanged": {alter + "UPDATE n = if(toMinute(time) = 7, 2, 0)" + hour + "toMinute(time) IN (7, 8)" +
			wait},
		"row deleted":   {alter + "DELETE" + hour + "toMinute(time) = 59" + wait},
		"rows doubled":  {insert + hour + "1"},
		"all gone":      {"TRUNCATE TABLE %[1]s"},
		"table dropped": {"DROP TABLE %[1]s"},
		"row moved to another bucket": {
			"INSERT INTO %[1]s SELECT * REPLACE (_bucket - INTERVAL 1 HOUR AS _bucket) FROM %[1]s" + hour +
				"toMinute(time) = 1", alter + "DELETE" + hour + "toMinute(time) = 1" + wait},
		"a merge and an edit": {"INSERT INTO %[1]s SELECT * REPLACE (9 AS _ver) FROM %[1]s",
			"OPTIMIZE TABLE %[1]s FINAL", alter + "UPDATE n = 2" + hour + "toMinute(time) = 7 AND _ver = 4" + wait},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			state := s.state(s.write(events48()))
			old := s.views()
			s.mustScan(old, state, s.resolve(wholeRange()))
			for _, sql := range damage {
				s.exec(fmt.Sprintf(sql, s.table))
			}
			s.mustRefuse(old, state)
			s.mustRefuse(s.views(), state)
		})
	}
}

// mustRefuse checks that the bucket of 4:00 is refused, whatever of it a query reads.
func (s *store) mustRefuse(v *Views, state *record.State) {
	s.t.Helper()
	narrow := wholeRange()
	narrow.From = time.Date(2024, 11, 3, 4, 30, 0, 0, time.UTC)
	narrow.To = narrow.From.Add(time.Minute)
	filtered := wholeRange()
	filtered.Where = []query.Condition{{Dimension: "origin", Op: query.Eq, Value: "A3"}}
	for name, q := range map[string]*query.Query{"whole": wholeRange(), "narrow": narrow, "filtered": filtered} {
		if _, err := v.Scan(s.t.Context(), state, s.resolve(q), Options{}); !errors.Is(err, query.ErrCollected) {
			s.t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestGuardErrorNamesTheBucket pins rows that are not there, in the ways of a wrong publication.
func TestGuardErrorNamesTheBucket(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	state := s.state(s.write(events48()))
	pinned := state.Views["flights"].Buckets
	views := s.views()
	for name, change := range map[string]func(*record.BucketVersion){
		"rows":     func(b *record.BucketVersion) { b.Rows++ },
		"checksum": func(b *record.BucketVersion) { b.Checksum++ },
		"version":  func(b *record.BucketVersion) { b.Ver++ },
	} {
		wrong := slices.Clone(pinned)
		change(&wrong[40])
		state.Views["flights"] = record.ViewState{Digest: state.Views["flights"].Digest, Buckets: wrong}
		_, err := views.Scan(t.Context(), state, s.resolve(wholeRange()), Options{})
		var guard *GuardError
		if !errors.As(err, &guard) || guard.Want != wrong[40] ||
			!strings.Contains(err.Error(), "2024-11-04T12:00:00Z") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestPartsChangeWhileQueriesRun inserts rows of other versions, merges and deletes them, while queries run. Every
// answer must be that of the pinned rows, and no query may fail.
func TestPartsChangeWhileQueriesRun(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	state := s.state(s.write(events48()))
	views := s.views()
	scan := s.resolve(wholeRange())
	want := s.mustScan(views, state, scan)
	var g sync.WaitGroup
	done := make(chan struct{})
	g.Go(func() {
		defer close(done)
		for i := range 15 {
			s.exec(fmt.Sprintf("INSERT INTO %[1]s SELECT * REPLACE (%[2]d AS _ver) FROM %[1]s WHERE _ver = 4", s.table,
				10+i))
			switch i % 3 {
			case 1:
				s.exec("OPTIMIZE TABLE " + s.table + " FINAL")
			case 2:
				s.exec(fmt.Sprintf("DELETE FROM %s WHERE _ver = %d", s.table, 9+i))
			}
		}
	})
	for range 2 {
		g.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				part, err := views.Scan(t.Context(), state, scan, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				unexported := cmp.AllowUnexported(distinct.Sketch{}, quantile.Sketch{})
				if diff := cmp.Diff(want, byKey(part), unexported); diff != "" {
					t.Error(diff)
					return
				}
			}
		})
	}
	g.Wait()
}

// TestListFollowsTheRead shows what the proof rests on: a statement reads a table as it was when it lists the table's
// parts, or before. The rows that it counts are therefore never newer than its list.
func TestListFollowsTheRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.exec("CREATE TABLE counted (x UInt64) ENGINE = MergeTree ORDER BY x")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			s.exec("INSERT INTO counted VALUES (1)")
		}
	}()
	early := 0
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		var counted, listed uint64
		rows, err := s.conn.Query(t.Context(), "SELECT count(), toUInt8(1) FROM counted WHERE x = 1 UNION ALL "+
			"SELECT sum(rows), toUInt8(2) FROM system.parts WHERE active AND database = currentDatabase() AND "+
			"table = 'counted'")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var n uint64
			var branch uint8
			if err := rows.Scan(&n, &branch); err != nil {
				t.Fatal(err)
			}
			if branch == 1 {
				counted = n
			} else {
				listed = n
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if counted > listed {
			t.Errorf("a statement counted %d rows and then listed parts with %d", counted, listed)
		}
		if counted < listed {
			early++
		}
	}
	t.Logf("the list was newer than the read %d times", early)
}
