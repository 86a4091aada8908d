package cells

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"recount/batch/exact"
	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

// world is an empty database in a real ClickHouse engine.
type world struct {
	t  *testing.T
	db driver.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &world{t: t, db: db}
}

// prepared returns a store of the catalog whose tables exist.
func (w *world) prepared(c *catalog.Catalog) *Store {
	w.t.Helper()
	s := NewStore(w.db, c)
	if err := s.Prepare(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// insert inserts the groups into the view wide in one INSERT and returns what was written, by bucket.
func (w *world) insert(s *Store, version uint64, groups []*group) map[int64]record.BucketVersion {
	w.t.Helper()
	b := blockOf(groups)
	wrote, err := s.Insert(w.t.Context(), s.catalog().Views["wide"], version,
		[]exact.BlockRows{{Block: b, To: b.Rows()}})
	if err != nil {
		w.t.Fatal(err)
	}
	return wrote
}

// readBack reads back every bucket of want under a version, and one more without rows.
func (w *world) readBack(s *Store, version uint64, want map[int64]record.BucketVersion) map[int64]record.BucketVersion {
	w.t.Helper()
	wanted := []record.BucketVersion{{Bucket: start - hour, Ver: version}}
	for b := range want {
		wanted = append(wanted, record.BucketVersion{Bucket: b, Ver: version})
	}
	got, err := s.ReadVersions(w.t.Context(), s.catalog().Views["wide"], wanted)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) exec(format string, args ...any) {
	w.t.Helper()
	statement := fmt.Sprintf(format, args...)
	if err := w.db.Exec(w.t.Context(), statement); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

func (w *world) number(format string, args ...any) (n uint64) {
	w.t.Helper()
	statement := fmt.Sprintf(format, args...)
	if err := w.db.QueryRow(w.t.Context(), statement).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
	return n
}

// table is the quoted table of the view wide.
func table(c *catalog.Catalog) string {
	return sqlschema.Quote(sqlschema.Table(c.Views["wide"], c.Digest(c.Views["wide"])))
}

// readTable returns the rows of a version in the table of the view wide, in the text form of the oracle.
func (w *world) readTable(c *catalog.Catalog, version uint64) (out []string) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), fmt.Sprintf(`SELECT toUnixTimestamp64Micro(_bucket),
		toUnixTimestamp64Micro(time), tenant, origin, ok, delay, _events, n, toString(total__sum), total__n,
		concat(toString(paid__near), ' ', hex(paid__far)), paid__n, toString(mean__sum), mean__n, least, most,
		toUnixTimestamp64Micro(last),
		finalizeAggregation(CAST(origins__state, 'AggregateFunction(uniqExact, UInt64)')), hex(origins__state),
		toString(taxes__sum), taxes__n, toString(usual_tax__sum), usual_tax__n, toString(least_tax),
		concat(toString(fares__bins), ' ', toString(delays__bins), ' ', toString(tax_levels__bins))
		FROM %s WHERE _ver = %d`, table(c), version))
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var g group
		var events, n, totalN, paidN, meanN, origins uint64
		var total, paid, mean, state string
		var least *int64
		var taxes, usualTax string
		var taxesN, usualTaxN uint64
		var leastTax *string
		var bins string
		if err := rows.Scan(&g.bucket, &g.time, &g.tenant, &g.origin, &g.ok, &g.delay, &events, &n, &total, &totalN,
			&paid, &paidN, &mean, &meanN, &least, &g.most, &g.last, &origins, &state, &taxes, &taxesN, &usualTax,
			&usualTaxN, &leastTax, &bins); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(g.bucket, " ", g.key(), " ", events, " ", n, " ", total, " ", totalN, " ",
			paid, " ", paidN, " ", mean, " ", meanN, " ", show(least), " ", showFloat(g.most), " ",
			show(g.last), " ", origins, " ", state, " ", padded(&taxes), " ", taxesN, " ", padded(&usualTax), " ",
			usualTaxN, " ", padded(leastTax), " ", bins))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// readView returns the rows of the SQL VIEW wide, in the text form of the oracle.
func (w *world) readView() (out []string) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT toUnixTimestamp64Micro(time), tenant, origin, ok, delay, n,
		toString(total), paid, mean, toString(mean__sum), mean__n, least, most, toUnixTimestamp64Micro(last), origins,
		toString(taxes), usual_tax, toString(least_tax), toTypeName(taxes), toTypeName(least_tax),
		fares__p50, fares__p99, delays__p95, toString(tax_levels__p99)
		FROM wide`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var g group
		var n, meanN, origins uint64
		var total *string
		var sum string
		var paid, mean *float64
		var least *int64
		var taxes, leastTax *string
		var usualTax *float64
		var taxesType, leastType string
		var fare50, fare99 *float64
		var delay95 *int64
		var tax99 *string
		if err := rows.Scan(&g.time, &g.tenant, &g.origin, &g.ok, &g.delay, &n, &total, &paid, &mean, &sum, &meanN,
			&least, &g.most, &g.last, &origins, &taxes, &usualTax, &leastTax, &taxesType, &leastType,
			&fare50, &fare99, &delay95, &tax99); err != nil {
			w.t.Fatal(err)
		}
		if taxesType != "Nullable(Decimal(38, 3))" || leastType != "Nullable(Decimal(18, 3))" {
			w.t.Fatalf("the VIEW has the types %s and %s", taxesType, leastType)
		}
		usual := "null"
		if usualTax != nil {
			usual = rounded(*usualTax)
		}
		totalText := "null"
		if total != nil {
			totalText = strconv.Quote(*total)
		}
		paidText := "null"
		if paid != nil {
			paidText = rounded(*paid)
		}
		out = append(out, fmt.Sprint(g.key(), " ", n, " ", totalText, " ", paidText, " ", showFloat(mean), " ",
			sum, " ", meanN, " ", show(least), " ", showFloat(g.most), " ", show(g.last), " ", origins, " ",
			padded(taxes), " ", usual, " ", padded(leastTax), " ", showFloat(fare50), " ", showFloat(fare99), " ",
			show(delay95), " ", padded(tax99)))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// padded shows a decimal of ClickHouse, which leaves out zeros at the end, with three digits after the point.
func padded(text *string) string {
	if text == nil {
		return "null"
	}
	r, ok := new(big.Rat).SetString(*text)
	if !ok {
		return *text
	}
	return r.FloatString(3)
}

// checkView compares the SQL VIEW with the oracle's groups.
func (w *world) checkView(when string, groups ...[]*group) {
	w.t.Helper()
	want := texts((*group).viewText, groups...)
	if diff := cmp.Diff(want, w.readView()); diff != "" {
		w.t.Errorf("%s: rows (-oracle +VIEW): %s", when, diff)
	}
}

// texts returns the groups as sorted text.
func texts(text func(*group) string, groups ...[]*group) (out []string) {
	for _, g := range slices.Concat(groups...) {
		out = append(out, text(g))
	}
	slices.Sort(out)
	return out
}
