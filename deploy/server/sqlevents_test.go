package server

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/server/keys"
	"recount/schemas/access"
	"recount/schemas/catalog"
)

// cells and events of the tests give the same rows: those of a view, and what its events add up to.
const (
	shopCells = "SELECT time, shop, region, n, total, best, spent, twice, users FROM sales ORDER BY ALL"
	shopSums  = "SELECT toDateTime64(toStartOfMinute(time), 6, 'UTC') AS minute, shop, region, count(), sum(amount), " +
		"max(amount), sum(price), sum(double), uniqExact(user) FROM events_sale GROUP BY minute, shop, region " +
		"ORDER BY ALL"
	lateCells = "SELECT time, shop, items FROM later ORDER BY ALL"
	lateSums  = "SELECT toDateTime64(toStartOfMinute(time), 6, 'UTC') AS minute, shop, sum(items) FROM events_sale " +
		"GROUP BY minute, shop ORDER BY ALL"
)

// TestEventsAddUpToViews sends random events of two tenants with copies, late events, times that the server assigns and
// fields that are declared later or otherwise. After each publication, the rows of a view are those that the raw events
// of SQL add up to. It is not parallel: a process has one embedded ClickHouse.
func TestEventsAddUpToViews(t *testing.T) {
	cfg := bareConfig(t)
	cfg.Log.Partitions = 2
	cfg.Landing.Interval = 50 * time.Millisecond
	cfg.Events = map[string]*catalog.EventType{"sale": {Fields: []catalog.Field{
		{Name: "amount", Type: catalog.Int64}, {Name: "double", Type: catalog.Int64, Expression: "amount * 2"},
		{Name: "price", Type: "decimal(10,2)"}, {Name: "region", Type: catalog.String, Path: []string{"at", "region"}},
		{Name: "shop", Type: catalog.String}, {Name: "user", Type: catalog.String}}}}
	cfg.Views = map[string]*catalog.View{"sales": {Event: "sale", Cell: time.Minute,
		Dimensions: []string{"shop", "region"}, Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "total", Kind: catalog.Sum, Field: "amount"}, {Name: "best", Kind: catalog.Max, Field: "amount"},
			{Name: "spent", Kind: catalog.Sum, Field: "price"}, {Name: "twice", Kind: catalog.Sum, Field: "double"},
			{Name: "users", Kind: catalog.Distinct, Field: "user"}}}}
	tenants, admin := shopKeys(t, &cfg)
	s, local := play(t, cfg, AllRoles)
	local.Close()
	jobs := shopClient(t, s, admin)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var shops []*shop
	for _, name := range slices.Sorted(maps.Keys(tenants)) {
		shops = append(shops, &shop{name: name, client: shopClient(t, s, tenants[name]), counted: map[string]bool{}})
	}
	for round := range 4 {
		if round == 2 { // items is declared, and price gets another type.
			changeShop(t, jobs)
		}
		for _, x := range shops {
			x.send(t, r, round)
		}
		for _, x := range shops {
			x.waitPublished(t, jobs)
			compareSQL(t, x, shopCells, shopSums)
			if round >= 2 {
				compareSQL(t, x, lateCells, lateSums)
			}
			if got := x.sql(t, "SELECT countIf(NOT _copy), countIf(_copy) FROM events_sale_all FORMAT TSV"); got !=
				fmt.Sprintf("%d\t%d\n", len(x.counted), x.sent-len(x.counted)) {
				t.Errorf("%s, round %d: got %q of %d events and %d that count", x.name, round, got, x.sent,
					len(x.counted))
			}
			if got := x.sql(t, "SELECT uniqExact(source) = 1, any(source) FROM events_sale_all FORMAT TSV"); got !=
				"1\t"+x.name+"\n" {
				t.Errorf("%s reads events of %q", x.name, got)
			}
		}
	}
}

// shopKeys writes a file of keys for two tenants and an administrator.
func shopKeys(t *testing.T, cfg *Config) (tenants map[string]string, admin string) {
	t.Helper()
	tenants = map[string]string{"acme": "", "globex": ""}
	var all []keys.Key
	for name := range tenants {
		key, secret := keys.New(name, access.Ingest|access.Query, time.Now(), time.Time{})
		all = append(all, key)
		tenants[name] = secret
	}
	key, admin := keys.New("operator", access.AllScopes, time.Now(), time.Time{})
	raw, err := keys.Encode(append(all, key))
	cfg.Auth.KeysFile = filepath.Join(t.TempDir(), "keys.json")
	if err == nil {
		err = os.WriteFile(cfg.Auth.KeysFile, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tenants, admin
}

func shopClient(t *testing.T, s *Server, key string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: s.URL(), Key: key, Retry: client.Retry{Attempts: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func changeShop(t *testing.T, c *client.Client) {
	t.Helper()
	if _, err := c.PutEventType(t.Context(), "sale", []byte(`{"fields":{"amount":"int64","double":{"type":"int64",`+
		`"expression":"amount * 2"},"price":"decimal(12,3)","region":{"type":"string","path":"at.region"},`+
		`"shop":"string","user":"string","items":"int64"}}`), client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutView(t.Context(), "later", []byte(`{"event":"sale","dimensions":["shop"],`+
		`"measures":{"items":{"sum":"items"}}}`), client.EditOptions{}); err != nil {
		t.Fatal(err)
	}
}

// shop is a tenant.
type shop struct {
	name    string
	client  *client.Client
	sent    int
	counted map[string]bool // identity and bucket of the events that count
}

// send sends random events. An id has many of them, at any of three hours. Ids of events without a time are others,
// because in which hour they are is not known here.
func (x *shop) send(t *testing.T, r *rand.Rand, round int) {
	t.Helper()
	var lines strings.Builder
	start := time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	for range 200 {
		id := fmt.Sprint(r.IntN(300))
		at := start.Add(time.Duration(r.IntN(180)) * time.Minute)
		clock := fmt.Sprintf(`"time":%q,`, at.Format(time.RFC3339))
		place := id + at.Format(" 15")
		if r.IntN(5) == 0 {
			id = "now" + id
			clock = ""
			place = id
		}
		var data []string
		for _, v := range []string{fmt.Sprintf(`"shop":"s%d"`, r.IntN(3)), fmt.Sprintf(`"user":"u%d"`, r.IntN(9)),
			fmt.Sprintf(`"amount":%d`, r.IntN(100)-50), fmt.Sprintf(`"price":%d.%02d`, r.IntN(100), r.IntN(100)),
			fmt.Sprintf(`"at":{"region":"r%d"}`, r.IntN(2)), fmt.Sprintf(`"items":%d`, r.IntN(5)),
			`"note":"it's"`} {
			if r.IntN(4) > 0 {
				data = append(data, v)
			}
		}
		fmt.Fprintf(&lines, `{"specversion":"1.0","type":"sale","source":%q,"id":%q,%s"data":{%s}}`+"\n", x.name, id,
			clock, strings.Join(data, ","))
		x.counted[place] = true
		x.sent++
	}
	answer, err := x.client.SendLines(t.Context(), []byte(lines.String()))
	if err != nil || len(answer.Rejected) > 0 {
		t.Fatalf("round %d: %v, %+v", round, err, answer)
	}
}

// waitPublished runs the job recompute until all events that count are in the batch view.
func (x *shop) waitPublished(t *testing.T, jobs *client.Client) {
	t.Helper()
	want := fmt.Sprintln(len(x.counted))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := jobs.RunJob(ctx, "recompute"); err != nil {
			t.Fatal(err)
		}
		if x.sql(t, "SELECT sum(n) FROM sales FORMAT TSV") == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: %s of %s events are published", x.name, x.sql(t, "SELECT sum(n) FROM sales FORMAT TSV"), want)
}

func (x *shop) sql(t *testing.T, statement string) string {
	t.Helper()
	a, err := x.client.SQL(t.Context(), client.Statement{Query: statement})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer a.Close()
	body, err := io.ReadAll(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// compareSQL runs two statements, whose rows must be the same.
func compareSQL(t *testing.T, x *shop, cells, events string) {
	t.Helper()
	want := strings.Split(x.sql(t, cells+" FORMAT TSV"), "\n")
	got := strings.Split(x.sql(t, events+" FORMAT TSV"), "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("%s: row %d differs in\n%s\n%q\n%s\n%q", x.name, i, cells, want[min(i, len(want)-1)], events,
				got[min(i, len(got)-1)])
		}
	}
}
