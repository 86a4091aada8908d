package sqlschema_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
)

var update = flag.Bool("update", false, "write the golden file again")

// every is a catalog with each field type as a dimension or a measure, and words of SQL as names.
func every() (*catalog.Catalog, *catalog.View) {
	v := &catalog.View{Name: "select", Event: "e", Cell: time.Minute,
		Dimensions: []string{"from", "order", "flag", "subject"},
		Measures: []catalog.Measure{
			{Name: "n", Kind: catalog.Count},
			{Name: "total", Kind: catalog.Sum, Field: "order"},
			{Name: "cost", Kind: catalog.Sum, Field: "price"},
			{Name: "mean", Kind: catalog.Avg, Field: "price"},
			{Name: "least", Kind: catalog.Min, Field: "order"},
			{Name: "most", Kind: catalog.Max, Field: "price"},
			{Name: "newest", Kind: catalog.Max, Field: "at"},
			{Name: "users", Kind: catalog.Distinct, Field: "from"},
		}}
	return &catalog.Catalog{
		Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"e": {Name: "e", Fields: []catalog.Field{
			{Name: "at", Type: catalog.Timestamp}, {Name: "flag", Type: catalog.Bool},
			{Name: "from", Type: catalog.String}, {Name: "order", Type: catalog.Int64},
			{Name: "price", Type: catalog.Float64},
		}}},
		Views: map[string]*catalog.View{"select": v},
	}, v
}

// decimals is a catalog with each measure of a decimal.
func decimals() (*catalog.Catalog, *catalog.View) {
	v := &catalog.View{Name: "sales", Event: "e", Cell: time.Minute}
	for _, kind := range []catalog.MeasureKind{catalog.Count, catalog.Sum, catalog.Min, catalog.Max, catalog.Avg,
		catalog.Distinct} {
		m := catalog.Measure{Name: string(kind), Kind: kind, Field: "price"}
		if kind == catalog.Count {
			m.Field = ""
		}
		v.Measures = append(v.Measures, m)
	}
	return &catalog.Catalog{
		Bucket: time.Hour,
		Events: map[string]*catalog.EventType{"e": {Name: "e", Fields: []catalog.Field{
			{Name: "price", Type: "decimal(12,2)"}}}},
		Views: map[string]*catalog.View{"sales": v},
	}, v
}

// TestCreateTable freezes the DDL of a table of cells: rows that are stored under it can be read by no other.
func TestCreateTable(t *testing.T) {
	t.Parallel()
	c, v := every()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/cells.sql", sqlschema.CreateTable(c, v)+"\n")
}

// TestDecimalTable freezes the DDL and the checksum of a table with decimals.
func TestDecimalTable(t *testing.T) {
	t.Parallel()
	c, v := decimals()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	var columns []sqlschema.Column
	for _, m := range v.Measures {
		columns = append(columns, sqlschema.MeasureColumns(c, v, m)...)
	}
	checksum, err := sqlschema.Checksum(columns)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/decimals.sql", sqlschema.CreateTable(c, v)+"\n\n"+
		strings.ReplaceAll(checksum, "), ", "),\n")+"\n")
}

// TestQuantileTable freezes the DDL and the checksum of a table with bins.
func TestQuantileTable(t *testing.T) {
	t.Parallel()
	c, v := decimals()
	v.Measures = []catalog.Measure{{Name: "price", Kind: catalog.Quantile, Field: "price"}}
	checksum, err := sqlschema.Checksum(sqlschema.MeasureColumns(c, v, v.Measures[0]))
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/quantiles.sql", sqlschema.CreateTable(c, v)+"\n\n"+checksum+"\n")
}

func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestEngineHasTheColumns creates the tables in a real engine and asks it for their columns.
func TestEngineHasTheColumns(t *testing.T) {
	t.Parallel()
	c, v := every()
	options := chdbtest.Open(t)
	db, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	statements := []string{sqlschema.CreateTable(c, v), sqlschema.CreateTable(c, v)} // The second time changes nothing.
	migrations, err := sqlschema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range migrations {
		statements = append(statements, m.SQL)
	}
	for _, s := range statements {
		if err := db.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	rows, err := db.Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() "+
		"AND table = ? ORDER BY position", sqlschema.Table(v, c.Digest(v)))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []sqlschema.Column
	for rows.Next() {
		var col sqlschema.Column
		if err := rows.Scan(&col.Name, &col.Type); err != nil {
			t.Fatal(err)
		}
		got = append(got, col)
	}
	want := []sqlschema.Column{
		{Name: sqlschema.ColBucket, Type: "DateTime64(6, 'UTC')"}, {Name: sqlschema.ColVer, Type: "UInt64"},
		{Name: sqlschema.ColTenant, Type: "LowCardinality(String)"},
		{Name: sqlschema.ColTime, Type: "DateTime64(6, 'UTC')"},
	}
	for _, d := range v.Dimensions {
		want = append(want, sqlschema.Column{Name: d, Type: sqlschema.DimensionType(c.DimensionType(v, d))})
	}
	want = append(want, sqlschema.Column{Name: sqlschema.ColEvents, Type: "UInt64"})
	for _, m := range v.Measures {
		want = append(want, sqlschema.MeasureColumns(c, v, m)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMigrationsAreFrozen fails when a migration that was applied somewhere is edited or removed.
func TestMigrationsAreFrozen(t *testing.T) {
	t.Parallel()
	applied := []sqlschema.Migration{{Name: "0001_published.sql",
		SHA256: "f43a80ebf66af919024b690e3c3828e79b292f7a3f76ed0b09def9e4f252e76d"}}
	got, err := sqlschema.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range applied {
		if i >= len(got) || got[i].Name != want.Name || got[i].SHA256 != want.SHA256 {
			t.Errorf("migration %s has changed: add a new one instead; got %+v", want.Name, got)
		}
	}
	for _, m := range got[len(applied):] {
		t.Errorf("migration %s is new: add its name and checksum to this test", m.Name)
	}
	for _, m := range got {
		if strings.Contains(strings.TrimSuffix(strings.TrimSpace(m.SQL), ";"), ";") {
			t.Errorf("migration %s holds more than one statement", m.Name)
		}
	}
}

// TestQuote reads a quoted name back as ClickHouse does: a backslash takes the next character literally.
func TestQuote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOf(rapid.SampledFrom([]rune("ab`\\'\"; \n.é"))).Draw(t, "name")
		quoted := sqlschema.Quote(name)
		if len(quoted) < 2 || quoted[0] != '`' || quoted[len(quoted)-1] != '`' {
			t.Fatalf("%q is quoted as %s", name, quoted)
		}
		var read strings.Builder
		inner := quoted[1 : len(quoted)-1]
		for i := 0; i < len(inner); i++ {
			if inner[i] == '`' {
				t.Fatalf("%q is quoted as %s: the name ends early", name, quoted)
			}
			if inner[i] == '\\' {
				i++
			}
			read.WriteByte(inner[i])
		}
		if read.String() != name {
			t.Fatalf("%q is read back as %q", name, read.String())
		}
	})
}
