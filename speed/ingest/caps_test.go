package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
)

// cappedCatalog has origin as a dimension alone; tail is one that is also counted distinctly.
func cappedCatalog() *catalog.Catalog {
	c := testCatalog()
	c.Views = map[string]*catalog.View{"v": {Name: "v", Event: "flight.departed", Dimensions: []string{"origin", "tail", "delay"},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count}, {Name: "d", Kind: catalog.Distinct, Field: "tail"}}}}
	return c
}

func cappedDecoder(t testing.TB, most int) (*decoder, *caps) {
	t.Helper()
	cfg := testConfig()
	cfg.Values = most
	s, err := New(cfg, cappedCatalog(), 1, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.newRequest().dec, s.caps
}

// decodeAs decodes an event of a tenant and day, and returns origin, tail and what is kept beside.
func decodeAs(t testing.TB, d *decoder, c *caps, tenant string, day int, origin, more string) (got, tail string, extra map[string]any, hash uint64) {
	t.Helper()
	d.tenant, d.caps = tenant, c.of(tenant, testNow.AddDate(0, 0, day).UnixMicro())
	clear(d.sets)
	d.start([]byte(fmt.Sprintf(`{"id":"1","type":"flight.departed","time":"2001-01-01T00:00:00Z"%s,"data":{"origin":%q,"tail":%q}}`, more, origin, "N"+origin)), false, testNow)
	if f := d.event(); f != nil {
		t.Fatal(f)
	}
	if len(d.row.extra) > 0 {
		if err := json.Unmarshal(d.row.extra, &extra); err != nil {
			t.Fatalf("%v in %s", err, d.row.extra)
		}
	}
	v := values(d)
	return v["origin"].(string), v["tail"].(string), extra, d.row.hash
}

// TestCaps lets two values pass and no third: not of the same tenant on the same day. What
// was sent stays in the event, and the hash is that of what was sent.
func TestCaps(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 2)
	free, none := cappedDecoder(t, 0)
	for i, step := range []struct {
		tenant       string
		day          int
		origin, want string
	}{
		{"acme", 0, "ORD", "ORD"},
		{"acme", 0, "ATL", "ATL"},
		{"acme", 0, "DFW", catalog.Overflow},
		{"acme", 0, "ORD", "ORD"}, // What stood there today goes on standing.
		{"acme", 0, "DFW", catalog.Overflow},
		{"acme", 0, `x"\`, catalog.Overflow},
		{"b", 0, "DFW", "DFW"}, // Another tenant has its own two.
		{"acme", 1, "DFW", "DFW"},
		{"acme", 1, "ORD", "ORD"},
		{"acme", 1, "ATL", catalog.Overflow}, // Yesterday is forgotten.
	} {
		for _, more := range []string{"", `,"traceparent":"00-1"`} {
			got, tail, extra, hash := decodeAs(t, d, c, step.tenant, step.day, step.origin, more)
			if got != step.want || tail != "N"+step.origin {
				t.Errorf("step %d: got %q and %q", i, got, tail)
			}
			var kept any
			if step.want == catalog.Overflow {
				kept = map[string]any{"origin": step.origin}
			}
			if diff := cmp.Diff(kept, extra["overflow"]); diff != "" || (more == "") != (extra["attributes"] == nil) {
				t.Errorf("step %d: kept %v: %s", i, extra, diff)
			}
			if _, _, _, want := decodeAs(t, free, none, step.tenant, step.day, step.origin, more); hash != want {
				t.Errorf("step %d: the hash is not that of what was sent", i)
			}
		}
	}
}

// TestCapsOfAllShareTheirMemory: when the entries are used up, nobody has more than is left for others.
func TestCapsOfAllShareTheirMemory(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 1000)
	c.of("acme", testNow.UnixMicro())
	c.left.Store(100)
	stood := func(tenant string) (n int) {
		for i := range 100 {
			if got, _, _, _ := decodeAs(t, d, c, tenant, 0, fmt.Sprint(i), ""); got != catalog.Overflow {
				n++
			}
		}
		return n
	}
	if a, b := stood("acme"), stood("b"); a != 50 || b != 25 {
		t.Errorf("%d and %d of 100", a, b)
	}
	if again := stood("acme"); again != 50 {
		t.Errorf("%d stand later", again)
	}
}

// TestCapsHoldUnderManyRequests: requests at once of one tenant see one set.
func TestCapsHoldUnderManyRequests(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	cfg := testConfig()
	cfg.Values = 10
	s, err := New(cfg, cappedCatalog(), 2, log, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	done := make(chan struct{})
	for r := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			var body strings.Builder
			for i := range 50 {
				fmt.Fprintf(&body, `{"id":"%d-%d","type":"flight.departed","data":{"origin":"%d"}}`+"\n", r, i, i)
			}
			if w := ask(s, "acme", body.String()); w.Code != 200 {
				t.Error(w.Body)
			}
		}()
	}
	for range 8 {
		<-done
	}
	stand, over := map[any]bool{}, 0
	for _, e := range log.events(t, 2) {
		if e.Fields["origin"] == catalog.Overflow {
			over++
			continue
		}
		stand[e.Fields["origin"]] = true
	}
	if len(stand) != 10 || over != 8*40 {
		t.Errorf("%d values stand and %d events overflowed", len(stand), over)
	}
}
