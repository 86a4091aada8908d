package sql

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
	"recount/serving/merge"
	"recount/serving/oracle"
)

// TestTablesAgainstQueries stores random events of a publication, among those of another version and of another tenant,
// and random real-time events. What SQL returns must be what a query of recount returns: every cell of V that of mode
// exact, and additive measures of V_merged those of mode merged.
func TestTablesAgainstQueries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ver := uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		ver += 2
		batch := oracle.Draw(t, start, 300, 40)
		f.insert("default", ver, batch)
		f.insert("other", ver, oracle.Draw(t, start, 300, 10))
		f.insert("default", ver+1, oracle.Draw(t, start, 300, 10))
		f.publish(ver)
		f.live = oracle.Draw(t, start, 400, 20)
		switch rapid.IntRange(0, 3).Draw(t, "table") { // All of them would take four times as long.
		case 0:
			compareCells(t, f, "flights", query.Exact)
		case 1:
			compareCells(t, f, "flights_live", query.Live)
		case 2:
			compareStates(t, f, batch)
		default:
			compareMerged(t, f)
		}
	})
}

// answer returns what a query of recount answers, by group.
func (f *fixture) answer(t *rapid.T, q *query.Query) map[string][]any {
	q.View = "flights"
	q.From = start
	q.To = start.AddDate(0, 0, 1)
	q.Limit = query.MaxLimit
	a, err := f.reader.Answer(f.t.Context(), q, "default")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	out := map[string][]any{}
	for i := range a.Rows() {
		key := []any{}
		if a.Times != nil {
			key = append(key, a.Times[i])
		}
		for d := range a.Dims {
			key = append(key, dimension(&a.Dims[d].Column, i))
		}
		for _, m := range a.Measures {
			out[fmt.Sprintf("%#v", key)] = append(out[fmt.Sprintf("%#v", key)], value(&m.Value, i))
		}
	}
	return out
}

func dimension(c *query.Column, i int) any {
	switch {
	case c.IsNull(i):
		return nil
	case c.Type == catalog.String:
		return c.Strings[i]
	case c.Type == catalog.Bool:
		return c.Ints[i] == 1
	}
	return c.Ints[i]
}

func value(c *merge.Values, i int) any {
	switch {
	case c.Null[i]:
		return nil
	case c.Floats != nil:
		return c.Floats[i]
	}
	return c.Ints[i]
}

// groups returns the rows of a statement, by their first columns.
func (f *fixture) groups(t *rapid.T, sql string, keys int, used ...string) map[string][]any {
	a, err := f.statements.run(f.t.Context(), "default", decided(Request{SQL: sql, Format: "JSONCompactEachRow"},
		used...))
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer a.Close()
	out := map[string][]any{}
	for line := range strings.Lines(string(a.Body)) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var row []any
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for i, v := range row {
			if n, isNumber := v.(json.Number); isNumber {
				row[i] = number(n)
			}
		}
		key := fmt.Sprintf("%#v", row[:keys])
		if out[key] != nil {
			t.Fatalf("two rows of %s", key)
		}
		out[key] = row[keys:]
	}
	return out
}

func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	v, _ := n.Float64()
	return v
}

const dimensions = "toUnixTimestamp64Micro(time), origin, delay, cancelled"

// compareCells compares every cell of a table with what a mode answers.
func compareCells(t *rapid.T, f *fixture, table string, mode query.Mode) {
	want := f.answer(t, &query.Query{Mode: mode, Granularity: "1m", GroupBy: f.view.Dimensions})
	got := f.groups(t, "SELECT "+dimensions+", n, late, mean, worst, far, usual, short, "+
		"toUnixTimestamp64Micro(first), tails, lateness__p50, lateness__p95, lateness__p99, length__p50, "+
		"length__p95, length__p99 FROM "+table, 4, table)
	compare(t, table, want, got)
}

// compareStates merges the states of each origin, and compares them with what mode exact answers.
func compareStates(t *rapid.T, f *fixture, batch []oracle.Event) {
	want := f.answer(t, &query.Query{Mode: query.Exact, GroupBy: []string{"origin"},
		Measures: []string{"n", "late", "mean", "worst", "short", "tails", "lateness.p99.9",
			"length.p5"}})
	late := sqlschema.Quantile("sumMap(lateness__bins)", 99_900, catalog.Int64)
	length := sqlschema.Quantile("sumMap(length__bins)", 5_000, catalog.Float64)
	got := f.groups(t, "SELECT origin, sum(n), if(sum(late__n) = 0, NULL, "+
		"accurateCastOrNull(reinterpretAsInt128(sum(late__sum)), 'Int64')), "+
		"if(sum(mean__n) = 0, NULL, toFloat64(sum(mean__sum)) / sum(mean__n)), max(worst), min(short), "+
		"uniqExactArray(tails__hashes), "+late+", "+length+" FROM flights_states GROUP BY origin", 1, "flights_states")
	compare(t, "states", want, got)
	far := slices.ContainsFunc(batch, func(e oracle.Event) bool {
		v, _ := e.Fields["miles"].(float64)
		return math.Abs(v) > 1e17 || v != 0 && math.Abs(v) < 1e-17
	})
	if far {
		return
	}
	compare(t, "sums of floats", f.answer(t, &query.Query{Mode: query.Exact, Measures: []string{"far"}}),
		f.groups(t, "SELECT if(sum(far__n) = 0, NULL, toFloat64(sum(reinterpretAsInt256(unhex(far__near)))) "+
			"* pow(2, -115)) FROM flights_states HAVING max(far__far) = ''", 0, "flights_states"))
}

// compareMerged adds up the rows of each origin in V_merged, and compares the sums with what mode merged answers.
func compareMerged(t *rapid.T, f *fixture) {
	want := f.answer(t, &query.Query{Mode: query.Merged, GroupBy: []string{"origin"},
		Measures: []string{"n", "worst", "short"}})
	got := f.groups(t, "SELECT origin, sum(n), max(worst), min(short) FROM flights_merged GROUP BY origin", 1,
		"flights_merged")
	compare(t, "merged", want, got)
}

func compare(t *rapid.T, name string, want, got map[string][]any) {
	for key, w := range want {
		if len(got[key]) != len(w) {
			t.Fatalf("%s: no row of %s", name, key)
		}
		for i := range w {
			if !same(w[i], got[key][i]) {
				t.Fatalf("%s: %s, value %d: got %v, want %v", name, key, i, got[key][i], w[i])
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", name, len(got), len(want))
	}
}

// same compares two numbers. Floats that SQL adds may differ in the last bits.
func same(want, got any) bool {
	w, isFloat := want.(float64)
	if !isFloat {
		return want == got
	}
	g, isFloat := got.(float64)
	if i, isInt := got.(int64); isInt {
		g = float64(i)
		isFloat = true
	}
	return isFloat && math.Abs(w-g) <= 1e-12*max(math.Abs(w), math.Abs(g), 1e-300)
}
