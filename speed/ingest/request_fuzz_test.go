package ingest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"recount/schemas/problem"
)

// FuzzRequest sends any bytes as a body of each content type and coding. The status is one that
// ingest documents, the receipt names at least the accepted events, and every event of the body
// is accepted or rejected.
func FuzzRequest(f *testing.F) {
	kinds := []string{ndjson, plain, structured, batch, "text/plain"}
	codings := []string{"identity", "gzip", "zstd", "gzip, gzip"}
	two := event("") + "\n" + strings.Replace(event(""), `"a"`, `"b"`, 1) + "\n{]\n"
	f.Add(uint8(0), uint8(0), []byte(two))
	f.Add(uint8(1), uint8(0), []byte("["+event("")+","+dataWith(`"i":1,"z":[{}]`)+"]"))
	f.Add(uint8(2), uint8(0), []byte(event(`,"datacontenttype":"application/json","data_base64":"eyJpIjo1fQ=="`)))
	long := `"` + strings.Repeat(`\n`, 8<<10+1) + `"` // is beyond a limit, and no object
	f.Add(uint8(1), uint8(0), []byte("["+long+","+event("")+","+strings.Replace(event(""), `"a"`, `"b"`, 1)+"]"))
	f.Add(uint8(0), uint8(0), []byte(long+"\n"+two))
	for coding, name := range codings[1:3] {
		f.Add(uint8(0), uint8(coding+1), []byte(compressed(f, name, two)))
	}
	cfg := testConfig()
	cfg.BodyBytes = 64 << 10
	cfg.DecodedBytes = 256 << 10
	cfg.EventBytes = 8 << 10
	cfg.Events = 1000
	s := run(f, cfg, 2, noLog{})
	f.Fuzz(func(t *testing.T, kind, coding uint8, body []byte) {
		r := post(t, s, string(body), "Content-Type", kinds[int(kind)%len(kinds)], "Content-Encoding",
			codings[int(coding)%len(codings)])
		switch r.Status {
		case 200, 400, 413, 415:
		default:
			t.Fatalf("got %+v", r)
		}
		if (r.Status == 200) != (r.Code == "") {
			t.Fatalf("status %d with code %q", r.Status, r.Code)
		}
		placed := 0
		if r.Receipt != "" {
			places, err := DecodeReceipt(r.Receipt, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range places {
				placed += p.Count
			}
		}
		if placed < r.Accepted {
			t.Fatalf("%d events were accepted, and the receipt names %d", r.Accepted, placed)
		}
		if n, ok := countEvents(kinds[int(kind)%len(kinds)], body); ok &&
			codings[int(coding)%len(codings)] == "identity" && r.Status != 413 {
			if r.Status != 200 && r.Code != string(problem.AllRejected) {
				t.Fatalf("the body has %d events, and the answer is %d %s", n, r.Status, r.Code)
			}
			checkComplete(t, r, n)
		}
	})
}

// countEvents returns how many events a body has: elements of an array, or lines that are not
// empty. ok is false for other bodies.
func countEvents(kind string, body []byte) (n int, ok bool) {
	switch kind {
	case plain, batch:
		var events []json.RawMessage
		err := json.Unmarshal(body, &events)
		return len(events), err == nil && events != nil
	case ndjson:
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if len(bytes.Trim(line, " \t\r")) > 0 {
				n++
			}
		}
		return n, true
	}
	return 0, false
}

// checkComplete fails unless each of n events was accepted, or rejected under its own index.
func checkComplete(t *testing.T, r response, n int) {
	t.Helper()
	last := -1
	for _, e := range r.Rejected {
		if e.Index <= last || e.Index >= n {
			t.Fatalf("the index %d follows %d, of %d events", e.Index, last, n)
		}
		last = e.Index
	}
	if r.Accepted+len(r.Rejected) != n {
		t.Fatalf("the body has %d events; %d were accepted and %d rejected", n, r.Accepted, len(r.Rejected))
	}
}
