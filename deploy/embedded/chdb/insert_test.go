package chdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestEveryColumnType(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, `CREATE TABLE every (s String, ns Nullable(String), lc LowCardinality(String),
		nlc LowCardinality(Nullable(String)),
		i Int64, u UInt64, big Int128, f Float64, ni Nullable(Int64), nf Nullable(Float64), b Bool, u8 UInt8,
		at DateTime64(6, 'UTC'), a Array(UInt32), fx FixedString(16), m Map(String, UInt64), d Date,
		i8 Int32) ENGINE = MergeTree ORDER BY u`)
	type row struct {
		S, LC   string
		NS, NLC *string
		I       int64
		U       uint64
		Big     string
		F       float64
		NI      *int64
		NF      *float64
		B       bool
		U8      uint8
		At      time.Time
		A       []uint32
		FX      string
		M       map[string]uint64
		D       time.Time
		I32     int32
	}
	s := "ns\x00\n\n;"
	i := int64(math.MinInt64)
	f := math.Inf(-1)
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	day := time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC)
	want := []row{
		{S: "a\n\nb", LC: "x", I: math.MaxInt64, U: 1, Big: most.String(), F: 0.1, B: true, U8: 255,
			At: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), A: []uint32{}, FX: "0123456789abcdef",
			M: map[string]uint64{"k": 1}, D: day},
		{S: "", LC: "", NS: &s, NLC: &s, I: i, U: math.MaxUint64, Big: "-1", F: math.MaxFloat64, NI: &i, NF: &f, U8: 0,
			At: time.Date(2261, 12, 31, 23, 59, 59, 999999000, time.UTC), A: []uint32{1, math.MaxUint32},
			FX: "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
			M:  map[string]uint64{}, D: day, I32: -1},
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO every")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	for _, r := range want {
		n, _ := new(big.Int).SetString(r.Big, 10)
		err := batch.Append(r.S, r.NS, r.LC, r.NLC, r.I, r.U, n, r.F, r.NI, r.NF, r.B, r.U8, r.At, r.A, r.FX, r.M, r.D,
			r.I32)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "SELECT * FROM every ORDER BY u")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []row
	for rows.Next() {
		var r row
		var n big.Int
		if err := rows.Scan(&r.S, &r.NS, &r.LC, &r.NLC, &r.I, &r.U, &n, &r.F, &r.NI, &r.NF, &r.B, &r.U8, &r.At, &r.A,
			&r.FX, &r.M, &r.D, &r.I32); err != nil {
			t.Fatal(err)
		}
		r.Big = n.String()
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAnyBytes puts into a batch what the library's own inline data would be cut at.
func TestAnyBytes(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		pieces := rapid.SampledFrom([]string{"\n\n", "\n", ";", "'", "; DROP TABLE bytes;\n", "\x00", "FORMAT", "x"})
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(pieces, 0, 6).Draw(t, "pieces"), "")
		}), 1, 20).Draw(rt, "values")
		mustExec(t, conn, "CREATE OR REPLACE TABLE bytes (i UInt32, s String) ENGINE = Memory")
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO bytes")
		if err != nil {
			rt.Fatal(err)
		}
		for i, s := range want {
			if err := batch.Append(uint32(i), s); err != nil {
				rt.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			rt.Fatal(err)
		}
		got := scan[[]string](t.Context(), t, conn, "SELECT groupArray(s) FROM (SELECT s FROM bytes ORDER BY i)")
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestInlineFormats(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE f (s String, n Int64 DEFAULT 7) ENGINE = Memory")
	mustExec(t, conn, "INSERT INTO f VALUES ('a;\n\nb', 1 + 1), ('it''s', {n:Int64})", clickhouse.Named("n", 3))
	mustExec(t, conn, "INSERT INTO f (s) SETTINGS max_insert_block_size = 10 FORMAT JSONEachRow "+
		"{\"s\":\"c;\"}\n\n\n{\"s\":\"d\"}")
	mustExec(t, conn, "INSERT INTO f SELECT 'e', 5")
	got := scan[[]string](t.Context(), t, conn, "SELECT arraySort(groupArray(s || toString(n))) FROM f")
	if diff := cmp.Diff([]string{"a;\n\nb2", "c;7", "d7", "e5", "it's3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLargeInsertIsOnePart(t *testing.T) {
	t.Parallel()
	conn, db := open(t)
	mustExec(t, conn, "CREATE TABLE large (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	const rows = 1_000_000
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO large")
	if err != nil {
		t.Fatal(err)
	}
	n := make([]uint64, rows)
	s := make([]string, rows)
	for i := range n {
		n[i] = uint64(i)
		s[i] = strings.Repeat("\n", 64+i%8)
	}
	if err := errors.Join(batch.Column(0).Append(n), batch.Column(1).Append(s), batch.Send()); err != nil {
		t.Fatal(err)
	}
	if got := scan[uint64](t.Context(), t, conn,
		"SELECT sum(n) + sum(length(s)) FROM large"); got != rows*(rows-1)/2+rows*64+rows/8*28 {
		t.Errorf("got %d", got)
	}
	// An insert of up to 1,048,449 rows is one part, and so all or nothing.
	parts := scan[uint64](t.Context(), t, conn, "SELECT count() FROM system.parts WHERE active AND database = "+
		"{db:String}", clickhouse.Named("db", db))
	if parts != 1 {
		t.Errorf("got %d parts, want 1", parts)
	}
}

func TestFailingInserts(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE bad (n UInt64, CONSTRAINT small CHECK n < 10) ENGINE = MergeTree ORDER BY n")
	send := func(ctx context.Context, values ...uint64) error {
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO bad")
		if err != nil {
			return err
		}
		defer batch.Close()
		if err := batch.Column(0).Append(values); err != nil {
			return err
		}
		return batch.Send()
	}
	if got := code(t, send(t.Context(), 1, 2, 99)); got != 469 {
		t.Errorf("a violated constraint: code %d, want 469", got)
	}
	if got := code(t, send(withSettings(t, clickhouse.Settings{"max_partitions_per_insert_block": "x"}), 1)); got == 0 {
		t.Error("a bad setting was accepted")
	}
	if got := scan[uint64](t.Context(), t, conn, "SELECT count() FROM bad"); got != 0 {
		t.Errorf("failed inserts left %d rows", got)
	}
	if err := send(t.Context(), 1, 2); err != nil {
		t.Error(err)
	}
}

// TestUniqExactState checks the byte form of uniqExact states that the batch layer writes: a varint count and
// the values, eight bytes each, little-endian.
func TestUniqExactState(t *testing.T) {
	t.Parallel()
	conn, _ := open(t)
	mustExec(t, conn, "CREATE TABLE states (g UInt8, s String) ENGINE = MergeTree ORDER BY g")
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO states")
	if err != nil {
		t.Fatal(err)
	}
	for g, r := range [][2]uint64{{0, 1000}, {500, 1500}, {0, 0}} {
		if err := batch.Append(uint8(g), uniqExactState(r[0], r[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	const merged = "SELECT uniqExactMerge(CAST(s, 'AggregateFunction(uniqExact, UInt64)')) FROM states"
	if got := scan[uint64](t.Context(), t, conn, merged); got != 1500 {
		t.Errorf("merged: got %d, want 1500", got)
	}
	const own = "SELECT CAST(uniqExactState(number + 500), 'String') FROM numbers(1000)"
	got := scan[string](t.Context(), t, conn, own)
	if want := uniqExactState(500, 1500); len(got) != len(want) || !bytes.Equal([]byte(got[:2]), want[:2]) {
		t.Errorf("the engine's own state has %d bytes and begins %x, want %d and %x", len(got), got[:2], len(want),
			want[:2])
	}
	// The driver has no column for a state: the error must say so rather than hang or panic.
	if err := conn.QueryRow(t.Context(),
		"SELECT uniqExactState(number) FROM numbers(10)").Scan(new(string)); err == nil {
		t.Error("an AggregateFunction column was decoded")
	}
}

func uniqExactState(from, to uint64) []byte {
	b := binary.AppendUvarint(nil, to-from)
	for v := from; v < to; v++ {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}
