package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"recount/schemas/position"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/oracle"
	"recount/serving/reader"
)

// reachable has receipts that name message 3 of the only partition, so answers must reach 4.
func reachable(_ context.Context, m *query.MinThrough) error {
	m.Next = []uint64{4}
	for _, r := range m.Receipts {
		if r != "AgreenReceipt" {
			return invalid("min_through", "%q is of another installation", r)
		}
	}
	if len(m.Offsets) > 0 {
		m.Next = m.Offsets
	}
	return nil
}

// TestMinThroughInEveryForm asks by POST and GET, with receipts and offsets that are reached, that are not, and that
// are none.
func TestMinThroughInEveryForm(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) { p.MinThrough = reachable })
	with := func(members string) string { return strings.Replace(hourly, "{", "{"+members+",", 1) }
	for members, want := range map[string]string{
		`"min_through":"AgreenReceipt"`:                            "",
		`"min_through":["AgreenReceipt","AgreenReceipt"]`:          "",
		`"min_through":[4]`:                                        "",
		`"min_through":null`:                                       "",
		`"min_through":[5],"wait":"0s"`:                            "504 not_reached min_through",
		`"min_through":"AgreenReceipt","mode":"exact","wait":"0s"`: "504 not_reached min_through",
		`"min_through":[5],"mode":"exact","as_of":17`:              "400 invalid_query min_through",
		`"min_through":"Ared"`:                                     "400 invalid_query min_through",
		`"min_through":[]`:                                         "400 invalid_query min_through",
		`"min_through":4`:                                          "400 invalid_query min_through",
		`"min_through":["4"]`:                                      "400 invalid_query min_through",
		`"min_through":[4.5]`:                                      "400 invalid_query min_through",
		`"min_through":[4,"AgreenReceipt"]`:                        "400 invalid_query min_through",
		`"min_through":[4],"wait":"soon"`:                          "400 invalid_query wait",
		`"min_through":[4],"wait":"1h"`:                            "400 invalid_query wait",
		`"wait":"1s"`:                                              "400 invalid_query wait",
		`"wait":""`:                                                "400 invalid_query wait",
		`"max_staleness":""`:                                       "400 invalid_query max_staleness",
		`"max_staleness":null,"wait":null`:                         "",
		`"max_staleness":"1h"`:                                     "",
		`"max_staleness":"1ms"`:                                    "503 too_stale max_staleness",
		`"max_staleness":"-1s"`:                                    "400 invalid_query max_staleness",
	} {
		res, body := call(a, "POST", "/v1/query", with(members))
		got := ""
		if res.StatusCode != http.StatusOK {
			p := decodeProblem(t, res, body)
			got = fmt.Sprint(p.Status, " ", p.Code, " ", p.Field)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q: %s", members, got, want, body)
		}
	}
	for parameters, want := range map[string]int{"min_through=AgreenReceipt": 200, "min_through=4": 200,
		"min_through=AgreenReceipt,AgreenReceipt&max_staleness=1h": 200, "min_through=5&wait=0s": 504,
		"min_through=": 400, "wait=": 400, "max_staleness=": 400, "min_through=4&wait=1h": 400,
		"max_staleness=1ms": 503} {
		res, body := call(a, "GET", "/v1/query?view=flights&"+parameters, "")
		if res.StatusCode != want {
			t.Errorf("%s: got %d, want %d: %s", parameters, res.StatusCode, want, body)
		}
	}
	res, body := call(a, "POST", "/v1/queries", `{"queries":[`+with(`"min_through":[4]`)+","+
		with(`"min_through":[5],"wait":"0s"`)+`]}`)
	if res.StatusCode != 200 || !strings.Contains(body, `"rows":[{`) || !strings.Contains(body, `"not_reached"`) {
		t.Errorf("several queries: %s", body)
	}
}

// TestWaitingHoldsNoPlace: a query waits for a receipt while the only place is free for others, and gets an answer when
// the real-time views have come so far. More than may wait are refused.
func TestWaitingHoldsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLayers()
		began := time.Now()
		a := newAPI(t, l, func(c *Config, p *Parts) {
			c.MaxConcurrent = 1
			p.MinThrough = reachable
			r, err := reader.New(reader.Config{Catalog: oracle.Catalog(), Publications: l, Batch: batch{l},
				Live: oracle.OneByOne(live{l}.scan),
				Reach: func(*query.Scan, []position.Offset) (*query.LivePart, error) {
					reached := uint64(3)
					if time.Since(began) > 5*time.Second {
						reached = 4
					}
					return &query.LivePart{Through: []position.Offset{{Seq: reached}}}, nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			p.Answerer = r
		})
		codes := make(chan int)
		go func() {
			res, _ := call(a, "POST", "/v1/query", strings.Replace(hourly, "{", `{"min_through":[4],`, 1))
			codes <- res.StatusCode
		}()
		synctest.Wait()
		if a.lobby.count() != 1 {
			t.Errorf("%d queries wait, want 1", a.lobby.count())
		}
		if res, body := call(a, "POST", "/v1/query", hourly); res.StatusCode != 200 || time.Since(began) > 0 {
			t.Errorf("another query: %d after %s: %s", res.StatusCode, time.Since(began), body)
		}
		for a.lobby.enter("other") {
		}
		res, body := call(a, "POST", "/v1/query", strings.Replace(hourly, "{", `{"min_through":[4],`, 1))
		if p := decodeProblem(t, res, body); p.Code != "too_many_queries" || p.Status != 429 {
			t.Errorf("one too many: %s", body)
		}
		if code := <-codes; code != 200 || time.Since(began) < 5*time.Second {
			t.Errorf("got %d after %s", code, time.Since(began))
		}
	})
}

// slowBatch takes a while for each part.
type slowBatch struct{ batch }

func (b slowBatch) Scan(ctx context.Context, state *record.State, scan *query.Scan, opts batchview.Options) (
	*query.Part, error) {
	time.Sleep(20 * time.Millisecond)
	return b.batch.Scan(ctx, state, scan, opts)
}

// TestAllThatWaitedGetAPlace: queries that waited for one event all come to the gate when it is there. Those with
// patience left wait for a place, each is counted once by the tenant's rate, and one whose patience ends is refused.
func TestAllThatWaitedGetAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLayers()
		began := time.Now()
		admitted := atomic.Int64{}
		a := newAPI(t, l, func(c *Config, p *Parts) {
			c.MaxConcurrent = 1
			c.MaxQueued = 2
			p.MinThrough = reachable
			p.Admit = func(string, int) time.Duration {
				admitted.Add(1)
				return 0
			}
			r, err := reader.New(reader.Config{Catalog: oracle.Catalog(), Publications: l, Batch: slowBatch{batch{l}},
				Live: oracle.OneByOne(live{l}.scan),
				Reach: func(*query.Scan, []position.Offset) (*query.LivePart, error) {
					reached := uint64(3)
					if time.Since(began) > 5*time.Second {
						reached = 4
					}
					return &query.LivePart{Through: []position.Offset{{Seq: reached}}}, nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			p.Answerer = r
		})
		codes := make(chan int)
		ask := func(wait string) {
			members := `{"min_through":[4],"wait":"` + wait + `",`
			res, _ := call(a, "POST", "/v1/query", strings.Replace(hourly, "{", members, 1))
			codes <- res.StatusCode
		}
		got := map[int]int{}
		for range 100 {
			go ask("9s")
		}
		for range 100 {
			got[<-codes]++
		}
		if got[200] != 100 || admitted.Load() != 100 || a.lobby.count() != 0 {
			t.Errorf("patient: got %v with %d counted, and %d wait", got, admitted.Load(), a.lobby.count())
		}
		for range 20 { // The event is there, so all their patience is for a place. Two more may wait when it ends.
			go ask("100ms")
		}
		for range 20 {
			got[<-codes]++
		}
		if running, waiting := a.gate.count(); got[200] < 105 || got[200] > 109 || got[429] != 120-got[200] ||
			running+waiting+a.lobby.count()+len(a.gate.lines) != 0 {
			t.Errorf("impatient: got %v", got)
		}
	})
}

// TestLobbyIsShared: with several tenants, one may have three quarters of the queries that wait.
func TestLobbyIsShared(t *testing.T) {
	t.Parallel()
	l := newLobby(true)
	for _, tenant := range []string{"one", "two"} {
		for l.enter(tenant) {
		}
	}
	if l.tenants["one"] != maxAwaiting/4*3 || l.tenants["two"] != maxAwaiting/4 {
		t.Errorf("got %v", l.tenants)
	}
	for tenant, n := range map[string]int{"one": l.tenants["one"], "two": l.tenants["two"]} {
		for range n {
			l.leave(tenant)
		}
	}
	if l.count() != 0 || len(l.tenants) != 0 {
		t.Errorf("%d wait after all have left: %v", l.count(), l.tenants)
	}
}
