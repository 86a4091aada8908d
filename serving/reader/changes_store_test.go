package reader

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"recount/deploy/embedded/chdb/chdbtest"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
	"recount/serving/batchview"
	"recount/serving/oracle"
)

// storedPast is a past whose rows are in a real engine.
type storedPast struct {
	*past
	conn   driver.Conn
	states [2]*record.State
}

func (p *storedPast) Newest(context.Context) (*record.State, error) { return p.states[1], nil }

func (p *storedPast) StateAt(_ context.Context, n uint64) (*record.State, error) {
	for _, s := range p.states {
		if s.N == n {
			return s, nil
		}
	}
	return nil, query.ErrCollected
}

// TestChangesOfTheStore compares changes in a real engine with the difference of two naive answers. The rows of the
// past before are still in the table, and so are those of another tenant.
func TestChangesOfTheStore(t *testing.T) {
	t.Parallel()
	conn, err := clickhouse.Open(chdbtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, c := range []*catalog.Catalog{oracle.Catalog(), narrowCatalog()} {
		if err := conn.Exec(t.Context(), sqlschema.CreateTable(c, c.Views["flights"])); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := batchview.New(conn, batchview.DefaultConfig(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(batch.Close)
	found := 0
	for seed := range 6 {
		p := &storedPast{past: rapid.Custom(func(t *rapid.T) *past {
			p := drawPast(t, 8)
			p.drawQuestion(t)
			p.sides[0].landed = len(p.events) / 2
			return p
		}).Example(seed), conn: conn}
		p.store(t, uint64(2+2*seed))
		a, err := p.reader(t, p, batch).Changes(t.Context(), &p.question, p.tenant)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := p.check(a); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		found += a.Sum.Added + a.Sum.Changed + a.Sum.Removed
		a.Close()
	}
	if found < 20 {
		t.Fatalf("only %d changes were compared", found)
	}
}

// store writes the rows of both publications, with versions from ver on.
func (p *storedPast) store(t *testing.T, ver uint64) {
	t.Helper()
	for i := range p.states {
		s := p.state(i)
		view := s.Views["flights"]
		var pinned []record.BucketVersion
		for _, b := range view.Buckets {
			if b.Rows == 0 {
				continue
			}
			if b.Ver == 1 && i == 1 && p.sides[0].narrow == p.sides[1].narrow {
				pinned = append(pinned, p.states[0].Views["flights"].VersionsBetween(b.Bucket, b.Bucket+1)...)
				continue
			}
			b.Ver = ver + uint64(i)
			b.Rows = p.insert(t, i, b)
			p.readChecksum(t, i, &b)
			pinned = append(pinned, b)
		}
		view.Buckets = pinned
		s.Views = map[string]record.ViewState{"flights": view}
		p.states[i] = s
	}
}

// insert writes the rows of a bucket, and returns how many there are.
func (p *storedPast) insert(t *testing.T, i int, b record.BucketVersion) int64 {
	t.Helper()
	c := p.sides[i].catalog()
	view := c.Views["flights"]
	batch, err := p.conn.PrepareBatch(t.Context(), "INSERT INTO "+p.table(i))
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	_, counted := p.landed(i, b.Bucket)
	rows := int64(0)
	for _, tenant := range []string{"default", "other"} {
		var events []oracle.Event
		for _, e := range counted {
			if e.tenant == tenant {
				events = append(events, e.Event)
			}
		}
		q := &query.Query{View: "flights", From: time.UnixMicro(b.Bucket), To: time.UnixMicro(b.Bucket).Add(time.Hour),
			Granularity: "1m", GroupBy: view.Dimensions}
		scan, err := q.Resolve(c, tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range oracle.Rows(scan, events) {
			values := []any{time.UnixMicro(b.Bucket).UTC(), b.Ver, tenant, time.UnixMicro(r.Events[0].Time).UTC()}
			values = append(append(values, r.Keys...), uint64(len(r.Events)))
			for i, m := range scan.Measures {
				if scan.Shared(i) == i {
					values = append(values, r.Stored(m)...)
				}
			}
			if err := batch.Append(values...); err != nil {
				t.Fatal(err)
			}
			rows++
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func (p *storedPast) table(i int) string {
	c := p.sides[i].catalog()
	return sqlschema.Quote(sqlschema.Table(c.Views["flights"], c.Digest(c.Views["flights"])))
}

func (p *storedPast) readChecksum(t *testing.T, i int, b *record.BucketVersion) {
	t.Helper()
	c := p.sides[i].catalog()
	checksum, err := sqlschema.Checksum(sqlschema.Columns(c, c.Views["flights"]))
	if err == nil {
		err = p.conn.QueryRow(t.Context(), fmt.Sprintf("SELECT %s FROM %s WHERE _ver = %d AND _bucket = "+
			"fromUnixTimestamp64Micro(toInt64(%d), 'UTC')", checksum, p.table(i), b.Ver, b.Bucket)).Scan(&b.Checksum)
	}
	if err != nil {
		t.Fatal(err)
	}
}
