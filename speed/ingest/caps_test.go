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

// cappedCatalog has dimensions of every kind. The view also counts distinct values of tail, and
// filters by delay.
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

func cappedDecoder(t testing.TB, values int) (*decoder, *caps) {
	t.Helper()
	cfg := testConfig()
	cfg.Values = values
	s, err := New(cfg, cappedCatalog(), 1, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.newRequest(s.current()).decoder, s.caps
}

// decodeAs decodes an event of a tenant and day. members are those besides its identity.
func decodeAs(t testing.TB, d *decoder, c *caps, tenant string, day int, members string) *row {
	t.Helper()
	d.setTenant(tenant, c.setsOf(tenant, testNow.AddDate(0, 0, day).UnixMicro()))
	d.start([]byte(`{"id":"1","type":"flight.departed","time":"2001-01-01T00:00:00Z",`+members+`}`), false, testNow)
	if refused := d.decode(); refused != nil {
		t.Fatal(refused)
	}
	return &d.row
}

// TestCaps lets two values of a tenant and day pass, and no third. The event and its hash stay as
// they were sent.
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
		{"acme", 0, `"data":{"origin":"ORD"}`, ""}, // A value that was let in stays in for the day.
		{"acme", 0, `"data":{"origin":"DFW"}`, "origin"},
		{"acme", 0, `"data":{"origin":"x\"\\"}`, "origin"},
		{"acme", 0, `"data":{"origin":null}`, ""}, // A missing value never overflows.
		{"b", 0, `"data":{"origin":"DFW"}`, ""},   // Another tenant has two values of its own.
		{"acme", 1, `"data":{"origin":"DFW"}`, ""},
		{"acme", 1, `"data":{"origin":"ORD"}`, ""},
		{"acme", 1, `"data":{"origin":"ATL"}`, "origin"}, // The values of yesterday do not count.
		{"acme", 1, `"data":{"tail":"1","delay":1},"subject":"1"`, ""},
		{"acme", 1, `"data":{"tail":"2","delay":2},"subject":"2","source":"1"`, ""}, // A missing source is a value.
		{"acme", 1, `"data":{"tail":"3","delay":2},"subject":"2","source":"1"`, "tail"},
		{"acme", 1, `"data":{"tail":"1","delay":-3},"subject":"1"`, "delay"},
		{"acme", 1, `"data":{"tail":"1","delay":0},"subject":"3"`, "delay,subject"},
		{"acme", 1, `"data":{"origin":"ATL","tail":"4","delay":4},"subject":"4","source":"4"`,
			"delay,origin,source,subject,tail"},
	} {
		r := decodeAs(t, d, c, step.tenant, step.day, step.members)
		got := string(r.overflow)
		stored := fmt.Sprint(values(d))
		want := decodeAs(t, free, none, step.tenant, step.day, step.members)
		if got != step.want || len(want.overflow) > 0 {
			t.Errorf("step %d: dimensions %q overflow, want %q", i, got, step.want)
		}
		if r.hash != want.hash || stored != fmt.Sprint(values(free)) {
			t.Errorf("step %d: the event is not as it was sent: %s", i, stored)
		}
	}
}

// TestCapsCountNumbersInTexts: a number in a dimension of texts counts as the text that readers make of it, also if it
// is kept as it was sent.
func TestCapsCountNumbersInTexts(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Values = 2
	declared := cappedCatalog()
	fields := declared.Events["flight.departed"].Fields
	i := slices.IndexFunc(fields, func(f catalog.Field) bool { return f.Name == "origin" })
	fields[i].Coerce = true
	fields[i].Nulls = []string{"2.5"}
	s, err := New(cfg, declared, 1, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := s.newRequest(s.current()).decoder
	for _, step := range []struct{ value, want string }{{"1.50", ""}, {`"1.5"`, ""}, {"1e3", ""}, {"1000", ""},
		{"1.5", ""}, {"2.50", ""}, {"1.60", "origin"}, {"7", "origin"}, {"10e2", ""}} {
		r := decodeAs(t, d, s.caps, "acme", 0, `"data":{"origin":`+step.value+`}`)
		if got := string(r.overflow); got != step.want {
			t.Errorf("%s: dimensions %q overflow, want %q", step.value, got, step.want)
		}
	}
}

// TestCapsByEventDay sends the values of three days in one day. Each day of event time has a limit of its own.
func TestCapsByEventDay(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 60)
	d.setTenant("acme", c.setsOf("acme", testNow.UnixMicro()))
	for day := range 3 {
		overflowed := 0
		for i := range 70 {
			d.start(fmt.Appendf(nil, `{"id":"1","type":"flight.departed","time":"2001-01-0%dT23:59:59Z",`+
				`"data":{"tail":"%d-%d"}}`, day+1, day, i), false, testNow)
			if refused := d.decode(); refused != nil {
				t.Fatal(refused)
			}
			overflowed += len(d.row.overflow) / len("tail")
		}
		if overflowed != 10 {
			t.Errorf("day %d: %d of 70 values overflowed a cap of 60, want 10", day, overflowed)
		}
	}
}

// TestCapsBoundTheirSets sends one value for each of many days. Sets cost memory too, so a tenant without room
// gets no further ones.
func TestCapsBoundTheirSets(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 10)
	sets := c.setsOf("acme", testNow.UnixMicro())
	c.left.Store(1000)
	d.setTenant("acme", sets)
	for day := range 200 {
		at := time.Date(2001, 1, 1+day, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
		d.start(fmt.Appendf(nil, `{"id":"1","type":"flight.departed","time":%q,"data":{"tail":"x"}}`, at), false,
			testNow)
		if refused := d.decode(); refused != nil {
			t.Fatal(refused)
		}
	}
	if n := len(sets.sets); n > 1000/setEntries {
		t.Errorf("the tenant has %d sets, want at most %d", n, 1000/setEntries)
	}
}

// TestCapsAtMidnight mixes requests of two days. Those of the old day must not make the sets of
// the new day begin again.
func TestCapsAtMidnight(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 2)
	var overflowed int
	for i := range 10 {
		if r := decodeAs(t, d, c, "acme", 1-i%2, fmt.Sprintf(`"data":{"tail":"%d"}`, i)); len(r.overflow) > 0 {
			overflowed++
		}
	}
	if overflowed != 8 {
		t.Errorf("%d of 10 values overflowed a cap of 2, want 8", overflowed)
	}
	decodeAs(t, d, c, "acme", 400, `"data":{"tail":"0"}`)
	if r := decodeAs(t, d, c, "acme", 1, `"data":{"tail":"10"}`); len(r.overflow) > 0 {
		t.Error("after a clock that was far ahead was corrected, the caps still use its day")
	}
}

// TestCapsShareTheirMemory checks that no tenant has more entries than are left for the others.
func TestCapsShareTheirMemory(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 1000)
	c.setsOf("acme", testNow.UnixMicro())
	c.left.Store(1000)
	admitted := func(tenant string) (n int) {
		for i := range 600 {
			if r := decodeAs(t, d, c, tenant, 0, fmt.Sprintf(`"data":{"tail":"%d"}`, i)); len(r.overflow) == 0 {
				n++
			}
		}
		return n
	}
	a := admitted("acme")
	b := admitted("b")
	if a != 467 || b != 217 { // Each has two sets and one more entry, for its source.
		t.Errorf("%d and %d of 600 values were admitted, want 467 and 217", a, b)
	}
	if again := admitted("acme"); again != 467 {
		t.Errorf("%d of the same values were admitted again, want 467", again)
	}
}

// TestCapsHoldUnderManyRequests checks that concurrent requests of one tenant share one set.
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
	for tenant, want := range map[string]Cap{"acme": {Limit: 10, Values: 10, Overflowed: 8 * 40}, "b": {Limit: 10}} {
		if got, ok := s.Cap(tenant, "flight.departed", "origin"); !ok || got != want {
			t.Errorf("tenant %s: got %+v, want %+v", tenant, got, want)
		}
	}
	for _, name := range []string{"destination", "late"} {
		if _, ok := s.Cap("acme", "flight.departed", name); ok {
			t.Errorf("dimension %s is capped", name)
		}
	}
	admitted := map[any]bool{}
	overflowed := 0
	for _, e := range log.events(t, 2) {
		if e.Fields[eventbatch.ColOverflow] == "origin" {
			overflowed++
			continue
		}
		admitted[e.Fields["origin"]] = true
	}
	if len(admitted) != 10 || overflowed != 8*40 {
		t.Errorf("%d values were admitted and %d events overflowed, want 10 and %d", len(admitted), overflowed, 8*40)
	}
}

// TestCapsOfDeadLetters checks that views of dead letters are capped too, because senders choose
// the values of a dead letter.
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
	overflowed := 0
	for _, l := range log.deadLetters(t, 1) {
		if l.Fields[eventbatch.ColOverflow] == deadletter.FieldEventType {
			overflowed++
		}
	}
	if c, ok := s.Cap("acme", deadletter.Type, deadletter.FieldEventType); overflowed != 3 || !ok ||
		c != (Cap{Limit: 2, Values: 2, Overflowed: 3}) {
		t.Errorf("%d dead letters overflowed, want 3; the cap is %+v", overflowed, c)
	}
}

// TestReplayIsCappedAsItsTenant checks that a request that is used again forgets its last tenant.
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
	var kept []DeadLetter
	for i := range 4 {
		kept = append(kept, DeadLetter{Raw: []byte(event(i)), Received: testNow})
	}
	for _, dry := range []bool{true, false} {
		if _, err := s.Replay("b", kept, dry); err != nil {
			t.Fatal(err)
		}
		want := Cap{Limit: 2}
		if !dry {
			want.Values = 2
			want.Overflowed = 2
		}
		if c, _ := s.Cap("b", "flight.departed", "origin"); c != want {
			t.Errorf("dry run %v: got %+v, want %+v", dry, c, want)
		}
		if c, _ := s.Cap("acme", "flight.departed", "origin"); c != (Cap{Limit: 2, Values: 1}) {
			t.Errorf("dry run %v: the other tenant has %+v", dry, c)
		}
	}
}

// TestOverflowValueIsRejected sends the overflow value as data, in each kind of dimension and without a limit.
// Answers would not be exact while it is counted. Elsewhere it is a value like any other.
func TestOverflowValueIsRejected(t *testing.T) {
	t.Parallel()
	d, c := cappedDecoder(t, 0)
	d.setTenant("acme", c.setsOf("acme", testNow.UnixMicro()))
	for members, want := range map[string]string{
		`"data":{"origin":"~overflow"}`:           "invalid_field data.origin: under ~overflow views count",
		`"data":{"delay":-9223372036854775808}`:   "invalid_field data.delay: under -9223372036854775808 views count",
		`"subject":"~overflow"`:                   "invalid_attribute subject: under ~overflow views count",
		`"source":"~overflow"`:                    "invalid_attribute source: under ~overflow views count",
		`"data":{"other":"~overflow","delay":-1}`: "",
		`"data":{"origin":"~overflow "}`:          "",
	} {
		d.start([]byte(`{"id":"1","type":"flight.departed","time":"2001-01-01T00:00:00Z",`+members+`}`), false, testNow)
		got := ""
		if refused := d.decode(); refused != nil {
			got = string(refused.code) + " " + refused.message
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", members, got, want)
		}
	}
}

// changingCatalog is a source that a test changes between requests.
type changingCatalog struct{ now *catalog.Catalog }

func (c *changingCatalog) Catalog() *catalog.Catalog { return c.now }

// TestCapsStayWhenTheCatalogChanges: a field that is declared before the others by name takes no dimension its values.
// A dimension that reads another member begins anew.
func TestCapsStayWhenTheCatalogChanges(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Values = 1
	source := &changingCatalog{cappedCatalog()}
	s, err := New(cfg, source, 1, nil, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	send := func(members, want string) {
		t.Helper()
		r := decodeAs(t, s.newRequest(s.current()).decoder, s.caps, "acme", 0, members)
		if string(r.overflow) != want {
			t.Errorf("%s: got %q beyond the limit, want %q", members, r.overflow, want)
		}
	}
	send(`"data":{"origin":"ORD"},"subject":"1"`, "")
	for _, first := range []string{"a", "b"} {
		source.now = cappedCatalog()
		e := source.now.Events["flight.departed"]
		e.Fields = slices.Insert(e.Fields, 0, catalog.Field{Name: first, Type: catalog.Int64})
		send(`"data":{"origin":"ATL"},"subject":"2"`, "origin,subject")
		send(`"data":{"origin":"ORD"},"subject":"1"`, "")
	}
	source.now = cappedCatalog()
	for i, f := range source.now.Events["flight.departed"].Fields {
		if f.Name == "origin" {
			source.now.Events["flight.departed"].Fields[i].Path = []string{"from"}
		}
	}
	send(`"data":{"from":"ATL"}`, "")
}
