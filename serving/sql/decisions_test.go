package sql

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"recount/schemas/catalog"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// recorded is a session that notes the statements that it runs.
type recorded struct {
	Session
	seen *[]string
}

func (r recorded) Exec(sql string, data []byte) error {
	*r.seen = append(*r.seen, sql)
	return r.Session.Exec(sql, data)
}

func (r recorded) Query(sql string, parameters map[string]string, format string, revision uint64) ([]byte, error) {
	*r.seen = append(*r.seen, sql)
	return r.Session.Query(sql, parameters, format, revision)
}

// record returns a list that grows with each statement of a session.
func (f *fixture) record() *[]string {
	seen := &[]string{}
	engine := f.statements.cfg.Engine
	f.statements.cfg.Engine = func(ctx context.Context, tenant string, run func(Session) error) error {
		return engine(ctx, tenant, func(s Session) error { return run(recorded{s, seen}) })
	}
	return seen
}

// changing is a source whose catalog can be replaced.
type changing struct{ now *catalog.Catalog }

func (c *changing) Catalog() *catalog.Catalog { return c.now }

// TestDecisionsAreKept has the engine parse a statement again only if something is another that the decision is about.
func TestDecisionsAreKept(t *testing.T) {
	t.Parallel()
	f := filled(t)
	source := &changing{f.catalog}
	f.statements.cfg.Catalog = source
	seen := f.record()
	same := Request{SQL: "SELECT sum(n) FROM flights WHERE origin = {o:String}",
		Parameters: map[string]string{"o": "ORD"}, Format: "TSV"}
	value := same
	value.Parameters = map[string]string{"o": "ATL"}
	setting := same
	setting.Settings = map[string]string{"join_use_nulls": "1"}
	text := same
	text.SQL += " AND 1"
	again := *f.catalog
	for i, c := range []struct {
		r      Request
		tenant string
		now    *catalog.Catalog
		parses bool
		want   string
	}{
		{same, "default", f.catalog, true, "1\n"}, {same, "default", f.catalog, false, "1\n"},
		{same, "other", f.catalog, false, "0\n"}, {value, "default", f.catalog, true, "1\n"},
		{setting, "default", f.catalog, true, "1\n"}, {text, "default", f.catalog, true, "1\n"},
		{same, "default", &again, true, "1\n"}, {value, "default", &again, true, "1\n"},
		{same, "default", &again, false, "1\n"},
	} {
		source.now = c.now
		*seen = nil
		a, err := f.statements.Run(t.Context(), c.tenant, c.r)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if got := strings.HasPrefix(strings.Join(*seen, "\n"), "USE "+EmptyDatabase+"\n"+explain); got != c.parses ||
			string(a.Body) != c.want {
			t.Errorf("%d: parsed %t, want %t; got %q, want %q", i, got, c.parses, a.Body, c.want)
		}
		a.Close()
	}
	without := again
	without.Views = maps.Clone(again.Views)
	delete(without.Views, "flights")
	source.now = &without
	var refused *guard.Refusal
	if _, err := f.statements.Run(t.Context(), "default", same); !errors.As(err, &refused) {
		t.Errorf("the view is gone: %v", err)
	}
}

// TestViewsThatGoMeanwhile has the view of a statement deleted while the statement waits for the engine. Its name must
// not come to mean another table.
func TestViewsThatGoMeanwhile(t *testing.T) {
	t.Parallel()
	f := filled(t)
	without := *f.catalog
	without.Views = maps.Clone(without.Views)
	delete(without.Views, "flights")
	source := &changing{f.catalog}
	f.statements.cfg.Catalog = source
	engine := f.statements.cfg.Engine
	f.statements.cfg.Engine = func(ctx context.Context, tenant string, run func(Session) error) error {
		source.now = &without
		return engine(ctx, tenant, run)
	}
	a, err := f.statements.Run(t.Context(), "default", Request{SQL: "SELECT sum(n) FROM flights", Format: "TSV"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if string(a.Body) != "2\n" || len(a.Accuracy.Through) == 0 {
		t.Errorf("got %q, %+v", a.Body, a.Accuracy)
	}
	var refused *guard.Refusal
	late := decided(Request{SQL: "SELECT count() FROM gone"}, "gone")
	if _, err := f.statements.run(t.Context(), "default", late); !errors.As(err, &refused) {
		t.Errorf("a table that is not there: %v", err)
	}
}

// TestDecisionsAreBounded keeps more decisions than there may be, and one of a long statement.
func TestDecisionsAreBounded(t *testing.T) {
	t.Parallel()
	var d decisions
	r := decided(Request{}, "flights")
	c := r.catalog
	var key [32]byte
	for i := range 3 * maxDecisions / 2 {
		key = decisionKey(&Request{SQL: strings.Repeat("x", i)})
		d.add(key, &r)
	}
	if _, known := d.find(c, key); !known || len(d.byKey) > maxDecisions {
		t.Errorf("the last one is known: %t; %d are kept", known, len(d.byKey))
	}
	r.SQL = strings.Repeat("x", maxDecidedLength+1)
	key = decisionKey(&r)
	d.add(key, &r)
	if _, known := d.find(c, key); known {
		t.Error("the decision about a long statement is kept")
	}
}

// TestKeysOfDecisions moves bytes between the parts of a key.
func TestKeysOfDecisions(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]int{}
	for i, r := range []Request{
		{SQL: "ab"}, {SQL: "a", Parameters: map[string]string{"b": ""}},
		{SQL: "a", settings: map[string]string{"b": ""}},
		{SQL: "a", Parameters: map[string]string{"": "b"}}, {Parameters: map[string]string{"a": "b"}},
		{Parameters: map[string]string{"ab": ""}}, {Parameters: map[string]string{"a": "", "b": ""}}, {SQL: ""},
	} {
		if before, taken := seen[decisionKey(&r)]; taken {
			t.Errorf("%d and %d have one key", i, before)
		}
		seen[decisionKey(&r)] = i
	}
}

// TestViewsHaveNamedColumns reads the definitions of a statement's views. The engine analyses all that is in them.
func TestViewsHaveNamedColumns(t *testing.T) {
	t.Parallel()
	f := filled(t)
	seen := f.record()
	for sql, want := range map[string]string{
		"SELECT sum(n) FROM flights":                               "flights` (`n` UInt64)",
		"SELECT count() FROM flights":                              "flights` (`time` DateTime64(6, 'UTC'))",
		"SELECT sum(x.n) FROM flights_merged AS x WHERE 1":         "flights_merged` (`n` UInt64)",
		"SELECT uniqExactArray(tails__hashes) FROM flights_states": "flights_states` (`tails__hashes` Array(UInt64))",
		"SELECT COLUMNS('^n$') FROM flights":                       "flights` (`time` DateTime64(6, 'UTC'), `origin`",
		"SELECT a.n FROM flights AS a JOIN flights_merged USING n": "flights` (`n` UInt64)",
	} {
		*seen = nil
		a, err := f.statements.Run(t.Context(), "default", Request{SQL: sql, Format: "TSV"})
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		a.Close()
		if all := strings.Join(*seen, "\n"); !strings.Contains(all, "CREATE TEMPORARY VIEW `"+want) {
			t.Errorf("%s: %s", sql, all)
		}
	}
}

// TestRowsThatAreNotPinned has rows come that fail a statement, and then goes the table. The parts were listed before.
func TestRowsThatAreNotPinned(t *testing.T) {
	t.Parallel()
	f := filled(t)
	r := Request{SQL: "SELECT sum(intDiv(6, n)) FROM flights", Format: "TSV"}
	ask := func() (string, error) {
		a, err := f.statements.Run(t.Context(), "default", r)
		if err != nil {
			return "", err
		}
		defer a.Close()
		return string(a.Body), nil
	}
	for _, change := range []string{"SELECT 1",
		"INSERT INTO " + f.table + " SELECT * REPLACE(9 AS _ver, 0 AS n) FROM " + f.table,
		"OPTIMIZE TABLE " + f.table + " FINAL"} {
		f.exec(change)
		if got, err := ask(); got != "12\n" || err != nil {
			t.Errorf("%s: got %q, %v", change, got, err)
		}
	}
	f.exec("DROP TABLE " + f.table)
	if _, err := ask(); !errors.Is(err, reader.ErrLost) {
		t.Errorf("the table is gone: %v", err)
	}
}
