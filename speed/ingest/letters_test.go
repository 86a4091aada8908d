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

// raw is what a stored dead letter keeps of the bytes that came.
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

// checkLetters compares the letters of a request with its rejected events, sent as given.
func checkLetters(t *testing.T, letters map[string]stored, r response, sent ...string) {
	t.Helper()
	if len(letters) != len(r.Rejected) {
		t.Errorf("%d dead letters of %d rejected events", len(letters), len(r.Rejected))
	}
	for i, want := range r.Rejected {
		e, ok := letters[want.Letter]
		if !ok {
			t.Errorf("the rejection of event %d names the dead letter %q, which is not in the log", want.Index,
				want.Letter)
			continue
		}
		kept, truncated := deadletter.Cut([]byte(sent[i]), DefaultConfig().EventBytes)
		if got := e.raw(t); got != string(kept) {
			t.Errorf("event %d: kept %.200q, sent %.200q", want.Index, got, kept)
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

// checkWhole looks for the one letter that holds all of a body that could not be taken apart.
func checkWhole(t *testing.T, letters map[string]stored, r response, body string) {
	t.Helper()
	e := letters[r.Letter]
	if e.Fields["code"] != r.Code || e.raw(t) != body || e.Fields["index"] != nil || e.Fields["truncated"] != false {
		t.Errorf("the problem names the dead letter %q: got %+v", r.Letter, e)
	}
}

// TestLettersSayWhatWasRead: source, id, type and time as far as there are any, legible and short.
func TestLettersSayWhatWasRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 1000)
	for _, c := range []struct {
		line             string
		id, typ, at, src any
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
		r := post(t, run(t, testConfig(), 1, log), c.line, "Content-Type", lines)
		letters := log.letters(t, 1)
		checkLetters(t, letters, r, c.line)
		for _, e := range letters {
			if f := e.Fields; f["event_id"] != c.id || f["event_type"] != c.typ || f["event_time"] != c.at ||
				e.Source != c.src || f["strict"] != false {
				t.Errorf("%.80s: got %.300q from %.80q", c.line, fmt.Sprint(f), e.Source)
			}
		}
	}
}

// TestLettersKeepEveryByte sends lines of any bytes, rejected for whatever they are: what
// is kept is what came. A line that happens to be an event is not a letter.
func TestLettersKeepEveryByte(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(rt, "line")
		for i, b := range line {
			if b == '\n' || b == ' ' || b == '\t' || b == '\r' {
				line[i] = '{' // A line of white space alone is none.
			}
		}
		r := post(t, s, string(line), "Content-Type", lines)
		if len(r.Rejected) != 1 {
			rt.Fatalf("got %+v", r)
		}
		if got := log.letters(t, 1)[r.Rejected[0].Letter].raw(t); got != string(line) {
			rt.Fatalf("kept %q, sent %q", got, line)
		}
	})
}

// TestSentAgain: a bad request that is sent again makes copies, not conflicts (B2), and
// another reason makes another letter.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 4, log)
	post(t, s, `{"id":"a","type":"none"}`, "Content-Type", lines)
	post(t, s, flight(1)+"\n"+`{"id":"a","type":"none"}`, "Content-Type", lines)
	post(t, s, `{"id":"a","type":"none"}`, "Content-Type", structured)
	seen := map[string]int{}
	for _, e := range log.letters(t, 4) {
		seen[fmt.Sprintf("%s %x %d", e.ID, e.Hash, e.Place.Partition)]++
	}
	if len(seen) != 2 {
		t.Errorf("got %v, want one letter twice and another one", seen)
	}
}

// TestReservedTypeIsUnknown: nobody can send a dead letter, not even where the catalog has the type for views.
func TestReservedTypeIsUnknown(t *testing.T) {
	t.Parallel()
	cat := testCatalog()
	cat.Events[deadletter.Type] = deadletter.EventType()
	types, _ := compileTypes(cat)
	if types[deadletter.Type] != nil || len(types) != 2 {
		t.Errorf("got %v", types)
	}
	log := &memoryLog{}
	if r := post(t, run(t, testConfig(), 1, log), `{"id":"a","type":"`+deadletter.Type+`"}`, "Content-Type",
		lines); r.codes() != "0:unknown_type " {
		t.Errorf("got %+v", r)
	}
}

// TestBinaryModeInOnePiece: what is kept of an event in binary mode is refused again for
// the same reason, and its body is in it byte by byte.
func TestBinaryModeInOnePiece(t *testing.T) {
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
		piece := log.letters(t, 1)[r.Rejected[0].Letter].raw(t)
		if again := post(t, s, piece, "Content-Type", structured); again.codes() != r.codes() {
			t.Errorf("%q became %s: got %+v", c.body, piece, again)
		}
	}
}

// TestLettersAreBounded: beyond the rate nothing is kept, and the answer says so by saying nothing.
func TestLettersAreBounded(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	cfg := testConfig()
	cfg.Letters = 1
	s := run(t, cfg, 1, log)
	r := post(t, s, strings.Repeat("{}\n", 25)+flight(1), "Content-Type", lines)
	if r.Accepted != 1 || len(r.Rejected) != 25 || len(log.letters(t, 1)) != burstSeconds ||
		r.Rejected[9].Letter == "" || r.Rejected[10].Letter != "" {
		t.Errorf("got %d letters, %+v", len(log.letters(t, 1)), r)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	r := newRate(10, 1000)
	now := testNow.UnixMicro()
	count := func(size int) (n int) {
		for r.take(size, now) {
			n++
		}
		return n
	}
	if got := count(1); got != 100 {
		t.Errorf("burst: %d", got)
	}
	now += time.Second.Microseconds()
	if got := count(1); got != 10 {
		t.Errorf("after a second: %d", got)
	}
	now -= time.Hour.Microseconds() // A clock that goes back gives nothing and takes nothing.
	if got := count(1); got != 0 {
		t.Errorf("an hour back: %d", got)
	}
	now += 2 * time.Hour.Microseconds()
	if got := count(2000); got != 5 {
		t.Errorf("large ones: %d", got)
	}
	if newRate(0, 1000).take(1, now) {
		t.Error("kept although none may be")
	}
}

// TestRubbishOfOneTenant: whoever sends nothing but rubbish leaves others half of the room for
// what they will look for. Where there is one tenant it has all of it.
func TestRubbishOfOneTenant(t *testing.T) {
	t.Parallel()
	cfg := Config{Letters: 10, LetterBytes: 1000}
	now := testNow.UnixMicro()
	kept := func(r *rates, tenant string) (n int) {
		for range 1000 {
			if r.take(tenant, 1, now) {
				n++
			}
		}
		return n
	}
	if r := newRates(&cfg); kept(r, "a") != 100 {
		t.Error("a single tenant does not have all of the room")
	}
	cfg.Fair = true
	r := newRates(&cfg)
	a := kept(r, "a")
	b := kept(r, "b")
	c := kept(r, "c")
	if a != 50 || b != 50 || c != 0 {
		t.Errorf("kept %d, %d and %d", a, b, c)
	}
	now += time.Second.Microseconds()
	a = kept(r, "a")
	c = kept(r, "c")
	if a != 5 || c != 5 {
		t.Errorf("a second later: kept %d and %d", a, c)
	}
}

// TestLettersNeverHarm: whatever becomes of the letters, the good events' answer is what
// it would be without them.
func TestLettersNeverHarm(t *testing.T) {
	t.Parallel()
	body := `{"id":"x","type":"none"}` + "\n" + flight(1)
	check := func(name string, s *Server, log *memoryLog) {
		t.Helper()
		r := post(t, s, body, "Content-Type", lines)
		if r.Status != 200 || r.Accepted != 1 || r.codes() != "0:unknown_type " || r.Rejected[0].Letter != "" {
			t.Errorf("%s: got %+v", name, r)
		}
		if n := len(log.letters(t, 1)); n != 0 {
			t.Errorf("%s: %d letters", name, n)
		}
	}
	for _, err := range []error{eventlog.ErrFull, eventlog.ErrUnavailable, errors.New("anything else")} {
		log := &memoryLog{}
		cfg := testConfig()
		cfg.GroupEvents = 1 // Letters and events in messages of their own, whatever their order.
		check(err.Error(), run(t, cfg, 1, lettersRefused{log, err}), log)
	}
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	if f := s.committers[0].queue.reserve(blocker(s.cfg.QueueBytes/2 - 1000)); f != nil {
		t.Fatal(f)
	}
	check("a busy queue", s, log)
	s.committers[0].queue.release(blocker(s.cfg.QueueBytes/2 - 1000))

	// The answer is paid for before the letters, and they find only one place.
	large := `{"id":"x","type":"none","data":{"x":"` + strings.Repeat("x", 240<<10) + `"}}` + "\n"
	taken := s.cfg.Memory - baseCost - 3*len(large) - payStep
	s.memory.take(s.memory.of("somebody"), taken, false)
	r := post(t, s, large+large, "Content-Type", lines)
	if r.codes() != "0:unknown_type 1:unknown_type " || r.Rejected[0].Letter == "" || r.Rejected[1].Letter != "" {
		t.Errorf("no memory: got %+v", r)
	}
	s.memory.give(s.memory.of("somebody"), taken)
}

// blocker is a chunk that takes n bytes of a queue.
func blocker(n int) *chunk {
	c := &chunk{tenant: "somebody"}
	c.bytes = n - c.cost()
	return c
}

// lettersRefused is a log that takes no dead letters.
type lettersRefused struct {
	*memoryLog
	err error
}

func (l lettersRefused) Append(ctx context.Context, p int, frame []byte, id string) (uint64, error) {
	if strings.Contains(string(frame), deadletter.Type) {
		return 0, l.err
	}
	return l.memoryLog.Append(ctx, p, frame, id)
}

// TestNothingIsKeptOfWhatComesAgain: a request that is shed will be sent again, so its
// bad events are not kept this time.
func TestNothingIsKeptOfWhatComesAgain(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	if f := s.committers[0].queue.reserve(blocker(s.cfg.QueueBytes)); f != nil {
		t.Fatal(f)
	}
	r := post(t, s, `{"id":"x","type":"none"}`+"\n"+flight(1), "Content-Type", lines)
	s.committers[0].queue.release(blocker(s.cfg.QueueBytes))
	if r.Status != 429 || len(log.letters(t, 1)) != 0 {
		t.Errorf("got %+v and %d letters", r, len(log.letters(t, 1)))
	}
	if r := post(t, s, strings.Repeat("{}\n", s.cfg.Events+1), "Content-Type", lines); r.Status != 413 ||
		len(log.letters(t, 1)) != 0 {
		t.Errorf("got %+v and %d letters", r, len(log.letters(t, 1)))
	}
}
