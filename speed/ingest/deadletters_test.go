package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/deadletter"
	"recount/speed/eventlog"
)

// raw returns the bytes that a stored dead letter holds.
func (e stored) raw(t testing.TB) string {
	t.Helper()
	var columns [2]*string
	for i, name := range []string{deadletter.FieldRaw, deadletter.FieldRawBase64} {
		if s, ok := e.Fields[name].(string); ok {
			columns[i] = &s
		}
	}
	raw, err := deadletter.Decode(columns[0], columns[1])
	if err != nil {
		t.Errorf("dead letter %s: %v", e.ID, err)
	}
	return string(raw)
}

// checkDeadLetters compares the dead letters of a request with its rejected events. sent has the
// bytes of these events.
func checkDeadLetters(t *testing.T, kept map[string]stored, r response, sent ...string) {
	t.Helper()
	if len(kept) != len(r.Rejected) {
		t.Errorf("%d dead letters for %d rejected events", len(kept), len(r.Rejected))
	}
	for i, want := range r.Rejected {
		e, ok := kept[want.DeadLetter]
		if !ok {
			t.Errorf("the rejection of event %d names the dead letter %q, which is not in the log", want.Index,
				want.DeadLetter)
			continue
		}
		raw, truncated := deadletter.Cut([]byte(sent[i]), DefaultConfig().EventBytes)
		if got := e.raw(t); got != string(raw) {
			t.Errorf("event %d: got %.200q, want %.200q", want.Index, got, raw)
		}
		f := e.Fields
		if f["code"] != want.Code || f["message"] != want.Message || f["index"] != int64(want.Index) ||
			f["truncated"] != truncated || f["bytes"] != int64(len(sent[i])) {
			t.Errorf("event %d: got %+v, want %+v", want.Index, f, want)
		}
		if e.Time != testNow.UnixMicro() || e.Flags != 1 ||
			e.ID != deadletter.EventID(deadletter.Digest(want.Code, []byte(sent[i]))) {
			t.Errorf("event %d: got %+v", want.Index, e)
		}
	}
}

// checkWhole checks the dead letter that holds the whole body of a request that is not JSON.
func checkWhole(t *testing.T, kept map[string]stored, r response, body string) {
	t.Helper()
	e := kept[r.DeadLetter]
	if e.Fields["code"] != r.Code || e.raw(t) != body || e.Fields["index"] != nil || e.Fields["truncated"] != false {
		t.Errorf("the problem names the dead letter %q: got %+v", r.DeadLetter, e)
	}
}

// TestDeadLettersHoldWhatWasRead checks the fields for source, id, type and time. They hold what
// could be read, as valid UTF-8 and at most MaxAttribute bytes.
func TestDeadLettersHoldWhatWasRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 1000)
	for _, c := range []struct {
		line                  string
		id, event, at, source any
	}{
		{`{"id":"a","source":"s","type":"none","time":"yesterday"}`, "a", "none", "yesterday", "s"},
		{`{"data":{},"type":"all"}`, nil, "all", nil, ""},
		{`{"id":"a","type":"all","data":{"i":"x"}} x`, "a", "all", nil, ""},
		{`{"id":"a","type":"al`, "a", nil, nil, ""},
		{"{\"id\":\"a\xff\",\"type\":\"all\"}", "a\uFFFD", "all", nil, ""},
		{`{"id":"` + long + `","type":"` + long + `","source":"` + long + `"}`, long[:1024], long[:1024], nil,
			long[:1024]},
		{`nonsense`, nil, nil, nil, ""},
	} {
		log := &memoryLog{}
		r := post(t, run(t, testConfig(), 1, log), c.line, "Content-Type", ndjson)
		kept := log.deadLetters(t, 1)
		checkDeadLetters(t, kept, r, c.line)
		for _, e := range kept {
			if f := e.Fields; f["event_id"] != c.id || f["event_type"] != c.event || f["event_time"] != c.at ||
				e.Source != c.source || f["strict"] != false {
				t.Errorf("%.80s: got %.300q with the source %.80q", c.line, fmt.Sprint(f), e.Source)
			}
		}
	}
}

// TestDeadLettersKeepEveryByte sends lines of random bytes. Each is rejected and kept as it was sent.
func TestDeadLettersKeepEveryByte(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(rt, "line")
		for i, b := range line {
			if b == '\n' || b == ' ' || b == '\t' || b == '\r' {
				line[i] = '{' // A line of white space would not count as an event.
			}
		}
		r := post(t, s, string(line), "Content-Type", ndjson)
		if len(r.Rejected) != 1 {
			rt.Fatalf("got %+v", r)
		}
		if got := log.deadLetters(t, 1)[r.Rejected[0].DeadLetter].raw(t); got != string(line) {
			rt.Fatalf("got %q, want %q", got, line)
		}
	})
}

// TestSentAgain sends a bad event again. Its dead letters are copies of each other and no
// conflict (B2). Another reason makes another dead letter.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 4, log)
	post(t, s, `{"id":"a","type":"none"}`, "Content-Type", ndjson)
	post(t, s, flight(1)+"\n"+`{"id":"a","type":"none"}`, "Content-Type", ndjson)
	post(t, s, `{"id":"a","type":"none"}`, "Content-Type", structured)
	seen := map[string]int{}
	for _, e := range log.deadLetters(t, 4) {
		seen[fmt.Sprintf("%s %x %d", e.ID, e.Hash, e.Place.Partition)]++
	}
	if len(seen) != 2 {
		t.Errorf("got %v, want one dead letter twice and another one once", seen)
	}
}

// TestReservedTypeIsUnknown checks that clients cannot send dead letters, even if the catalog
// declares their type for views.
func TestReservedTypeIsUnknown(t *testing.T) {
	t.Parallel()
	cat := testCatalog()
	cat.Events[deadletter.Type] = deadletter.EventType()
	types, _ := compileTypes(cat, nil)
	if types[deadletter.Type] != nil || len(types) != 2 {
		t.Errorf("got %v", types)
	}
	log := &memoryLog{}
	if r := post(t, run(t, testConfig(), 1, log), `{"id":"a","type":"`+deadletter.Type+`"}`, "Content-Type",
		ndjson); r.codes() != "0:unknown_type " {
		t.Errorf("got %+v", r)
	}
}

// TestDeadLetterOfBinaryMode checks that the structured form of a rejected event in binary mode
// is rejected for the same reason.
func TestDeadLetterOfBinaryMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, code string
		headers    []string
	}{
		{`{"i":"x"}`, "invalid_field", nil},
		{`{"i":1},"subject":"forged"`, "invalid_data", nil},
		{"\xff", "invalid_data", nil},
		{`<x/>`, "unsupported_data", []string{"Content-Type", "text/xml"}},
		{`{"i":1}`, "unknown_type", []string{"Ce-Type", "none"}},
		{``, "invalid_time", []string{"Ce-Time", "yester%22day"}},
		{``, "invalid_time", []string{"Ce-Time", `"yester\"day"`}},
	} {
		headers := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"ü"}, "Ce-Source": {"s"}, "Ce-Type": {"all"}}
		for i := 0; i < len(c.headers); i += 2 {
			headers.Set(c.headers[i], c.headers[i+1])
		}
		var list []string
		for name, v := range headers {
			list = append(list, name, v[0])
		}
		log := &memoryLog{}
		s := run(t, testConfig(), 1, log)
		r := post(t, s, c.body, list...)
		if r.codes() != "0:"+c.code+" " {
			t.Errorf("%q: got %+v", c.body, r)
			continue
		}
		kept := log.deadLetters(t, 1)[r.Rejected[0].DeadLetter].raw(t)
		if again := post(t, s, kept, "Content-Type", structured); again.codes() != r.codes() {
			t.Errorf("%q was kept as %s: got %+v", c.body, kept, again)
		}
	}
}

// TestDeadLettersAreBounded checks that beyond the rate nothing is kept, and that the answer then
// names no dead letter.
func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	cfg := testConfig()
	cfg.DeadLetters = 1
	s := run(t, cfg, 1, log)
	r := post(t, s, strings.Repeat("{}\n", 25)+flight(1), "Content-Type", ndjson)
	if r.Accepted != 1 || len(r.Rejected) != 25 || len(log.deadLetters(t, 1)) != burstSeconds ||
		r.Rejected[9].DeadLetter == "" || r.Rejected[10].DeadLetter != "" {
		t.Errorf("got %d dead letters, %+v", len(log.deadLetters(t, 1)), r)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	r := newRate(10, 1000)
	now := testNow.UnixMicro()
	count := func(size int) (n int) {
		for r.allow(size, now) {
			n++
		}
		return n
	}
	if got := count(1); got != 100 {
		t.Errorf("burst: got %d, want 100", got)
	}
	now += time.Second.Microseconds()
	if got := count(1); got != 10 {
		t.Errorf("after a second: got %d, want 10", got)
	}
	now -= time.Hour.Microseconds() // A clock that goes back changes nothing.
	if got := count(1); got != 0 {
		t.Errorf("an hour back: got %d, want 0", got)
	}
	now += 2 * time.Hour.Microseconds()
	if got := count(2000); got != 5 {
		t.Errorf("large dead letters: got %d, want 5", got)
	}
	if newRate(0, 1000).allow(1, now) {
		t.Error("a rate of 0 allows a dead letter")
	}
}

// TestRateOfOneTenant checks that one of several tenants may use at most half of the rate, and
// that a single tenant may use all of it.
func TestRateOfOneTenant(t *testing.T) {
	t.Parallel()
	cfg := Config{DeadLetters: 10, DeadLetterBytes: 1000}
	now := testNow.UnixMicro()
	kept := func(r *rates, tenant string) (n int) {
		for range 1000 {
			if r.allow(tenant, 1, now) {
				n++
			}
		}
		return n
	}
	if r := newRates(&cfg); kept(r, "a") != 100 {
		t.Error("a single tenant cannot use the whole rate")
	}
	cfg.Fair = true
	r := newRates(&cfg)
	a := kept(r, "a")
	b := kept(r, "b")
	c := kept(r, "c")
	if a != 50 || b != 50 || c != 0 {
		t.Errorf("kept %d, %d and %d, want 50, 50 and 0", a, b, c)
	}
	now += time.Second.Microseconds()
	a = kept(r, "a")
	c = kept(r, "c")
	if a != 5 || c != 5 {
		t.Errorf("a second later: kept %d and %d, want 5 and 5", a, c)
	}
}

// TestDeadLettersNeverHarm makes dead letters fail in every way. The answer for good events must
// be what it would be without dead letters.
func TestDeadLettersNeverHarm(t *testing.T) {
	t.Parallel()
	body := `{"id":"x","type":"none"}` + "\n" + flight(1)
	check := func(name string, s *Server, log *memoryLog) {
		t.Helper()
		r := post(t, s, body, "Content-Type", ndjson)
		if r.Status != 200 || r.Accepted != 1 || r.codes() != "0:unknown_type " || r.Rejected[0].DeadLetter != "" {
			t.Errorf("%s: got %+v", name, r)
		}
		if n := len(log.deadLetters(t, 1)); n != 0 {
			t.Errorf("%s: got %d dead letters, want none", name, n)
		}
	}
	for _, err := range []error{eventlog.ErrFull, eventlog.ErrUnavailable, errors.New("anything else")} {
		log := &memoryLog{}
		cfg := testConfig()
		cfg.GroupEvents = 1 // Each event and each dead letter gets a message of its own.
		check(err.Error(), run(t, cfg, 1, noDeadLetters{log, err}), log)
	}
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	if p := s.committers[0].queue.reserve(blocker(s.cfg.QueueBytes/2 - 1000)); p != nil {
		t.Fatal(p)
	}
	check("a busy queue", s, log)
	s.committers[0].queue.release(blocker(s.cfg.QueueBytes/2 - 1000))

	// The answer is paid for first. Then there is memory for only one of the dead letters.
	large := `{"id":"x","type":"none","data":{"x":"` + strings.Repeat("x", 240<<10) + `"}}` + "\n"
	used := s.cfg.Memory - baseCost - 3*len(large) - payStep
	s.memory.reserve(s.memory.held("other"), used, false)
	r := post(t, s, large+large, "Content-Type", ndjson)
	if r.codes() != "0:unknown_type 1:unknown_type " || r.Rejected[0].DeadLetter == "" ||
		r.Rejected[1].DeadLetter != "" {
		t.Errorf("no memory: got %+v", r)
	}
	s.memory.release(s.memory.held("other"), used)
}

// blocker returns a chunk that uses n bytes of a queue.
func blocker(n int) *chunk {
	c := &chunk{tenant: "other"}
	c.bytes = n - c.cost()
	return c
}

// noDeadLetters is a log that refuses messages of dead letters.
type noDeadLetters struct {
	*memoryLog
	err error
}

func (l noDeadLetters) Append(ctx context.Context, p int, frame []byte, id string) (uint64, error) {
	if strings.Contains(string(frame), deadletter.Type) {
		return 0, l.err
	}
	return l.memoryLog.Append(ctx, p, frame, id)
}

// TestNothingIsKeptOfRefusedRequests checks that a request that has to be sent again leaves no
// dead letters of its bad events.
func TestNothingIsKeptOfRefusedRequests(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	if p := s.committers[0].queue.reserve(blocker(s.cfg.QueueBytes)); p != nil {
		t.Fatal(p)
	}
	r := post(t, s, `{"id":"x","type":"none"}`+"\n"+flight(1), "Content-Type", ndjson)
	s.committers[0].queue.release(blocker(s.cfg.QueueBytes))
	if r.Status != 429 || len(log.deadLetters(t, 1)) != 0 {
		t.Errorf("got %+v and %d dead letters", r, len(log.deadLetters(t, 1)))
	}
	if r := post(t, s, strings.Repeat("{}\n", s.cfg.Events+1), "Content-Type", ndjson); r.Status != 413 ||
		len(log.deadLetters(t, 1)) != 0 {
		t.Errorf("got %+v and %d dead letters", r, len(log.deadLetters(t, 1)))
	}
}
