package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
)

// TestRefusedEventsLeaveNoTrace mixes good and bad events. Their columns must be those of the good
// events alone.
func TestRefusedEventsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s, err := New(testConfig(), testCatalog(), 3, noLog{}, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.OneOf(jsonEvent(), rapid.Map(rapid.IntRange(0, 99), flight)), 0, 30).Draw(t,
			"events")
		var mixed, good []string
		d := testDecoder()
		for i, e := range events {
			e = strings.ReplaceAll(strings.Replace(e, `"id":"x"`, fmt.Sprintf(`"id":"x%d"`, i), 1), "\n", " ")
			mixed = append(mixed, e)
			d.start([]byte(e), false, testNow)
			if refused := d.decode(); refused == nil && d.peek() == 0 {
				good = append(good, e)
			}
		}
		all := s.newRequest(s.current())
		some := s.newRequest(s.current())
		decodeLines(t, all, mixed)
		decodeLines(t, some, good)
		if len(all.rejected) != len(mixed)-len(good) || len(some.rejected) != 0 {
			t.Fatalf("%d of %d events were rejected, and %d are good", len(all.rejected), len(mixed), len(good))
		}
		if diff := cmp.Diff(contents(some), contents(all)); diff != "" {
			t.Fatal(diff)
		}
		all.recycle()
		some.recycle()
	})
}

func decodeLines(t *rapid.T, q *request, events []string) {
	q.body = []byte(strings.Join(events, "\n"))
	if p := q.pay(baseCost + cap(q.body)); p != nil {
		t.Fatal(p)
	}
	if p := q.decode(kindLines, nil, testNow); p != nil {
		t.Fatal(p)
	}
}

// contents returns the columns of a request as text.
func contents(q *request) []string {
	var out []string
	for _, c := range q.chunks {
		out = append(out, fmt.Sprintf("%d %s %d %d %x %v %x %v %v %v %v %v %v %v %v", c.partition, c.eventType.name,
			c.n, c.bytes, c.key, c.flags, c.hash,
			c.time, c.id, c.source, c.subject, c.extra, c.hasSubject, c.hasExtra, c.fields))
	}
	return out
}

// TestHashIsOfTheContent decodes one event in several spellings.
func TestHashIsOfTheContent(t *testing.T) {
	t.Parallel()
	d := testDecoder()
	hash := func(event string) uint64 {
		d.start([]byte(event), false, testNow)
		if refused := d.decode(); refused != nil {
			t.Fatal(refused, event)
		}
		return d.row.hash
	}
	base := hash(event(`,"x":1,"data":{"i":5,"s":"é","z":[1,2],"y":2}`))
	for _, same := range []string{
		` {"x" : 1,"data":{"y":2,"z":[1, 2 ],"s":"\u00e9","i":5.0,"f":null,"q":null},` +
			`"source":"s","type":"all","id":"a","time":"2001-01-01T01:01:00.000+01:00"}`,
		event(`,"x":1,"subject":null,"data":{"i":5e0,"s":"é","z":[1,2],"y":2}`),
		event(`,"x":1,"data":{"i":5,"s":"é","z":[1,2],"y":"2"}`),
		event(`,"x":"1","data":{"i":5,"s":"é","z":[1,2],"y":2.0}`),
	} {
		if hash(same) != base {
			t.Errorf("%s has another hash", same)
		}
	}
	for _, other := range []string{
		event(`,"x":2,"data":{"i":5,"s":"é","z":[1,2],"y":2}`),
		event(`,"x":1,"data":{"i":6,"s":"é","z":[1,2],"y":2}`),
		event(`,"x":1,"data":{"i":5,"s":"é","z":[2,1],"y":2}`),
		event(`,"x":1,"subject":"u","data":{"i":5,"s":"é","z":[1,2],"y":2}`),
		event(`,"x":1,"data":{"i":5,"z":[1,2],"y":2}`), event(`,"x":1,"data":{"i":5,"s":"é","z":[1,2],"y":"02"}`),
		event(`,"x":1,"data":{"i":5,"s":"é","z":[1,2],"y":2.0000000000000000001}`),
		event(`,"x":1,"data":{"i":5,"s":"é","z":[1,2],"y":null}`),
	} {
		if hash(other) == base {
			t.Errorf("%s has the same hash", other)
		}
	}
	untimed := hash(`{"id":"a","type":"all"}`)
	d.start([]byte(`{"id":"a","type":"all"}`), false, testNow.Add(time.Hour))
	if d.decode(); d.row.hash != untimed {
		t.Error("an assigned time changes the hash (D1)")
	}
}

// TestHashIsFrozen: hashes are compared with those of events that were stored years ago.
func TestHashIsFrozen(t *testing.T) {
	t.Parallel()
	d := testDecoder()
	d.start([]byte(event(`,"ext":"e","data":{"b":true,"f":-0.5,"i":5,"s":"x","t":"2001-01-01T00:00:00Z","u":1e400,`+
		`"v":"1999-12-31T23:59:59Z","w":0.1,"x":"\u00e9","y":7,"z":{"a":[1, 2]}}`)), false, testNow)
	if refused := d.decode(); refused != nil {
		t.Fatal(refused)
	}
	if want := uint64(8720410418914864665); d.row.hash != want {
		t.Errorf("got %d, want %d", d.row.hash, want)
	}
}

// TestHashDoesNotDependOnDeclarations decodes events with all fields declared, with none, and with some declared as
// another type that the value has too. An event that is accepted by two declarations has the same hash in both.
func TestHashDoesNotDependOnDeclarations(t *testing.T) {
	t.Parallel()
	decoders := []*decoder{testDecoder()}
	for _, fields := range [][]catalog.Field{
		nil,
		{{Name: "f", Type: catalog.Int64}, {Name: "i", Type: catalog.Float64}, {Name: "t", Type: catalog.String}},
		{{Name: "s", Type: catalog.Timestamp}, {Name: "z", Type: catalog.Float64}},
	} {
		types, n := compileTypes(&catalog.Catalog{Events: map[string]*catalog.EventType{
			"all": {Name: "all", Fields: fields}}}, nil)
		decoders = append(decoders, newDecoder(testConfig(), types, n))
	}
	pairs := 0
	rapid.Check(t, func(t *rapid.T) {
		event := []byte(jsonEvent().Draw(t, "event"))
		var hashes []uint64
		for _, d := range decoders {
			if d.start(event, false, testNow); d.decode() == nil {
				hashes = append(hashes, d.row.hash)
			}
		}
		for _, h := range hashes[min(1, len(hashes)):] {
			pairs++
			if h != hashes[0] {
				t.Fatalf("%s: got hashes %v, want one", event, hashes)
			}
		}
	})
	if pairs == 0 {
		t.Error("no event was accepted by two declarations")
	}
}

// TestDecodingDoesNotAllocate allows a few allocations per request, and none per event.
func TestDecodingDoesNotAllocate(t *testing.T) {
	s, err := New(testConfig(), testCatalog(), 4, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := s.newRequest(s.current())
	body := []byte(flights(500))
	n := testing.AllocsPerRun(20, func() {
		q.body = body
		if p := q.pay(baseCost + len(body)); p != nil {
			t.Fatal(p)
		}
		if p := q.decode(kindLines, nil, testNow); p != nil || len(q.rejected) > 0 {
			t.Fatal(p)
		}
		q.recycle()
	})
	// With the race detector, pools drop objects at random, so the bound is not tighter.
	if n >= 500 {
		t.Errorf("%v allocations for 500 events", n)
	}
}

// TestLackingAttributes: the message tells an attribute that was not sent from one without a value.
func TestLackingAttributes(t *testing.T) {
	t.Parallel()
	types, n := compileTypes(testCatalog(), nil)
	d := newDecoder(testConfig(), types, n)
	for sent, want := range map[string]string{
		`{"type":"all"}`:           "id: it is missing;",
		`{"id":"","type":"all"}`:   "id: it is empty;",
		`{"id":null,"type":"all"}`: "id: it is null;",
		`{"id":"1"}`:               "type: it is missing;",
		`{"id":"1","type":""}`:     "type: it is empty;",
		`{"specversion":"1.0","id":"1","type":"all","source":""}`: "source: it is empty;",
	} {
		d.start([]byte(sent), strings.Contains(sent, "specversion"), testNow)
		if refused := d.decode(); refused == nil || !strings.HasPrefix(refused.message, want) {
			t.Errorf("%s: got %v, want %s", sent, refused, want)
		}
	}
}
