package encode

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/serving/merge"
)

// TestDecimals writes sums and extremes of decimals in all three forms: as texts in JSON, as digits in CSV, and as
// Arrow's own decimals.
func TestDecimals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		high := rapid.Int64Range(-5e18, 5e18).Draw(t, "high")
		low := rapid.Uint64().Draw(t, "low")
		least := rapid.Int64Range(-999_999_999_999_999_999, 999_999_999_999_999_999).Draw(t, "least")
		live := rapid.Bool().Draw(t, "live")
		c := &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{"sale": {Name: "sale",
			Fields: []catalog.Field{{Name: "price", Type: "decimal(18,2)"}, {Name: "tax", Type: "decimal(18,3)"}}}},
			Views: map[string]*catalog.View{"sales": {Name: "sales", Event: "sale", Cell: time.Minute,
				Measures: []catalog.Measure{{Name: "total", Kind: catalog.Sum, Field: "price"},
					{Name: "least", Kind: catalog.Min, Field: "tax"}}}}}
		q := &query.Query{View: "sales", From: time.Unix(0, 0), To: time.Unix(3600, 0)}
		scan, err := q.Resolve(c, "default")
		if err != nil {
			t.Fatal(err)
		}
		parts := [2]*query.Part{}
		part := &query.Part{Windows: []int32{0}, Events: []uint64{1},
			Measures: [][]query.Acc{{{N: 1, Hi: high, Lo: low}}, {{N: 1, Lo: uint64(least)}}}}
		if parts[0] = part; live {
			parts = [2]*query.Part{nil, part}
		}
		answer, err := merge.Merge(scan, q, parts[0], parts[1], query.Accuracy{})
		if err != nil {
			t.Fatal(err)
		}
		units := new(big.Int).Lsh(big.NewInt(high), 64)
		units.Add(units, new(big.Int).SetUint64(low))
		total := new(big.Rat).SetFrac(units, big.NewInt(100)).FloatString(2)
		lowest := big.NewRat(least, 1000).FloatString(3)

		var j, text, raw bytes.Buffer
		if err := JSON(&j, answer); err != nil {
			t.Fatal(err)
		}
		var got struct{ Rows []map[string]any }
		if err := json.Unmarshal(j.Bytes(), &got); err != nil {
			t.Fatalf("%v in %s", err, j.Bytes())
		}
		row := got.Rows[0]
		if row["total"] != total || row["least"] != lowest || live != (row["live"] != nil) {
			t.Fatalf("got %s, want %s and %s", j.Bytes(), total, lowest)
		}
		if err := CSV(&text, answer); err != nil {
			t.Fatal(err)
		}
		line := total + "," + lowest + ",,"
		if live {
			line = total + "," + lowest + "," + total + "," + lowest
		}
		if _, rest, _ := strings.Cut(text.String(), "\r\n"); rest != line+"\r\n" {
			t.Fatalf("CSV: got %q, want %q", rest, line)
		}
		if err := Arrow(&raw, answer); err != nil {
			t.Fatal(err)
		}
		in, err := ipc.NewReader(&raw)
		if err != nil || !in.Next() {
			t.Fatal(err)
		}
		sums := in.Record().Column(0).(*array.Decimal128)
		if decimals := sums.DataType().(*arrow.Decimal128Type); decimals.Precision != 38 || decimals.Scale != 2 ||
			sums.Value(0).BigInt().Cmp(units) != 0 {
			t.Fatalf("Arrow: got %v of type %s, want %v", sums.Value(0).BigInt(), sums.DataType(), units)
		}
		if v := in.Record().Column(1).(*array.Decimal128).Value(0).BigInt(); v.Cmp(big.NewInt(least)) != 0 {
			t.Fatalf("Arrow: got %v, want %d", v, least)
		}
		var columns bytes.Buffer
		if err := Parquet(&columns, answer); err != nil {
			t.Fatal(err)
		}
		_, cells := parquetCells(t, columns.Bytes(), answer.Accuracy)
		if got := cells["total"][0] + "," + cells["least"][0]; got != total+","+lowest {
			t.Fatalf("Parquet: got %s, want %s,%s", got, total, lowest)
		}
	})
}
