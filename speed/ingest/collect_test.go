package ingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"recount/schemas/access"
)

// collector may send flights, as a page with a key of scope collect does.
func collector() access.Principal {
	return access.Principal{Tenant: "acme", KeyID: "k", Scopes: access.Collects,
		Collect: &access.Collect{Types: []string{"flight.departed", "not.declared"}, Origins: []string{"*"}, Rate: 1}}
}

// beacon sends a body as a sender.
func beacon(t *testing.T, s *Server, p access.Principal, body, contentType string) response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), p)))
	out := response{Status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return out
}

// flightOf is an event of a type, without a time.
func flightOf(id, eventType string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"data":{"origin":"ORD","destination":"ATL"}}`, id, eventType)
}

// TestBeacons: with a key of scope collect a page may send the content types for which a browser asks nobody. With
// another key they are refused, because a page could send them with what its user may do.
func TestBeacons(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := runWith(t, testConfig(), 2, log, Options{Now: func() time.Time { return testNow }})
	for i, contentType := range []string{"text/plain;charset=UTF-8", "text/plain", "", "application/json"} {
		body := flightOf(fmt.Sprint(i, "a"), "flight.departed")
		if i%2 == 0 {
			body = "[" + body + "," + flightOf(fmt.Sprint(i, "b"), "flight.departed") + "]"
		}
		if got := beacon(t, s, collector(), body, contentType); got.Status != 200 || got.Accepted != 2-i%2 {
			t.Errorf("%q: %+v", contentType, got)
		}
		got := beacon(t, s, access.Local(), body, contentType)
		want := "unsupported_media_type"
		if contentType == "application/json" {
			want = ""
		}
		if got.Code != want {
			t.Errorf("%q with another key: %+v", contentType, got)
		}
	}
	if got := beacon(t, s, collector(), "{}", "text/plain;charset=latin1"); got.Code != "unsupported_media_type" {
		t.Errorf("latin1: %+v", got)
	}
}

// TestCollectsOnlyWhatTheKeyAllows sends what a key of scope collect may not send. Nothing of it is stored, neither as
// an event nor as a dead letter, which a replay would count whatever its age.
func TestCollectsOnlyWhatTheKeyAllows(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := runWith(t, testConfig(), 1, log, Options{Now: func() time.Time { return testNow }})
	at := func(ago time.Duration) string { return testNow.Add(-ago).Format(time.RFC3339) }
	for _, c := range []struct{ name, body, want string }{
		{"another type", flightOf("1", "all"), "0:forbidden "},
		{"a type that is neither allowed nor declared", flightOf("1", "other"), "0:forbidden "},
		{"a type of recount itself", flightOf("1", "recount.dead_letter"), "0:forbidden "},
		{"an allowed type that is not declared", flightOf("1", "not.declared"), "0:unknown_type "},
		{"no type", `{"id":"1"}`, "0:missing_type "},
		{"another type without an id", `{"type":"all"}`, "0:missing_id "},
		{"data before another type", `{"id":"1","data":{"origin":7},"type":"all"}`, "0:forbidden "},
		{"a wrong field", `{"id":"1","type":"flight.departed","data":{"origin":7}}`, "0:invalid_field "},
		{"a day old", `{"id":"1","type":"flight.departed","time":"` + at(25*time.Hour) + `"}`, "0:time_too_old "},
		{"not JSON", `{"id":`, ""},
	} {
		got := beacon(t, s, collector(), c.body, "text/plain")
		if stored := len(log.all(t, 1)); got.codes() != c.want || got.Accepted != 0 || stored != 0 {
			t.Errorf("%s: %+v, %d stored, want %q", c.name, got, stored, c.want)
		}
	}
	good := `{"id":"9","type":"flight.departed","time":"` + at(23*time.Hour) + `"}`
	if got := beacon(t, s, collector(), "["+flightOf("8", "all")+","+good+"]", "text/plain"); got.Status != 200 ||
		got.Accepted != 1 || got.codes() != "0:forbidden " || got.Receipt != "" {
		t.Errorf("a good event beside another type: %+v", got)
	}
	large := flightOf(strings.Repeat("x", collectBytes), "flight.departed")
	if got := beacon(t, s, collector(), large, ""); got.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %+v", got)
	}
	if got := beacon(t, s, access.Local(), large, "application/json"); got.Code != "all_rejected" {
		t.Errorf("a large body with another key after it: %+v", got)
	}
}

// TestLimitsOfCollectAreForgotten: a request of another key that uses the same memory afterwards is not restricted.
func TestLimitsOfCollectAreForgotten(t *testing.T) {
	t.Parallel()
	s := runWith(t, testConfig(), 1, &memoryLog{}, Options{Now: func() time.Time { return testNow }})
	for i := range 20 {
		if got := beacon(t, s, collector(), flightOf(fmt.Sprint(i), "flight.departed"), ""); got.Accepted != 1 {
			t.Fatalf("%+v", got)
		}
		old := fmt.Sprintf(`{"id":"o%d","type":"all","time":"1999-01-01T00:00:00Z"}`, i)
		if got := beacon(t, s, access.Local(), old, "application/json"); got.Accepted != 1 {
			t.Fatalf("%+v", got)
		}
	}
}

// FuzzBeacon sends any bytes as a beacon. Nothing but an event of an allowed type is ever stored.
func FuzzBeacon(f *testing.F) {
	f.Add([]byte(flightOf("1", "flight.departed")), "text/plain")
	f.Add([]byte("["+flightOf("1", "all")+"]"), "")
	f.Add([]byte(flightOf("1", "all")+"\n"+flightOf("2", "flight.departed")), "application/x-ndjson")
	f.Add([]byte(`{"data":{"origin":1},"type":"all","id":"1","type":"flight.departed"}`), "text/plain; charset=utf-8")
	s := runWith(f, testConfig(), 1, &memoryLog{}, Options{Now: func() time.Time { return testNow }})
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		q := s.current().requests.Get().(*request)
		defer q.declared.requests.Put(q)
		defer q.recycle()
		kind, p := kindOf(http.Header{"Content-Type": {contentType}}, true)
		if p != nil {
			return
		}
		q.held = s.memory.held("acme")
		q.setPrincipal(collector())
		q.decoder.setTenant("acme", nil)
		q.body = append(q.body[:0], body...)
		_ = q.decode(kind, http.Header{}, testNow)
		for _, c := range q.chunks {
			for i := range c.n {
				if id := c.id.value(i); !bytes.Contains(body, id) && !bytes.ContainsRune(body, '\\') {
					t.Errorf("an id %q that was not sent", id)
				}
			}
			if got := c.eventType.name; got != "flight.departed" {
				t.Errorf("an event of type %s is stored", got)
			}
		}
	})
}

// wrapped is a writer as a log of requests makes one.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestTooLargeIsAnsweredBeforeTheEnd: a body over the limit is answered although its sender does not end it, also if
// the writer is wrapped.
func TestTooLargeIsAnsweredBeforeTheEnd(t *testing.T) {
	t.Parallel()
	s := runWith(t, testConfig(), 1, &memoryLog{}, Options{Now: func() time.Time { return testNow }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(wrapped{w}, r.WithContext(access.NewContext(r.Context(), collector())))
	}))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		collectBytes+1, strings.Repeat("x", collectBytes+1)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("%s, closes the connection: %v", res.Status, res.Close)
	}
}
