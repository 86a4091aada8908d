package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/eventbatch"
)

// cappedCatalog has dimensions of every kind; tail is one that is also counted distinctly, and
// delay one that is also filtered by.
func cappedCatalog() *catalog.Catalog {
	c := testCatalog()
	e := c.Events["flight.departed"]
	e.Fields = slices.Insert(e.Fields, 3, catalog.Field{Name: "late", Type: catalog.Bool})
	c.Views = map[string]*catalog.View{"v": {Name: "v", Event: "flight.departed",
		Dimensions: []string{"origin", "tail", "delay", "late", "source", "subject"},
		Where:      []catalog.Filter{{Field: "delay", Op: catalog.Lt, Values: []any{int64(100)}}},
		Measures: []catalog.Measure{{Name: "n", Kind: catalog.Count},
			{Name: "d", Kind: catalog.Distinct, Field: "tail"}}}}
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

// decodeAs decodes an event of a tenant and day, whose members besides the identity are given.
func decodeAs(t testing.TB, d *decoder, c *caps, tenant string, day int, members string) *row {
	t.Helper()
	d.serve(tenant, c.of(tenant, testNow.AddDate(0, 0, day).UnixMicro()))
	d.start([]byte(`{"id":"1","type":"flight.departed","time":"2001-01-01T00:00:00Z",`+members+`}`), false, testNow)
	if f := d.event(); f != nil {
		t.Fatal(f)
	}
	return &d.row
}

// TestCaps lets two values pass and no third: not of the same tenant on the same day. What
// was sent stays in the event, whose hash does not depend on it.
func TestCaps(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 2)
	free, none := cappedDecoder(t, 0)
	for i, step := range []struct {
		tenant  string
		day     int
		members string
		want    string
	}{
		{"acme", 0, `"data":{"origin":"ORD"}`, ""},
		{"acme", 0, `"data":{"origin":"ATL"}`, ""},
		{"acme", 0, `"data":{"origin":"DFW"}`, "origin"},
		{"acme", 0, `"data":{"origin":"ORD"}`, ""}, // What stood there today goes on standing.
		{"acme", 0, `"data":{"origin":"DFW"}`, "origin"},
		{"acme", 0, `"data":{"origin":"x\"\\"}`, "origin"},
		{"acme", 0, `"data":{"origin":null}`, ""}, // No value is none too many.
		{"b", 0, `"data":{"origin":"DFW"}`, ""},   // Another tenant has its own two.
		{"acme", 1, `"data":{"origin":"DFW"}`, ""},
		{"acme", 1, `"data":{"origin":"ORD"}`, ""},
		{"acme", 1, `"data":{"origin":"ATL"}`, "origin"}, // Yesterday is forgotten.
		{"acme", 1, `"data":{"tail":"1","delay":1},"subject":"1"`, ""},
		{"acme", 1, `"data":{"tail":"2","delay":2},"subject":"2","source":"1"`, ""}, // No source is a source.
		{"acme", 1, `"data":{"tail":"3","delay":2},"subject":"2","source":"1"`, "tail"},
		{"acme", 1, `"data":{"tail":"1","delay":-3},"subject":"1"`, "delay"},
		{"acme", 1, `"data":{"tail":"1","delay":0},"subject":"3"`, "delay,subject"},
		{"acme", 1, `"data":{"origin":"ATL","tail":"4","delay":4},"subject":"4","source":"4"`,
			"delay,origin,source,subject,tail"},
	} {
		r := decodeAs(t, d, c, step.tenant, step.day, step.members)
		got := string(r.over)
		sent := fmt.Sprint(values(d))
		want := decodeAs(t, free, none, step.tenant, step.day, step.members)
		if got != step.want || len(want.over) > 0 {
			t.Errorf("step %d: %q are too many, want %q", i, got, step.want)
		}
		if r.hash != want.hash || sent != fmt.Sprint(values(free)) {
			t.Errorf("step %d: the event is not what was sent: %s", i, sent)
		}
	}
}

// TestCapsAtMidnight: requests of both days come mixed at midnight, and none makes the sets of the new
// day begin again.
func TestCapsAtMidnight(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 2)
	var over int
	for i := range 10 {
		if r := decodeAs(t, d, c, "acme", 1-i%2, fmt.Sprintf(`"data":{"tail":"%d"}`, i)); len(r.over) > 0 {
			over++
		}
	}
	if over != 8 {
		t.Errorf("%d of 10 values were too many for two places", over)
	}
	decodeAs(t, d, c, "acme", 400, `"data":{"tail":"0"}`)
	if r := decodeAs(t, d, c, "acme", 1, `"data":{"tail":"10"}`); len(r.over) > 0 {
		t.Error("the caps wait for the day of a clock that was wrong")
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
			if r := decodeAs(t, d, c, tenant, 0, fmt.Sprintf(`"data":{"tail":"%d"}`, i)); len(r.over) == 0 {
				n++
			}
		}
		return n
	}
	a := stood("acme")
	b := stood("b")
	if a != 49 || b != 24 { // And one entry each for their source.
		t.Errorf("%d and %d of 100", a, b)
	}
	if again := stood("acme"); again != 49 {
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
	for tenant, want := range map[string]Cap{"acme": {Most: 10, Values: 10, Overflowed: 8 * 40}, "b": {Most: 10}} {
		if got, ok := s.Cap(tenant, "flight.departed", "origin"); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", tenant, got, want)
		}
	}
	for _, name := range []string{"destination", "late"} {
		if _, ok := s.Cap("acme", "flight.departed", name); ok {
			t.Errorf("%s is capped", name)
		}
	}
	stand := map[any]bool{}
	over := 0
	for _, e := range log.events(t, 2) {
		if e.Fields[eventbatch.ColOverflow] == "origin" {
			over++
			continue
		}
		stand[e.Fields["origin"]] = true
	}
	if len(stand) != 10 || over != 8*40 {
		t.Errorf("%d values stand and %d events overflowed", len(stand), over)
	}
}

// TestCapsOfDeadLetters: what senders get wrong is theirs to choose, so a view of it is capped too.
func TestCapsOfDeadLetters(t *testing.T) {
	t.Parallel()
	cat := testCatalog()
	cfg := testConfig()
	log := &memoryLog{}
	cat.Events[deadletter.Type] = deadletter.EventType()
	cat.Views = map[string]*catalog.View{"rejections": {Name: "rejections", Event: deadletter.Type,
		Dimensions: []string{deadletter.FieldEventType}}}
	cfg.Values = 2
	s, err := New(cfg, cat, 1, log, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	var body strings.Builder
	for i := range 5 {
		fmt.Fprintf(&body, `{"id":"%d","type":"wrong%d"}`+"\n", i, i)
	}
	if w := ask(s, "acme", body.String()); w.Code != 400 {
		t.Fatal(w.Body)
	}
	over := 0
	for _, l := range log.letters(t, 1) {
		if l.Fields[eventbatch.ColOverflow] == deadletter.FieldEventType {
			over++
		}
	}
	if c, ok := s.Cap("acme", deadletter.Type, deadletter.FieldEventType); over != 3 || !ok ||
		c != (Cap{Most: 2, Values: 2, Overflowed: 3}) {
		t.Errorf("%d letters overflowed, %+v", over, c)
	}
}

// TestReplayIsCappedAsItsTenant: requests are used again, and the one before may have been another tenant's.
func TestReplayIsCappedAsItsTenant(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Values = 2
	s, err := New(cfg, cappedCatalog(), 1, &memoryLog{}, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	event := func(i int) string {
		return fmt.Sprintf(`{"id":"%d","type":"flight.departed","data":{"origin":"%d"}}`, i, i)
	}
	if w := ask(s, "acme", event(0)); w.Code != 200 {
		t.Fatal(w.Body)
	}
	var letters []Letter
	for i := range 4 {
		letters = append(letters, Letter{Raw: []byte(event(i)), Received: testNow})
	}
	for _, dry := range []bool{true, false} {
		if _, err := s.Replay("b", letters, dry); err != nil {
			t.Fatal(err)
		}
		want := Cap{Most: 2}
		if !dry {
			want.Values = 2
			want.Overflowed = 2
		}
		if c, _ := s.Cap("b", "flight.departed", "origin"); c != want {
			t.Errorf("dry run %v: %+v, want %+v", dry, c, want)
		}
		if c, _ := s.Cap("acme", "flight.departed", "origin"); c != (Cap{Most: 2, Values: 1}) {
			t.Errorf("dry run %v: the other tenant has %+v", dry, c)
		}
	}
}
