package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/problem"
	"recount/schemas/record"
)

// memoryChain is a chain of generations in memory, which several servers may share.
type memoryChain struct {
	mu          sync.Mutex
	current     *catalog.Catalog
	generations int
	proposals   int
	failed      error  // of the next proposals
	refused     string // an event type or a field that no generation can declare
}

func newMemoryChain() *memoryChain {
	return &memoryChain{current: &catalog.Catalog{Bucket: time.Hour, Events: map[string]*catalog.EventType{}}}
}

func (c *memoryChain) Catalog() *catalog.Catalog {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *memoryChain) propose(_ context.Context, change func(*catalog.Catalog) (*catalog.Catalog, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposals++
	if c.failed != nil {
		return c.failed
	}
	next, err := change(c.current)
	if err == nil {
		err = next.Validate()
	}
	if raw, _ := json.Marshal(next.Events); err == nil && c.refused != "" && bytes.Contains(raw, []byte(c.refused)) {
		err = record.ErrUndeclarable
	}
	if err == nil && next != c.current {
		c.current = next
		c.generations++
	}
	return err
}

func (c *memoryChain) setFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
}

// fields returns the declared fields of an event type as JSON.
func (c *memoryChain) fields(name string) string {
	e := c.Catalog().Events[name]
	if e == nil {
		return ""
	}
	form := string(declaration.JSON(declaration.OfEventType(e)))
	return strings.TrimSuffix(strings.TrimPrefix(form, `{"fields":`), "}")
}

func discovering(t testing.TB, chain *memoryChain, log Log, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Discovery.On = true
	cfg.Discovery.Interval = 100 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, chain, 1, log, Options{Propose: chain.propose, Now: func() time.Time { return testNow },
		Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// typed returns events of a type as lines, with the given data.
func typed(name string, data ...string) string {
	var b strings.Builder
	for i, d := range data {
		fmt.Fprintf(&b, `{"id":"%s-%d","type":"%s","time":"2026-11-23T10:00:00Z","data":%s}`+"\n", name, i, name, d)
	}
	return b.String()
}

func postLines(t testing.TB, s *Server, body string) response {
	t.Helper()
	return post(t, s, body, "Content-Type", "application/x-ndjson")
}

// TestDiscover declares event types from the events of one request.
func TestDiscover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data []string
		want string
	}{
		"types": {[]string{`{"s":"a","i":1,"f":1.5,"b":true,"t":"2024-05-01T10:00:00Z"}`},
			`{"b":"bool","f":"float64","i":"int64","s":"string","t":"timestamp"}`},
		"nothing":        {[]string{`{}`, `null`}, `{}`},
		"numbers":        {[]string{`{"n":1}`, `{"n":2.5}`}, `{"n":"float64"}`},
		"numbers turned": {[]string{`{"n":2.5}`, `{"n":1}`}, `{"n":"float64"}`},
		"a point":        {[]string{`{"n":5.0}`}, `{"n":"float64"}`},
		"an exponent":    {[]string{`{"n":5e0}`}, `{"n":"float64"}`},
		"largest integers": {[]string{`{"a":9223372036854775807,"b":-9223372036854775808}`},
			`{"a":"int64","b":"int64"}`},
		"beyond an int64":               {[]string{`{"n":9223372036854775808,"m":1}`}, `{"m":"int64"}`},
		"beyond a float64":              {[]string{`{"n":1e400}`, `{"n":1.5}`}, `{}`},
		"times and texts":               {[]string{`{"t":"2024-05-01T10:00:00Z"}`, `{"t":"soon"}`}, `{"t":"string"}`},
		"a time that no event may have": {[]string{`{"t":"1815-05-01T10:00:00Z"}`}, `{"t":"string"}`},
		"a number and a text":           {[]string{`{"x":1,"y":1}`, `{"x":"1"}`}, `{"y":"int64"}`},
		"a number and a boolean":        {[]string{`{"x":1}`, `{"x":true}`}, `{}`},
		"null":                          {[]string{`{"x":null}`, `{"x":null,"y":1}`}, `{"y":"int64"}`},
		"null first":                    {[]string{`{"x":null}`, `{"x":1}`}, `{"x":"int64"}`},
		"arrays":                        {[]string{`{"x":[1],"y":[{"z":1}]}`}, `{}`},
		"inside": {[]string{`{"user":{"id":7,"name":{"first":"Ann"}}}`},
			`{"user_id":{"type":"int64","path":["user","id"]},` +
				`"user_name_first":{"type":"string","path":["user","name","first"]}}`},
		"an object and a text": {[]string{`{"user":{"id":7}}`, `{"user":"ann"}`},
			`{"user_id":{"type":"int64","path":["user","id"]}}`},
		"a member that is named like a path": {[]string{`{"user":{"id":7},"user_id":"x","user.id":1.5}`},
			`{"user_id":"string","user_id_1":{"type":"int64","path":["user","id"]},` +
				`"user_id_2":{"type":"float64","path":["user.id"]}}`},
		"reserved": {[]string{`{"id":1,"time":2,"type":3,"tenant":4,"bounds":5}`},
			`{"bounds_1":{"type":"int64","path":["bounds"]},"id_1":{"type":"int64","path":["id"]},` +
				`"tenant_1":{"type":"int64","path":["tenant"]},"time_1":{"type":"int64","path":["time"]},` +
				`"type_1":{"type":"int64","path":["type"]}}`},
		"no letters": {[]string{`{"":1,"7":2,"日本":3,"__x":4}`},
			`{"field":{"type":"int64","path":["日本"]},"field_7":{"type":"int64","path":["7"]},` +
				`"x":{"type":"int64","path":["__x"]}}`},
		"case": {[]string{`{"page":1,"Page":2,"PAGE!":3,"pag\u0065s":4}`},
			`{"Page":"int64","page":"int64","page_1":{"type":"int64","path":["PAGE!"]},"pages":"int64"}`},
		"marks": {[]string{`{"café":1,"Straße":2,"naïve Größe":3}`},
			`{"cafe":{"type":"int64","path":["café"]},"naive_grosse":{"type":"int64","path":["naïve Größe"]},` +
				`"strasse":{"type":"int64","path":["Straße"]}}`},
		"zero": {[]string{`{"a\u0000b":1,"a b":2}`},
			`{"a_b":{"type":"int64","path":["a\u0000b"]},"a_b_1":{"type":"int64","path":["a b"]}}`},
		"others": {[]string{`{"x":1}`, `[]`, `{"x":1,"x":2}`}, `{"x":"int64"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, data := range [][]string{c.data, turned(c.data)} {
				chain := newMemoryChain()
				log := &memoryLog{}
				s := discovering(t, chain, log, nil)
				r := postLines(t, s, typed("a.b", data...))
				if got := chain.fields("a.b"); got != c.want {
					t.Errorf("%v is declared as\n%s, want\n%s", data, got, c.want)
				}
				if len(log.events(t, 1)) != r.Accepted || r.Accepted+len(r.Rejected) != len(data) ||
					chain.generations != 1 {
					t.Errorf("accepted %d, rejected %s, %d generations", r.Accepted, r.codes(), chain.generations)
				}
				if len(r.Discovered) != 1 || r.Discovered[0].View != "a_b" ||
					string(r.Discovered[0].Declaration) != `{"fields":`+c.want+"}" {
					t.Errorf("the answer names %v", r.Discovered)
				}
				v := chain.Catalog().Views["a_b"]
				if v == nil || v.Event != "a.b" || v.Cell != time.Minute || len(v.Measures) != 1 {
					t.Errorf("the view is %+v", v)
				}
			}
		})
	}
}

// TestDiscoverLooksAtAll: every event of the first request says something about its type, however many there are.
func TestDiscoverLooksAtAll(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	s := discovering(t, chain, &memoryLog{}, nil)
	data := append(slices.Repeat([]string{`{"n":1}`}, 10_001), `{"n":12.5}`)
	if r := postLines(t, s, typed("hit", data...)); r.Accepted != len(data) {
		t.Errorf("accepted %d, rejected %.100s", r.Accepted, r.codes())
	}
	if got := chain.fields("hit"); got != `{"n":"float64"}` {
		t.Errorf("the fields are %s", got)
	}
}

// TestCandidatesAreForgotten: a request that waits to be used again holds nothing of the events of the last one.
func TestCandidatesAreForgotten(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	s := discovering(t, chain, &memoryLog{}, nil)
	q := s.newRequest(s.current())
	q.held = s.memory.held("")
	bounds := DefaultDiscovery()
	q.decoder.room = 1
	q.decoder.bounds = &bounds
	q.decoder.start([]byte(typed("t", "{}")), false, testNow)
	if refused := q.decoder.decode(); refused != nil || len(q.decoder.candidates) != 1 {
		t.Fatalf("%v, %d candidates", refused, len(q.decoder.candidates))
	}
	if q.recycle(); len(q.decoder.candidates) != 0 || q.decoder.eventType != nil || q.decoder.lastType != nil {
		t.Errorf("%d candidates are kept", len(q.decoder.candidates))
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after ten seconds", what)
		}
	}
}

// TestDiscoverFields adds fields that appear later, and refuses values that do not fit.
func TestDiscoverFields(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, nil)
	postLines(t, s, typed("hit", `{"ms":5,"user":{"id":1}}`))
	r := postLines(t, s, typed("hit", `{"plan":"free","user":{"id":1,"age":2.5}}`))
	if r.Accepted != 1 || len(r.Discovered) != 0 {
		t.Errorf("got %+v", r)
	}
	want := `{"ms":"int64","plan":"string","user_age":{"type":"float64","path":["user","age"]},` +
		`"user_id":{"type":"int64","path":["user","id"]}}`
	eventually(t, want, func() bool { return chain.fields("hit") == want })
	for data, message := range map[string]string{
		`{"ms":5.5}`: `data.ms: 5.5 is not int64: it is a number with a fraction; the event type was declared from ` +
			`its first events, so if such values are right, change the type of the field with PUT ` +
			`/v1/event-types/hit, and then run recount dead-letters replay`,
		`{"ms":"fast"}`:               "it is a text;",
		`{"ms":9223372036854775808}`:  "does not fit int64: it is a number that no field holds exactly; the event type",
		`{"ms":1e400}`:                "it is a number that no type holds; send it as a text",
		`{"plan":true}`:               "it is a boolean;",
		`{"plan":{"name":"free"}}`:    "it is an object;",
		`{"plan":["free"],"ms":null}`: "it is an array;",
		`{"user":{"id":"x"}}`: `data.user.id: the text "x" is not int64, the type of the field user_id: it is ` +
			`a text; the event type was declared from its first events, so if such values are right, change the type`,
	} {
		r := postLines(t, s, typed("hit", data))
		if len(r.Rejected) != 1 || r.Rejected[0].DeadLetter == "" || !strings.Contains(r.Rejected[0].Message, message) {
			t.Errorf("%s: got %+v, want a dead letter with %s", data, r.Rejected, message)
		}
	}
	// A text that is read as a number is no conflict, nor is an event that lacks what is inside of an object.
	if r := postLines(t, s, typed("hit", `{"user":{"id":"7"}}`, `{"user":"ann"}`)); r.Accepted != 2 {
		t.Errorf("got %+v", r)
	}
}

// TestDiscoverRemoved: a field that was removed comes back with the next event that has it.
func TestDiscoverRemoved(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	s := discovering(t, chain, &memoryLog{}, nil)
	postLines(t, s, typed("hit", `{"a":1,"user":{"id":1}}`))
	remove := func(newest *catalog.Catalog) (*catalog.Catalog, error) {
		next := *newest
		next.Events = map[string]*catalog.EventType{"hit": {Name: "hit"}}
		return &next, nil
	}
	want := chain.fields("hit")
	if err := chain.propose(t.Context(), remove); err != nil || chain.fields("hit") == want {
		t.Fatalf("fields %s, %v", chain.fields("hit"), err)
	}
	postLines(t, s, typed("hit", `{"a":2,"user":{"id":2}}`))
	eventually(t, want, func() bool { return chain.fields("hit") == want })
}

// TestDiscoverFieldsSlowly: whatever events hold, generations are bounded in time.
func TestDiscoverFieldsSlowly(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	s := discovering(t, chain, &memoryLog{}, func(c *Config) { c.Discovery.Interval = time.Hour })
	for i := range 50 {
		postLines(t, s, typed("hit", fmt.Sprintf(`{"name%d":1}`, i)))
	}
	eventually(t, "a second generation", func() bool { return chain.generationsMade() == 2 })
	time.Sleep(50 * time.Millisecond)
	if n := chain.generationsMade(); n != 2 {
		t.Errorf("50 requests with a new name each made %d generations", n)
	}
}

// TestDiscoverAtStop: fields that wait for the interval when the process ends are declared before it does.
func TestDiscoverAtStop(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	cfg := DefaultConfig()
	cfg.Discovery.On = true
	cfg.Discovery.Interval = time.Hour
	s, err := New(cfg, chain, 1, &memoryLog{}, Options{Propose: chain.propose,
		Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	postLines(t, s, typed("hit", `{"a":1}`))
	postLines(t, s, typed("hit", `{"b":1}`))
	eventually(t, "a second generation", func() bool { return chain.generationsMade() == 2 })
	postLines(t, s, typed("hit", `{"c":1}`))
	if got := chain.fields("hit"); got != `{"a":"int64","b":"int64"}` {
		t.Errorf("before the interval is over, the fields are %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := chain.fields("hit"); got != `{"a":"int64","b":"int64","c":"int64"}` {
		t.Errorf("after the stop the fields are %s", got)
	}
}

func (c *memoryChain) proposalsMade() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proposals
}

func (c *memoryChain) generationsMade() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generations
}

// TestDiscoveredByOthers leaves event types alone that something else has declared, unless all are extended.
func TestDiscoveredByOthers(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		chain := newMemoryChain()
		chain.current = testCatalog()
		s := discovering(t, chain, &memoryLog{}, func(c *Config) { c.Discovery.All = all })
		before := chain.fields("all")
		if r := postLines(t, s, typed("all", `{"new":1}`)); r.Accepted != 1 {
			t.Fatalf("got %+v", r)
		}
		if all {
			eventually(t, "a field", func() bool { return strings.Contains(chain.fields("all"), `"new":"int64"`) })
			continue
		}
		time.Sleep(20 * time.Millisecond)
		if got := chain.fields("all"); got != before {
			t.Errorf("got fields %s", got)
		}
	}
}

// TestDiscoverRace sends first events to two servers over one chain at once.
func TestDiscoverRace(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	servers := []*Server{discovering(t, chain, log, nil), discovering(t, chain, log, nil)}
	const requests = 40
	var wg sync.WaitGroup
	var accepted, discovered sync.Map
	for i := range requests {
		wg.Go(func() {
			body := fmt.Sprintf(`{"id":"%d","type":"type%d","data":{"a":1,"b":"x"}}`, i, i%4)
			r := post(t, servers[i%2], body, "Content-Type", "application/json")
			if r.Accepted != 1 {
				t.Errorf("event %d: %+v", i, r)
			}
			accepted.Store(i, true)
			for _, d := range r.Discovered {
				if _, twice := discovered.LoadOrStore(d.Name, true); twice {
					t.Errorf("two answers say that they have declared %s", d.Name)
				}
			}
		})
	}
	wg.Wait()
	if n := len(log.events(t, 1)); n != requests || chain.generations > 4 || len(chain.Catalog().Views) != 4 {
		t.Errorf("%d events, %d generations, %d views", n, chain.generations, len(chain.Catalog().Views))
	}
}

// TestDiscoverUnavailable: while the catalog cannot be changed, nothing of a request is kept.
func TestDiscoverUnavailable(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, nil)
	chain.setFailed(errors.New("the store does not answer"))
	body := typed("hit", `{"a":1}`, `{"a":2}`) + "{\n"
	r := postLines(t, s, body)
	if r.Status != http.StatusServiceUnavailable || r.Code != string(problem.CatalogUnavailable) ||
		r.Header.Get("Retry-After") == "" || len(log.all(t, 1)) != 0 {
		t.Errorf("got %+v, and %d events in the log", r, len(log.all(t, 1)))
	}
	chain.setFailed(nil)
	if r := postLines(t, s, body); r.Accepted != 2 || r.codes() != "2:invalid_json " || len(log.all(t, 1)) != 3 {
		t.Errorf("the same request again: %+v", r)
	}
}

// TestDiscoverRefused: what no generation can declare takes nothing else with it. Its events are dead letters that say
// so. A record that cannot be read refuses the request instead.
func TestDiscoverRefused(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	chain.refused = "bad"
	log := &memoryLog{}
	s := discovering(t, chain, log, nil)
	r := postLines(t, s, typed("a", `{"x":1}`)+typed("bad", `{"x":1}`)+typed("c", `{"x":1}`))
	if r.Accepted != 2 || r.codes() != "1:unknown_type " || len(r.Discovered) != 2 ||
		!strings.Contains(r.Rejected[0].Message, "cannot be declared; the server's log says why") ||
		len(log.deadLetters(t, 1)) != 1 {
		t.Errorf("got %+v", r)
	}
	postLines(t, s, typed("a", `{"bad field":1}`)+typed("c", `{"y":1}`))
	eventually(t, "the field of another type", func() bool { return chain.fields("c") == `{"x":"int64","y":"int64"}` })
	before := chain.proposalsMade()
	for _, tried := range []bool{false, true} { // The refusal is remembered for a time.
		r := postLines(t, s, typed("bad", `{"x":1}`))
		if made := chain.proposalsMade() > before; made != tried || r.codes() != "0:unknown_type " ||
			!strings.Contains(r.Rejected[0].Message, "cannot be declared; the server's log says why") {
			t.Errorf("tried again: %t, want %t: %+v", made, tried, r)
		}
		s.discovery.making <- struct{}{}
		s.discovery.refusals["bad"] = testNow.Add(-refusedFor)
		<-s.discovery.making
	}
	chain.setFailed(fmt.Errorf("read generation 4: %w", record.ErrInvalid))
	if r := postLines(t, s, typed("d", `{"x":1}`)); r.Status != http.StatusServiceUnavailable {
		t.Errorf("a generation that cannot be read: %+v", r)
	}
}

// TestDiscoverOtherReasons: an event that is refused for another reason than its type says so, also beside events
// whose types are declared or not.
func TestDiscoverOtherReasons(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, func(c *Config) { c.Discovery.Types = 3 })
	late := `{"id":"late","type":"late","time":"2099-01-01T00:00:00Z"}` + "\n"
	r := postLines(t, s, typed("good", `{"x":1}`)+late)
	if r.Accepted != 1 || r.codes() != "1:time_in_future " || len(log.deadLetters(t, 1)) != 1 {
		t.Errorf("got %+v", r)
	}
	r = postLines(t, s, typed("better", `{"x":1}`)+late+typed("no name", `{}`))
	if r.Accepted != 1 || r.codes() != "1:time_in_future 2:unknown_type " {
		t.Errorf("got %+v", r)
	}
	if _, told := s.discovery.told.Load(" max_types"); told || chain.Catalog().Declared() != 2 {
		t.Errorf("the number of types is said to be too small with %d", chain.Catalog().Declared())
	}
	r = postLines(t, s, typed("best", `{}`)+typed("one too many", `{}`)+typed("another", `{}`))
	if r.Accepted != 1 || !strings.Contains(r.Rejected[1].Message, "discovery.max_types") {
		t.Errorf("got %+v", r)
	}
}

// TestDiscoverApart: where another address than that of events serves declarations, messages say so.
func TestDiscoverApart(t *testing.T) {
	t.Parallel()
	s := discovering(t, newMemoryChain(), &memoryLog{}, func(c *Config) {
		c.Discovery.Apart = true
		c.Discovery.Types = 1
	})
	r := postLines(t, s, typed("a", `{"x":1}`)+typed("b", `{"x":1}`))
	wrong := postLines(t, s, typed("a", `{"x":"1"}`))
	for _, e := range append(r.Rejected, wrong.Rejected...) {
		if !strings.Contains(e.Message, "at the address of admin.listen") {
			t.Error(e.Message)
		}
	}
	if len(r.Rejected) != 1 || len(wrong.Rejected) != 1 {
		t.Errorf("got %+v, %+v", r, wrong)
	}
}

// TestDiscoverNeedsAdmin keeps unknown event types of other keys as dead letters, which count once the type is
// declared.
func TestDiscoverNeedsAdmin(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, nil)
	send := func(scopes access.Scopes, body string) string {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-ndjson")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(),
			access.Principal{Tenant: "acme", Scopes: scopes})))
		return w.Body.String()
	}
	body := typed("hit", `{"a":1}`)
	if got := send(access.Ingest|access.Query, body); !strings.Contains(got, "a key with scope admin") ||
		chain.generations != 0 || len(log.deadLetters(t, 1)) != 1 {
		t.Errorf("without scope admin: %s", got)
	}
	if got := send(access.Ingest|access.Admin, typed("hit", `{"a":1}`)); !strings.Contains(got, `"accepted":1`) {
		t.Errorf("with scope admin: %s", got)
	}
	if send(access.Ingest, typed("hit", `{"late":1}`)); len(chain.Catalog().Events["hit"].Fields) != 1 {
		t.Errorf("without scope admin, a field was declared: %s", chain.fields("hit"))
	}
	for _, l := range log.deadLetters(t, 1) {
		out, err := s.Replay("acme", []DeadLetter{{Raw: []byte(l.raw(t)), Received: testNow}}, false)
		if err != nil || out[0].Code != "" {
			t.Errorf("the dead letter cannot be replayed: %v, %v", out, err)
		}
	}
}

// TestDiscoveryLimits meets each bound.
func TestDiscoveryLimits(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, func(c *Config) {
		c.Discovery.Types = 3
		c.Discovery.Fields = 4
		c.Discovery.Depth = 2
		c.Discovery.Name = 5
		c.DeadLetters = 200
	})
	var names []string
	for i := range 900 {
		names = append(names, fmt.Sprintf(`"n%03d":1`, i))
	}
	wide := "{" + strings.Join(names, ",") + "}"
	r := postLines(t, s, typed("a", `{"b":1,"long names":2,"c":{"d":{"e":1},"f":2}}`)+
		typed("wide", wide, `{"n500":1,"n501":"x"}`, `{"n500":1}`)+typed("no name", `{}`)+typed("recount.x", `{}`))
	if r.Accepted != 4 || r.codes() != "4:unknown_type 5:unknown_type " {
		t.Errorf("accepted %d, rejected %s", r.Accepted, r.codes())
	}
	if got := chain.fields("a"); got != `{"b":"int64","c_f":{"type":"int64","path":["c","f"]}}` {
		t.Errorf("a has the fields %s", got)
	}
	if got := chain.fields("wide"); got != `{"n000":"int64","n001":"int64","n002":"int64","n003":"int64"}` {
		t.Errorf("wide has the fields %s", got)
	}
	var many strings.Builder
	for i := range 1000 {
		many.WriteString(typed(fmt.Sprintf("t%d", i), `{"x":1}`))
	}
	r = postLines(t, s, many.String())
	if r.Accepted != 1 || len(r.Rejected) != 999 ||
		!strings.Contains(r.Rejected[998].Message, "discovery.max_types allows no further event type") ||
		r.Rejected[998].DeadLetter == "" || len(chain.Catalog().Events) != 3 {
		t.Errorf("accepted %d of 1,000 event types, rejected %d", r.Accepted, len(r.Rejected))
	}
	generations := chain.generations
	postLines(t, s, typed("wide", wide, wide)+typed("a", wide))
	eventually(t, "fields of a", func() bool { return len(chain.Catalog().Events["a"].Fields) == 4 })
	if n := chain.generationsMade() - generations; n != 1 {
		t.Errorf("%d generations for what is beyond the bounds", n)
	}
	var met []string
	for _, key := range limitKeys {
		if _, ok := s.discovery.told.Load("a " + key); ok {
			met = append(met, key)
		}
	}
	if _, full := s.discovery.told.Load(" max_types"); !full ||
		!slices.Equal(met, []string{"max_fields", "max_depth", "max_name"}) {
		t.Errorf("said of event type a: %v, and of the number of types: %t", met, full)
	}
	postLines(t, s, typed("t0", `{"too long":1}`)) // Nothing else of it is new.
	eventually(t, "a long name is said", func() bool {
		_, told := s.discovery.told.Load("t0 max_name")
		return told
	})
}

// TestDiscoveryRemembers: what the first events of a type had is known when later ones are looked at, although not all
// of these are.
func TestDiscoveryRemembers(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	s := discovering(t, chain, &memoryLog{}, nil)
	wide := `{"x":1,"y":1,"wide":[` + strings.Repeat("1,", 100<<10) + "1]}"
	data := slices.Repeat([]string{wide}, 2*burstSeconds*lookedAtBytes/len(wide))
	data = append(data, `{"x":"`+strings.Repeat("text", len(wide)/4)+`"}`)
	if r := postLines(t, s, typed("hit", data...)); r.Accepted != len(data) {
		t.Fatalf("accepted %d, rejected %s", r.Accepted, r.codes())
	}
	s.addFound(t.Context())
	if got := chain.fields("hit"); got != `{"y":"int64"}` {
		t.Errorf("the fields are %s", got)
	}
}

// TestDiscoveryRemembersForOthers: a process that has not seen the values without a common type makes no field of
// their member when it sees some of them.
func TestDiscoveryRemembersForOthers(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	first := discovering(t, chain, log, nil)
	postLines(t, first, typed("hit", `{"code":1}`, `{"code":"A1"}`))
	postLines(t, first, typed("hit", `{"tags":[1]}`))
	eventually(t, "the later member is undecided", func() bool { return len(chain.Catalog().Undecided["hit"]) == 2 })
	restarted := discovering(t, chain, log, nil)
	postLines(t, restarted, typed("hit", `{"code":2,"tags":"all","late":1}`))
	eventually(t, "a field", func() bool { return chain.fields("hit") == `{"late":"int64"}` })
	if r := postLines(t, restarted, typed("hit", `{"code":"A1","tags":[]}`)); r.Accepted != 1 {
		t.Errorf("got %+v", r)
	}
}

// TestCandidatesAreBounded: the event types that one request brings are bounded before any is declared.
func TestCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	bounds := DefaultDiscovery()
	d := newDecoder(DefaultConfig(), nil, 0)
	d.room = 2
	d.bounds = &bounds
	for i := range 5 {
		d.start([]byte(typed(fmt.Sprint("t", i%4), "{}")), false, testNow)
		if refused := d.decode(); (refused != nil) != (i == 2 || i == 3) {
			t.Errorf("type %d: %v", i%4, refused)
		}
	}
	if len(d.candidates) != 2 {
		t.Errorf("%d candidates", len(d.candidates))
	}
}

// TestDiscoverForms declares event types from each content type.
func TestDiscoverForms(t *testing.T) {
	t.Parallel()
	chain := newMemoryChain()
	log := &memoryLog{}
	s := discovering(t, chain, log, nil)
	post(t, s, `{"n":1}`, "Content-Type", "application/json", "Ce-Id", "1", "Ce-Type", "binary", "Ce-Source", "s",
		"Ce-Specversion", "1.0")
	post(t, s, `[{"id":"2","data":{"n":1},"type":"before"},{"id":"3","type":"after","data":{"n":"x"}}]`, "Content-Type",
		"application/json")
	post(t, s, `{"specversion":"1.0","source":"s","id":"4","type":"encoded","datacontenttype":"application/json",`+
		`"data_base64":"eyJuIjoxLjV9"}`, "Content-Type", "application/cloudevents+json")
	// An event that is refused says nothing about its type.
	post(t, s, `{"id":"","type":"refused","data":{"n":1}}`, "Content-Type", "application/json")
	post(t, s, `{"id":"5","type":"text","datacontenttype":"text/plain","data":"x"}`, "Content-Type", "application/json")
	for name, want := range map[string]string{"binary": `{"n":"int64"}`, "before": `{"n":"int64"}`,
		"after": `{"n":"string"}`, "encoded": `{"n":"float64"}`, "refused": "", "text": ""} {
		if got := chain.fields(name); got != want {
			t.Errorf("%s has the fields %s, want %s", name, got, want)
		}
	}
	if n := len(log.events(t, 1)); n != 4 {
		t.Errorf("%d events are in the log", n)
	}
	// A request that ends early leaves no event type in the decoder.
	post(t, s, `[{"id":"6","type":"broken","data":{"n":1}},`, "Content-Type", "application/json")
	s.discovery.cfg.On = false
	if r := post(t, s, `{"id":"7","type":"broken"}`, "Content-Type", "application/json"); r.Accepted != 0 {
		t.Errorf("an event type of an earlier request is known: %+v", r)
	}
}

func turned(in []string) []string {
	out := slices.Clone(in)
	slices.Reverse(out)
	return out
}
