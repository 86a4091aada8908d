package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/problem"
)

// sender sends events of one tenant and remembers them.
type sender struct {
	name   string
	client *client.Client
	rng    *rand.Rand

	mu   sync.Mutex
	sent map[string]int // events as they are sent, with how often
}

// send sends some events in one request. An id may come again, as another event or as the same one.
func (x *sender) send(t *testing.T, n int) {
	t.Helper()
	var lines strings.Builder
	var events []string
	for range n {
		number := x.rng.IntN(400)
		// What an id has follows from it, so that the same id is a copy.
		r := rand.New(rand.NewPCG(uint64(number), 0))
		data := map[string]any{}
		values := map[string]any{"shop": fmt.Sprint("s<", r.IntN(3), ">"), "amount": r.IntN(9),
			"ratio": float64(r.IntN(99)) / 8, "price": json.Number(fmt.Sprintf("%d.%02d", r.IntN(9), r.IntN(90)+10)),
			"at": "2024-05-01T10:00:00.5Z", "ok": true, "place": map[string]any{"region": "r", "x": []any{1, nil}},
			"note": "it's \"new\""}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if r.IntN(4) > 0 {
				data[name] = values[name]
			}
		}
		e := map[string]any{"specversion": "1.0", "type": "sale", "source": x.name, "id": fmt.Sprint(number),
			"time": time.Date(2024, 5, 1, 10, r.IntN(180), 0, 0, time.UTC), "trace": "t1"}
		if len(data) > 0 {
			e["data"] = data
		}
		if r.IntN(3) == 0 {
			e["subject"] = "someone"
		}
		raw, err := json.Marshal(e)
		if err != nil {
			t.Error(err)
		}
		events = append(events, canonicalEvent(raw))
		fmt.Fprintf(&lines, "%s\n", raw)
	}
	answer, err := x.client.SendLines(t.Context(), []byte(lines.String()))
	if err != nil || len(answer.Rejected) > 0 {
		t.Errorf("%v, %+v", err, answer)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range events {
		x.sent[e]++
	}
}

// canonicalEvent is an event with its members in order.
func canonicalEvent(raw []byte) string {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	if data, ok := v["data"].(map[string]any); ok {
		if n, ok := data["ratio"].(json.Number); ok { // It is stored as a float64.
			f, _ := n.Float64()
			data["ratio"] = f
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// list reads all pages.
func (x *sender) list(t *testing.T, v url.Values, between func()) (events []openapi.StoredEvent) {
	t.Helper()
	v.Set("type", "sale")
	for {
		page, err := x.client.Events(t.Context(), v)
		if err != nil || len(page.Missing) > 0 {
			t.Fatalf("%v: %v, missing %v", v, err, page.Missing)
		}
		events = append(events, page.Events...)
		if page.Cursor == "" {
			return events
		}
		v.Set("cursor", page.Cursor)
		between()
	}
}

// TestListEvents lists the events of two tenants, while others arrive, land and are published. What was sent before the
// first page is listed as often as it was sent, as it was sent, and to its own tenant. It is not parallel: a process
// has one embedded ClickHouse.
func TestListEvents(t *testing.T) {
	cfg := bareConfig(t)
	cfg.Log.Partitions = 3
	cfg.Landing.Interval = 30 * time.Millisecond
	cfg.Events = map[string]*catalog.EventType{"sale": {Fields: []catalog.Field{
		{Name: "amount", Type: catalog.Int64}, {Name: "at", Type: catalog.Timestamp}, {Name: "ok", Type: catalog.Bool},
		{Name: "price", Type: "decimal(10,2)"}, {Name: "ratio", Type: catalog.Float64},
		{Name: "region", Type: catalog.String, Path: []string{"place", "region"}},
		{Name: "shop", Type: catalog.String}}}}
	cfg.Views = map[string]*catalog.View{"sales": {Event: "sale", Cell: time.Minute,
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}}}}
	tenants, admin := shopKeys(t, &cfg)
	s, local := play(t, cfg, AllRoles)
	local.Close()
	jobs := shopClient(t, s, admin)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var senders []*sender
	for name, key := range tenants {
		senders = append(senders, &sender{name: name, client: shopClient(t, s, key),
			rng: rand.New(rand.NewPCG(seed, uint64(len(senders)))), sent: map[string]int{}})
	}
	for round := range 3 {
		for _, x := range senders {
			for range 10 {
				x.send(t, 1+x.rng.IntN(30))
			}
			checkList(t, x, jobs, round)
		}
	}
	checkListedIsACopy(t, senders[0])
	checkListErrors(t, senders)
}

// checkList compares a list with what was sent before it began.
func checkList(t *testing.T, x *sender, jobs *client.Client, round int) {
	t.Helper()
	want := map[string]int{}
	for e, n := range x.sent {
		want[e] = n
	}
	later, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() {
		for later.Err() == nil {
			x.send(t, 5)
			_, _ = jobs.RunJob(later, "recompute") // It may run already.
		}
	})
	events := x.list(t, url.Values{"limit": {"17"}}, func() { time.Sleep(20 * time.Millisecond) })
	stop()
	background.Wait()
	places := map[openapi.Position]bool{}
	got := map[string]int{}
	states := map[openapi.ReceiptState]int{}
	for i := range events {
		raw, err := json.Marshal(events[i].Event)
		if err != nil {
			t.Fatal(err)
		}
		got[canonicalEvent(raw)]++
		states[events[i].State]++
		if places[events[i].StoredAt.Position] {
			t.Errorf("%+v is listed twice", events[i].StoredAt)
		}
		places[events[i].StoredAt.Position] = true
	}
	// What arrived between the look at x.sent and the first page may be among them.
	for e, n := range want {
		if got[e] < n || got[e] > x.sent[e] {
			t.Errorf("%s, round %d: listed %d times, sent %d to %d times: %s", x.name, round, got[e], n, x.sent[e], e)
		}
	}
	for e := range got {
		if x.sent[e] == 0 {
			t.Errorf("%s, round %d: listed, but never sent: %s", x.name, round, e)
		}
	}
	t.Logf("%s, round %d: %d events, %v", x.name, round, len(events), states)
}

// checkListedIsACopy sends a listed event again: it is a copy with the same payload.
func checkListedIsACopy(t *testing.T, x *sender) {
	t.Helper()
	events := x.list(t, url.Values{"limit": {"5000"}, "where": {"amount between 2 and 7 and shop prefix s"},
		"from": {"2024-05-01T11:00:00Z"}, "to": {"2024-05-01T12:00:00Z"}}, func() {})
	if len(events) == 0 {
		t.Fatal("no event has the conditions")
	}
	var e struct {
		ID   string
		Time time.Time
		Data struct{ Amount int }
	}
	for i := range events {
		raw, err := json.Marshal(events[i].Event)
		if err == nil {
			err = json.Unmarshal(raw, &e)
		}
		if err != nil || e.Data.Amount < 2 || e.Data.Amount > 7 || e.Time.Hour() != 11 {
			t.Errorf("%v: %s", err, raw)
		}
	}
	raw, err := json.Marshal(events[0].Event)
	if err == nil {
		_, err = x.client.SendLines(t.Context(), raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := x.client.Explain(t.Context(), x.name, e.ID, time.Time{})
	if err != nil || len(found.Events) == 0 {
		t.Fatal(err, found)
	}
	for _, c := range found.Events {
		if c.Conflict {
			t.Errorf("%+v conflicts", c)
		}
	}
}

// checkListErrors: a cursor goes neither with another question nor with another type.
func checkListErrors(t *testing.T, senders []*sender) {
	t.Helper()
	x := senders[0]
	page, err := x.client.Events(t.Context(), url.Values{"type": {"sale"}, "limit": {"3"}})
	if err != nil || page.Cursor == "" || len(page.Events) != 3 {
		t.Fatal(err, page)
	}
	_, err = x.client.Events(t.Context(), url.Values{"type": {"sale"}, "cursor": {page.Cursor},
		"where": {"amount = 1"}})
	wantProblem(t, err, http.StatusBadRequest, problem.InvalidQuery)
	_, err = x.client.Events(t.Context(), url.Values{"type": {"none"}})
	wantProblem(t, err, http.StatusNotFound, problem.UnknownEventType)
	_, err = x.client.Events(t.Context(), url.Values{"type": {"sale"}, "where": {"ratio = 1"}})
	wantProblem(t, err, http.StatusBadRequest, problem.InvalidQuery)
	// The cursor of another tenant says nothing but positions, and leads to the events of who asks.
	other, err := senders[1].client.Events(t.Context(), url.Values{"type": {"sale"}, "cursor": {page.Cursor}})
	if err == nil {
		for i := range other.Events {
			if got := string(other.Events[i].Event["source"]); got != fmt.Sprintf("%q", senders[1].name) {
				t.Errorf("an event of %s", got)
			}
		}
	}
}
