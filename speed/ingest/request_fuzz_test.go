package ingest

import (
	"strings"
	"testing"
)

// FuzzRequest sends any bytes as a body of each content type and coding: the answer is one of
// the table's, and its receipt names as many events as were accepted.
func FuzzRequest(f *testing.F) {
	kinds := []string{lines, plain, structured, batch, "text/plain"}
	codings := []string{"identity", "gzip", "zstd", "gzip, gzip"}
	two := ev("") + "\n" + strings.Replace(ev(""), `"a"`, `"b"`, 1) + "\n{]\n"
	f.Add(uint8(0), uint8(0), []byte(two))
	f.Add(uint8(1), uint8(0), []byte("["+ev("")+","+data(`"i":1,"z":[{}]`)+"]"))
	f.Add(uint8(2), uint8(0), []byte(ev(`,"datacontenttype":"application/json","data_base64":"eyJpIjo1fQ=="`)))
	for coding, name := range codings[1:3] {
		f.Add(uint8(0), uint8(coding+1), []byte(compressed(f, name, two)))
	}
	cfg := testConfig()
	cfg.BodyBytes, cfg.DecodedBytes, cfg.EventBytes, cfg.Events = 64<<10, 256<<10, 8<<10, 1000
	s := run(f, cfg, 2, noLog{})
	f.Fuzz(func(t *testing.T, kind, coding uint8, body []byte) {
		r := post(t, s, string(body), "Content-Type", kinds[int(kind)%len(kinds)], "Content-Encoding", codings[int(coding)%len(codings)])
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
			places, err := DecodeReceipt(r.Receipt)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range places {
				placed += p.Count
			}
		}
		if placed < r.Accepted {
			t.Fatalf("%d events accepted, the receipt has %d", r.Accepted, placed)
		}
	})
}
