package expression

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/apache/arrow/go/v15/arrow"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/window"
	"recount/schemas/window/windowtest"
)

// corners returns a random value of a type from the corners of its domain, null in one of six cases.
func corners(r *rand.Rand, t Type) value {
	if r.IntN(6) == 0 {
		return none
	}
	switch t {
	case Int64:
		return value{whole: pick[int64](r, 0, 1, -1, 2, 7, -7, 60, math.MaxInt64, math.MinInt64, math.MinInt64+1,
			1<<53+1, 3037000500, -3037000500, 1<<62)}
	case Float64:
		return number(pick[float64](r, 0, 1, -1, 0.1, 0.5, -7.25, 1e300, -1e300, math.MaxFloat64, 5e-324, 1<<53, 1e19))
	case Bool:
		return truth(r.IntN(2) == 0)
	case Timestamp:
		switch r.IntN(3) {
		case 0:
			return value{whole: pick(r, window.MinTime, window.MaxTime, 951782400_000000, 1711846799_999999)}
		case 1: // December 31 of a leap year after the listed changes of zones (window.OffsetEnd)
			return value{whole: time.Date(2040+4*r.IntN(50), 12, 31, r.IntN(24), 59, 59, 0, time.UTC).UnixMicro()}
		}
		return value{whole: window.MinTime + r.Int64N(window.MaxTime-window.MinTime)}
	}
	if r.IntN(3) > 0 {
		return text(pick(r, "", "a", "ABC xyz", "É", "日本語", "a,b,,c", ",", "\xff", "a\xf0b", "\x80,é",
			"it's \\ \n\x00", "ÀÉa\u0301", "🙂🙂"))
	}
	scheme := pick(r, "http://", "HTTPS://", "a+b.c-1://", "://", "1a://", "//", "mailto:", "", "x y://", "_://",
		"a_b://")
	user := pick(r, "", "", "me@", "me:pw@", "a@b@", "@")
	host := pick(r, "example.com", "Example.COM", "", "[::1]", "::1", "日本.jp", "a b", "\xff", "x\n")
	port := pick(r, "", "", ":80", ":", ":8a", ":80:90")
	rest := pick(r, "", "/", "/a/b", "/a?b/c", "?a/b", "#a/b?c", "/a#b?c://d", "\\a", "//")
	return text(scheme + user + host + port + rest)
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// randomSource returns a random expression of a type.
func randomSource(r *rand.Rand, t Type, depth int) string {
	of := func(t Type) string { return randomSource(r, t, depth-1) }
	if depth == 0 || r.IntN(6) == 0 {
		return leaf(r, t)
	}
	switch r.IntN(5) {
	case 0:
		return fmt.Sprintf("if(%s, %s, %s)", of(Bool), of(t), of(t))
	case 1:
		return fmt.Sprintf("coalesce(%s, %s)", of(t), of(t))
	}
	zone := quote(pick(r, windowtest.Zones...))
	switch t {
	case String:
		return pick(r, "lower("+of(String)+")", "upper("+of(String)+")", "host("+of(String)+")", "path("+of(String)+")",
			fmt.Sprintf("substring(%s, %d, %d)", of(String), 1+r.IntN(4), r.IntN(4)),
			fmt.Sprintf("split(%s, %s, %d)", of(String), pick(r, "','", "'/'", "'b'", "'日'", "'//'", "''''"),
				1+r.IntN(3)),
			fmt.Sprintf("date(%s, %s)", of(Timestamp), zone))
	case Int64:
		if r.IntN(2) == 0 {
			part := pick(r, "year", "month", "day", "hour", "minute", "weekday")
			return fmt.Sprintf("%s(%s, %s)", part, of(Timestamp), zone)
		}
		return pick(r, "div("+of(Int64)+", "+of(Int64)+")", "-("+of(Int64)+")",
			fmt.Sprintf("(%s) %s (%s)", of(Int64), pick(r, "+", "-", "*", "%"), of(Int64)))
	case Float64:
		other := pick(r, Int64, Float64)
		return pick(r, "-("+of(Float64)+")", fmt.Sprintf("(%s) / (%s)", of(other), of(Int64)),
			fmt.Sprintf("(%s) %s (%s)", of(Float64), pick(r, "+", "-", "*", "/"), of(other)))
	case Bool:
		kind := pick(r, String, Int64, Float64, Timestamp)
		other := kind
		if isNumber(kind) {
			other = pick(r, Int64, Float64)
		}
		return pick(r, "not ("+of(Bool)+")",
			fmt.Sprintf("(%s) %s (%s)", of(Bool), pick(r, "and", "or", "=", "!="), of(Bool)),
			fmt.Sprintf("(%s) %s (%s)", of(kind), pick(r, "=", "!=", "<", "<=", ">", ">="), of(other)))
	}
	return leaf(r, t)
}

func leaf(r *rand.Rand, t Type) string {
	columns := map[Type][]string{String: {"s", "u"}, Int64: {"i", "j"}, Float64: {"f", "g"}, Bool: {"b", "c"},
		Timestamp: {"t"}}
	literals := map[Type][]string{String: {"''", `'a\b'`, "'é'"}, Int64: {"0", "-1", "9223372036854775807"},
		Float64: {"0.5", "1e308", "-2.0"}, Bool: {"true", "false"}, Timestamp: {"timestamp('2024-03-31T01:30:00Z')"}}
	if r.IntN(4) == 0 {
		return pick(r, literals[t]...)
	}
	return pick(r, columns[t]...)
}

// naive evaluates an expression in a third way: with big numbers, regular expressions and a column at a time.
func naive(n *node, row map[string]value) value {
	if n.isLiteral {
		return n.value
	}
	if n.function == nil {
		return row[n.column]
	}
	if n.function.name == "timestamp" {
		return n.value
	}
	var args []value
	for _, a := range n.args {
		args = append(args, naive(a, row))
	}
	switch n.function.name {
	case "if":
		if args[0] == truth(true) {
			return naiveAs(n, 1, args[1])
		}
		return naiveAs(n, 2, args[2])
	case "coalesce":
		for i, v := range args {
			if !v.isNull {
				return naiveAs(n, i, v)
			}
		}
		return none
	case "and", "or":
		decisive := truth(n.function.name == "or")
		switch {
		case args[0] == decisive || args[1] == decisive:
			return decisive
		case args[0].isNull || args[1].isNull:
			return none
		}
		return truth(n.function.name == "and")
	}
	for _, v := range args {
		if v.isNull {
			return none
		}
	}
	return naiveCall(n, args)
}

func naiveAs(n *node, i int, v value) value {
	if n.resultOf == Float64 && n.args[i].resultOf == Int64 && !v.isNull {
		return value{float: float64(v.whole)}
	}
	return v
}

var urlForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)([^?#]*)`)

func naiveCall(n *node, a []value) value {
	name := n.function.name
	switch name {
	case "not":
		return truth(a[0].whole != 1)
	case "lower", "upper":
		var out []byte
		for _, c := range []byte(a[0].text) {
			if name == "lower" && c >= 'A' && c <= 'Z' || name == "upper" && c >= 'a' && c <= 'z' {
				c ^= 0x20
			}
			out = append(out, c)
		}
		return text(string(out))
	case "substring":
		return naiveSubstring(a[0].text, int(a[1].whole), int(a[2].whole))
	case "split":
		rest := a[0].text
		for range a[2].whole - 1 {
			i := strings.Index(rest, a[1].text)
			if i < 0 {
				return none
			}
			rest = rest[i+len(a[1].text):]
		}
		part, _, _ := strings.Cut(rest, a[1].text)
		return text(part)
	case "host", "path":
		m := urlForm.FindStringSubmatch(a[0].text)
		if m == nil {
			return none
		}
		host := regexp.MustCompile(`:[0-9]*$`).ReplaceAllString(m[1][strings.LastIndex(m[1], "@")+1:], "")
		if host == "" {
			return none
		}
		return text(map[string]string{"host": host, "path": m[2]}[name])
	case "year", "month", "day", "hour", "minute", "weekday", "date":
		return naivePart(name, a)
	}
	return naiveNumbers(n, a)
}

func naiveSubstring(s string, from, count int) value {
	var characters []string
	for len(s) > 0 {
		size := 1
		switch c := s[0]; {
		case c>>3 == 0b11110:
			size = 4
		case c>>4 == 0b1110:
			size = 3
		case c>>5 == 0b110:
			size = 2
		}
		size = min(size, len(s))
		characters = append(characters, s[:size])
		s = s[size:]
	}
	from = min(from-1, len(characters))
	return text(strings.Join(characters[from:min(from+count, len(characters))], ""))
}

func naivePart(name string, a []value) value {
	zone := "UTC"
	if len(a) > 1 {
		zone = a[1].text
	}
	loc, _ := time.LoadLocation(zone)
	t := time.UnixMicro(a[0].whole).In(loc)
	if name == "date" {
		return text(fmt.Sprintf("%04d-%02d-%02d", t.Year(), t.Month(), t.Day()))
	}
	n, _ := strconv.Atoi(t.Format(map[string]string{"year": "2006", "month": "1", "day": "2", "hour": "15",
		"minute": "4"}[name]))
	if name == "weekday" {
		n = map[string]int{"Mon": 1, "Tue": 2, "Wed": 3, "Thu": 4, "Fri": 5, "Sat": 6, "Sun": 7}[t.Format("Mon")]
	}
	return value{whole: int64(n)}
}

func naiveNumbers(n *node, a []value) value {
	name := n.function.name
	if strings.ContainsAny(name, "=<>") {
		c := naiveCompare(n, a)
		return truth(map[string]bool{"=": c == 0, "!=": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0,
			">=": c >= 0}[name])
	}
	if n.resultOf == Int64 {
		x := big.NewInt(a[0].whole)
		y := big.NewInt(0)
		if name == "negate" {
			x, y = y, x
			name = "-"
		} else {
			y.SetInt64(a[1].whole)
		}
		out := new(big.Int)
		switch name {
		case "+":
			out.Add(x, y)
		case "-":
			out.Sub(x, y)
		case "*":
			out.Mul(x, y)
		default:
			if y.Sign() == 0 {
				return none
			}
			if out.Quo(x, y); name == "%" {
				out.Rem(x, y)
			}
		}
		return value{whole: out.Int64(), isNull: !out.IsInt64()}.cleared()
	}
	x := a[0].asFloat(n.args[0].resultOf)
	if name == "negate" {
		return number(0 - x)
	}
	y := a[1].asFloat(n.args[1].resultOf)
	return number(map[string]float64{"+": x + y, "-": x - y, "*": x * y, "/": x / y}[name])
}

// cleared returns null without what was computed.
func (v value) cleared() value {
	if v.isNull {
		return none
	}
	return v
}

func naiveCompare(n *node, a []value) int {
	switch {
	case n.args[0].resultOf == String:
		return strings.Compare(a[0].text, a[1].text)
	case n.args[0].resultOf == Float64 || n.args[1].resultOf == Float64:
		return big.NewFloat(a[0].asFloat(n.args[0].resultOf)).Cmp(big.NewFloat(a[1].asFloat(n.args[1].resultOf)))
	}
	return big.NewInt(a[0].whole).Cmp(big.NewInt(a[1].whole))
}

// rowsOfCorners are random rows of the test columns.
func rowsOfCorners(r *rand.Rand, n int) []map[string]value {
	rows := make([]map[string]value, n)
	for i := range rows {
		rows[i] = map[string]value{}
		for name, t := range testColumns {
			rows[i][name] = corners(r, t)
		}
	}
	return rows
}

// TestMeaningsAreEqual evaluates random expressions over random rows in three ways: with columns, with SQL of the real
// ClickHouse, and naively. All give the same values.
func TestMeaningsAreEqual(t *testing.T) {
	t.Parallel()
	db, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	rows := rowsOfCorners(r, 200)
	createRows(t, db, rows)
	const rounds = 12
	const perRound = 20
	kept := 0
	for range rounds {
		var expressions []*Expression
		var sources []string
		for range perRound {
			source := randomSource(r, pick(r, String, Int64, Float64, Bool, Timestamp), 1+r.IntN(3))
			e, err := Parse(source, columnOf)
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, source, err)
			}
			expressions = append(expressions, e)
			sources = append(sources, source)
		}
		answers := askClickHouse(t, db, expressions)
		for i, e := range expressions {
			out := e.Evaluate(len(rows), func(name string) arrow.Array {
				var values []value
				for _, row := range rows {
					values = append(values, row[name])
				}
				return build(arrowTypes[testColumns[name]], values)
			}, arrowTypes[e.Type])
			values := make([]value, len(rows))
			load(values, out, e.Type)
			for row := range rows {
				want := spell(e.Type, naive(e.root, rows[row]))
				if got := spell(e.Type, values[row]); got != want || answers[row][i] != want {
					t.Fatalf("seed %d: %s\nrow %+v\ncolumns give %q, ClickHouse %q, the naive way %q\n%s", seed,
						sources[i], rows[row], got, answers[row][i], want, e.SQL(func(n string) string { return n }))
				}
				if want != "null" {
					kept++
				}
			}
		}
	}
	if kept < rounds*perRound*len(rows)/4 {
		t.Errorf("only %d values are not null, too few to say much", kept)
	}
}

// spell returns a value as text.
func spell(t Type, v value) string {
	switch {
	case v.isNull:
		return "null"
	case t == String:
		return "t" + v.text
	case t == Float64:
		return strings.TrimLeft(strconv.FormatUint(math.Float64bits(v.float), 16), "0")
	}
	return strconv.FormatInt(v.whole, 10)
}

func createRows(t *testing.T, db driver.Conn, rows []map[string]value) {
	t.Helper()
	names := []string{"s", "u", "i", "j", "f", "g", "b", "c", "t"}
	columns := "n UInt32"
	for _, name := range names {
		columns += ", " + name + " Nullable(" + strings.ReplaceAll(sqlType(testColumns[name]), `\`, "") + ")"
	}
	ctx := context.Background()
	if err := db.Exec(ctx, "CREATE TABLE rows ("+columns+") ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	b, err := db.PrepareBatch(ctx, "INSERT INTO rows")
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		line := []any{uint32(i)}
		for _, name := range names {
			line = append(line, plain(testColumns[name], row[name]))
		}
		if err := b.Append(line...); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
}

func plain(t Type, v value) any {
	switch {
	case v.isNull:
		return nil
	case t == String:
		return v.text
	case t == Int64:
		return v.whole
	case t == Float64:
		return v.float
	case t == Bool:
		return v.whole == 1
	}
	return time.UnixMicro(v.whole).UTC()
}

// askClickHouse returns the values of the expressions for each row, as spell has them.
func askClickHouse(t *testing.T, db driver.Conn, expressions []*Expression) [][]string {
	t.Helper()
	var columns []string
	for _, e := range expressions {
		sql := e.SQL(func(name string) string { return "`" + name + "`" })
		switch e.Type {
		case String:
			sql = "concat('t', " + sql + ")"
		case Float64:
			sql = "lower(trimLeft(hex(reinterpretAsUInt64(" + sql + ")), '0'))"
		case Bool:
			sql = "toString(toUInt8(" + sql + "))"
		case Timestamp:
			sql = "toString(toUnixTimestamp64Micro(" + sql + "))"
		default:
			sql = "toString(" + sql + ")"
		}
		columns = append(columns, "ifNull("+sql+", 'null')")
	}
	query := "SELECT [" + strings.Join(columns, ", ") + "] FROM rows ORDER BY n"
	ctx := clickhouse.Context(context.Background(),
		clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 16 << 20}))
	answer, err := db.Query(ctx, query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer answer.Close()
	var out [][]string
	for answer.Next() {
		var row []string
		if err := answer.Scan(&row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if err := answer.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return out
}
