package explain

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"recount/batch/exact"
	"recount/batch/lake"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/deploy/embedded/s3server"
	"recount/schemas/eventbatch"
	"recount/schemas/openapi"
	"recount/schemas/position"
	"recount/schemas/record"
)

// benchRows is one partition of four of ten million events. The others are not read.
const benchRows = 2_500_000

// BenchmarkCold explains an event of ten million from an object store over HTTP, as a process that has just started:
// each time with a new client, and with the commit chain read from its records. The operating system has the files in
// its memory. ms/search is the search without the chain. ms/footers is a search that opens every object and reads no
// key: what it would still cost with a filter of the keys in each footer.
func BenchmarkCold(b *testing.B) {
	for _, objects := range []int{10, 1000} {
		b.Run(fmt.Sprintf("objects=%d", objects), func(b *testing.B) {
			address := fillStore(b, objects)
			search := time.Duration(0)
			footers := time.Duration(0)
			for b.Loop() {
				store, err := lake.Open(b.Context(), address)
				if err != nil {
					b.Fatal(err)
				}
				records := lake.NewCommitLog(store)
				chain, err := landing.LoadChain(b.Context(), records, 0)
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				explainOnce(b, store, records, chain, false)
				search += time.Since(began)
				b.StopTimer()
				began = time.Now()
				explainOnce(b, store, records, chain, true)
				footers += time.Since(began)
				store.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(search.Milliseconds())/float64(b.N), "ms/search")
			b.ReportMetric(float64(footers.Milliseconds())/float64(b.N), "ms/footers")
		})
	}
}

// noRows is an object of which only the footer is read.
type noRows struct{ exact.File }

func (noRows) Read(context.Context, []string, int64, int64) iter.Seq2[eventbatch.Columns, error] {
	return func(func(eventbatch.Columns, error) bool) {}
}

// explainOnce explains the event in the middle of the partition.
func explainOnce(b *testing.B, store *lake.Store, records record.CommitLog, chain *record.Chain, footers bool) {
	w := &world{t: b}
	cfg := w.store().cfg
	cfg.Chains = func(context.Context) ([]*record.Chain, error) { return []*record.Chain{chain}, nil }
	cfg.Records = records
	cfg.Newest = func(context.Context) (*record.State, error) { return record.EmptyState(1), nil }
	cfg.Open = func(ctx context.Context, o record.Object) (exact.File, error) {
		r, err := store.Open(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		f, err := object.Open(ctx, o, r)
		if footers {
			return noRows{f}, err
		}
		return f, err
	}
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	got, err := s.Explain(b.Context(), Question{Tenant: "a", Source: "shop", ID: fmt.Sprint(benchRows / 2)})
	if err != nil || got.Search.Rows != benchRows || !footers && len(got.Events) != 1 {
		b.Fatalf("%+v, %v", got, err)
	}
}

// fillStore writes the events of one partition as so many objects of an embedded store, with their commit records.
func fillStore(b *testing.B, objects int) lake.Config {
	server, err := s3server.Open(s3server.DefaultConfig(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	address := lake.DefaultConfig("s3://recount/data?endpoint=" + server.Endpoint())
	address.AccessKey = server.Credentials().AccessKey
	address.SecretKey = server.Credentials().SecretKey
	store, err := lake.Open(b.Context(), address)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	records := lake.NewCommitLog(store)
	chain := record.NewChain(0)
	commit := func(c *record.Commit) {
		c.Attempt = "a"
		c.Created = landed
		c.Previous = chain.Tip
		key := chain.NextKey()
		raw, err := c.Encode()
		if err == nil {
			_, err = chain.Extend(raw)
		}
		if err == nil {
			_, _, err = records.Create(b.Context(), key, raw)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	commit(&record.Commit{Kind: record.Seal, Start: 1, End: 1,
		Next: &record.Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: 1}})
	rng := rand.New(rand.NewPCG(1, 1))
	rows := benchRows / objects
	for n := range objects {
		table := object.NewTable("hit", 0, 1, time.Hour)
		c := benchColumns(b, rng, n*rows, rows)
		if err := table.Append(position.Offset{Epoch: 1, Seq: uint64(n + 1)}, 0, c); err != nil {
			b.Fatal(err)
		}
		raw, o, err := table.Encode()
		if err != nil {
			b.Fatal(err)
		}
		o.Key = fmt.Sprintf("data/%d.parquet", n)
		o.Tenants = map[string]int64{"a": o.Rows}
		if err := store.Put(b.Context(), o.Key, bytes.NewReader(raw), o.Size); err != nil {
			b.Fatal(err)
		}
		commit(&record.Commit{Kind: record.Segment, Epoch: 1, Start: uint64(n + 1), End: uint64(n + 2), Events: o.Rows,
			Objects: []record.Object{o}})
	}
	return address
}

// benchColumns returns events with ids from first on, one a millisecond.
func benchColumns(b *testing.B, rng *rand.Rand, first, rows int) eventbatch.Columns {
	events := make([]*sent, rows)
	for i := range events {
		status := rng.Int64N(600)
		events[i] = &sent{eventType: "hit", tenant: "a", source: "shop", id: fmt.Sprint(first + i), hash: rng.Uint64(),
			time: start.UnixMicro() + int64(first+i)*1000, page: fmt.Sprint("/", rng.IntN(1000)), status: &status,
			position: openapi.Position{}}
	}
	return columnsOf(b, events)
}
