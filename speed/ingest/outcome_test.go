package ingest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount/schemas/eventbatch"
	"recount/schemas/problem"
)

const (
	structured = "application/cloudevents+json"
	batch      = "application/cloudevents-batch+json"
	ndjson     = "application/x-ndjson"
	plain      = "application/json"
)

// event returns an event of type all with the id a. more is the text of further members.
func event(more string) string {
	return `{"specversion":"1.0","id":"a","source":"s","type":"all","time":"2001-01-01T00:01:00Z"` + more + `}`
}

func dataWith(fields string) string { return event(`,"data":{` + fields + `}`) }

// TestEventOutcomes is the table of what happens to one event. An empty code means that it is stored.
func TestEventOutcomes(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, c := range []struct{ name, event, code string }{
		{"plain", event(``), ""},
		{"null attributes are missing",
			`{"id":"a","type":"all","time":null,"subject":null,"source":null,"specversion":null,"data":null}`, ""},
		{"lenient without specversion and source", `{"id":"a","type":"all"}`, ""},
		{"data before type", `{"data":{"i":5},"id":"a","type":"all"}`, ""},
		{"white space", " { \"id\" : \"a\" ,\t\"type\" : \"all\" , \"data\" : { \"i\" : 1 , \"z\" : [ 1 , { } ] } } ",
			""},
		{"escaped keys and values", `{"\u0069d":"a","type":"a\u006cl"}`, ""},
		{"an id of 200 bytes", `{"type":"all","id":"` + strings.Repeat("x", 200) + `"}`, ""},
		{"whole numbers", dataWith(`"i":5.0`), ""},
		{"exponent", dataWith(`"i":5e0`), ""},
		{"largest", dataWith(`"i":9223372036854775807`), ""},
		{"smallest", dataWith(`"i":-9223372036854775808`), ""},
		{"declared fields null", dataWith(`"i":null,"s":null,"b":null,"f":null,"t":null`), ""},
		{"extension", event(`,"traceparent":"00-1","sampled":true,"n":3`), ""},
		{"json content type", event(`,"datacontenttype":"application/vnd.x+json; charset=utf-8","data":{}`), ""},
		{"data_base64 of JSON", event(`,"datacontenttype":"application/json","data_base64":"eyJpIjo1fQ=="`), ""},
		{"unknown number beyond float64", dataWith(`"z":1e999`), ""},

		{"array", `[1]`, "invalid_event"},
		{"number", `12`, "invalid_event"},
		{"no id", `{"type":"all"}`, "missing_id"},
		{"empty id", `{"type":"all","id":""}`, "missing_id"},
		{"null id", `{"type":"all","id":null}`, "missing_id"},
		{"long id", `{"type":"all","id":"` + strings.Repeat("x", 201) + `"}`, "id_too_long"},
		{"number id", `{"type":"all","id":7}`, "invalid_attribute"},
		{"no type", `{"id":"a"}`, "missing_type"},
		{"unknown type", `{"id":"a","type":"none"}`, "unknown_type"},
		{"specversion", `{"id":"a","type":"all","specversion":"0.3"}`, "invalid_specversion"},
		{"attribute twice", event(`,"id":"b"`), "duplicate_key"},
		{"attribute twice, escaped", event(`,"i\u0064":"b"`), "duplicate_key"},
		{"extension twice", event(`,"x":1,"x":2`), "duplicate_key"},
		{"data twice", event(`,"data":{},"data":{}`), "duplicate_key"},
		{"declared field twice", dataWith(`"i":1,"i":1`), "duplicate_key"},
		{"null, then again", dataWith(`"i":null,"i":1`), "duplicate_key"},
		{"unknown field twice", dataWith(`"z":1,"\u007a":2`), "duplicate_key"},
		{"nested field twice", dataWith(`"z":[{"a":1,"b":2,"a":3}]`), "duplicate_key"},
		{"extension name", event(`,"Trace_Parent":"x"`), "invalid_attribute"},
		{"extension object", event(`,"trace":{}`), "invalid_attribute"},
		{"long source", `{"id":"a","type":"all","source":"` + strings.Repeat("x", 1025) + `"}`, "invalid_attribute"},
		{"time", `{"id":"a","type":"all","time":"2001-01-01"}`, "invalid_time"},
		{"empty time", `{"id":"a","type":"all","time":""}`, "invalid_time"},
		{"before 1970", `{"id":"a","type":"all","time":"1969-12-31T23:59:59.999999Z"}`, "time_too_old"},
		{"1970", `{"id":"a","type":"all","time":"1970-01-01T00:00:00Z"}`, ""},
		{"five minutes ahead", `{"id":"a","type":"all","time":"2026-11-23T12:05:00Z"}`, ""},
		{"more", `{"id":"a","type":"all","time":"2026-11-23T12:05:00.000001Z"}`, "time_in_future"},
		{"beyond 2261", `{"id":"a","type":"all","time":"2262-01-01T00:00:00Z"}`, "time_in_future"},
		{"string for int64", dataWith(`"i":"5"`), "invalid_field"},
		{"fraction for int64", dataWith(`"i":5.5`), "invalid_field"},
		{"tiny fraction for int64", dataWith(`"i":5.00000000000000000001`), "invalid_field"},
		{"2^63", dataWith(`"i":9223372036854775808`), "number_out_of_range"},
		{"huge exponent", dataWith(`"i":1e999999999`), "number_out_of_range"},
		{"number for string", dataWith(`"s":5`), "invalid_field"},
		{"number for bool", dataWith(`"b":1`), "invalid_field"},
		{"bool for float64", dataWith(`"f":true`), "invalid_field"},
		{"NaN as string", dataWith(`"f":"NaN"`), "invalid_field"},
		{"float64 overflow", dataWith(`"f":1e309`), "number_out_of_range"},
		{"object for string", dataWith(`"s":{}`), "invalid_field"},
		{"timestamp", dataWith(`"t":"yesterday"`), "invalid_field"},
		{"timestamp beyond 2261", dataWith(`"t":"2300-01-01T00:00:00Z"`), "invalid_field"},
		{"data of another kind", event(`,"data":[1]`), "invalid_data"},
		{"data text", event(`,"data":"x"`), "invalid_data"},
		{"xml", event(`,"datacontenttype":"application/xml","data":"<x/>"`), "invalid_data"},
		{"xml object", event(`,"datacontenttype":"application/xml","data":{}`), "unsupported_data"},
		{"data_base64", event(`,"data_base64":"AAEC"`), "unsupported_data"},
		{"data_base64 and data", event(`,"datacontenttype":"application/json","data_base64":"e30=","data":{}`),
			"invalid_data"},
		{"data_base64 is not base64", event(`,"datacontenttype":"application/json","data_base64":"?"`), "invalid_data"},
		{"data_base64 of half an object", event(`,"datacontenttype":"application/json","data_base64":"ew=="`),
			"invalid_data"},
		{"bad UTF-8", dataWith("\"s\":\"\xff\""), "invalid_utf8"},
		{"bad UTF-8 in a key", dataWith("\"\xc3\":1"), "invalid_utf8"},
		{"half a surrogate pair", dataWith(`"s":"\ud83d"`), "invalid_utf8"},
		{"swapped surrogates", dataWith(`"s":"\ude00\ud83d"`), "invalid_utf8"},
		{"deep", dataWith(`"z":` + deep), "too_deep"},
		{"deep event", deep, "too_deep"},
		{"many fields", dataWith(`"z":{` + strings.Repeat(`"a":1,`, 1000) + `"b":1}`), "too_many_fields"},
		{"large", dataWith(`"z":"` + strings.Repeat("x", 256<<10) + `"`), "event_too_large"},
		{"large, escaped", dataWith(`"z":"` + strings.Repeat(`\"`, 2<<20) + `"`), "event_too_large"},
		{"large without end", `{"id":"` + strings.Repeat(`\n`, 2<<20), "invalid_json"},
		{"large id", `{"type":"all","id":"` + strings.Repeat("x", 1<<20) + `"}`, "event_too_large"},
		{"deep, 10^5", dataWith(`"z":` + strings.Repeat(`{"a":[`, 50_000) + strings.Repeat("]}", 50_000)), "too_deep"},
		{"deep, without end", dataWith(`"z":` + strings.Repeat("[", 100_000)), "invalid_json"},
		{"many digits", dataWith(`"i":` + strings.Repeat("1", 100_000)), "number_out_of_range"},
		{"many digits of a fraction", dataWith(`"f":0.` + strings.Repeat("3", 100_000)), ""},
		{"many zeros", dataWith(`"i":0.` + strings.Repeat("0", 100_000)), ""},
		{"1e400", dataWith(`"f":1e400`), "number_out_of_range"},
		{"-0", dataWith(`"f":-0,"i":-0`), ""},
		{"2^63 as a float", dataWith(`"f":9223372036854775808`), ""},
		{"Infinity", dataWith(`"f":Infinity`), "invalid_json"},
		{"-Infinity", dataWith(`"f":-Infinity`), "invalid_json"},
		{"NUL, escaped, in an id", `{"type":"all","id":"a\u0000b"}`, ""},

		{"NaN", dataWith(`"f":NaN`), "invalid_json"},
		{"leading zero", dataWith(`"i":01`), "invalid_json"},
		{"plus", dataWith(`"i":+1`), "invalid_json"},
		{"bare point", dataWith(`"f":1.`), "invalid_json"},
		{"empty exponent", dataWith(`"f":1e`), "invalid_json"},
		{"single quotes", `{'id':'a'}`, "invalid_json"},
		{"trailing comma", `{"id":"a","type":"all",}`, "invalid_json"},
		{"comment", `{"id":"a"/**/}`, "invalid_json"},
		{"control character", "{\"id\":\"a\tb\"}", "invalid_json"},
		{"unknown escape", `{"id":"\x"}`, "invalid_json"},
		{"cut off", `{"id":"a","type":"all"`, "invalid_json"},
		{"cut off in a string", `{"id":"a`, "invalid_json"},
		{"cut off in an escape", `{"id":"a\`, "invalid_json"},
		{"half a literal", `{"id":nul}`, "invalid_json"},
		{"NUL byte", "{\"id\":\x00}", "invalid_json"},
		{"byte order mark", "\ufeff{}", "invalid_json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := &memoryLog{}
			s := run(t, testConfig(), 2, log)
			r := post(t, s, c.event+"\n", "Content-Type", ndjson)
			if c.code == "" {
				if r.Status != 200 || r.Accepted != 1 || len(log.events(t, 2)) != 1 {
					t.Errorf("got %+v, want the event to be accepted", r)
				}
				return
			}
			if r.Status != 400 || r.Code != "all_rejected" || r.codes() != "0:"+c.code+" " ||
				len(log.events(t, 2)) != 0 {
				t.Errorf("got %+v, want %s", r, c.code)
			}
			checkDeadLetters(t, log.deadLetters(t, 2), r, c.event)
		})
	}
}

// TestRejectedEventsKeepTheirID checks that the id of a rejected event is read even if it comes
// after the mistake, and that good events of the request are kept.
func TestRejectedEventsKeepTheirID(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 2, log)
	r := post(t, s, `[{"type":"none","data":{"i":1},"id":"x1"},{"id":"good","type":"all"},`+
		`{"type":"all","data":{"i":"no"},"id":"x2"},7]`, "Content-Type", plain)
	got := r.codes()
	want := "0:unknown_type 2:invalid_field 3:invalid_event "
	if got != want || r.Status != 200 || r.Accepted != 1 {
		t.Errorf("got %+v, want %s", r, want)
	}
	if r.Rejected[0].ID != "x1" || r.Rejected[1].ID != "x2" {
		t.Errorf("got %+v", r.Rejected)
	}
	if _, ok := log.events(t, 2)["good"]; !ok {
		t.Error("the good event is not in the log")
	}
}

func compressed(t testing.TB, coding, body string) string {
	t.Helper()
	var b bytes.Buffer
	if coding == "gzip" {
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(body))
		_ = w.Close()
		return b.String()
	}
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(body))
	_ = w.Close()
	return b.String()
}

// TestRequestOutcomes is the table of what happens to whole requests.
func TestRequestOutcomes(t *testing.T) {
	t.Parallel()
	two := event("") + "\n\n \r\n" + strings.Replace(event(""), `"a"`, `"b"`, 1)
	bomb := strings.Repeat(" ", 200<<10)
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
		accepted   int
	}{
		{"structured", event(""), []string{"Content-Type", structured}, 200, "", 1},
		{"structured, charset", event(""), []string{"Content-Type", structured + "; charset=UTF-8"}, 200, "", 1},
		{"structured is strict", `{"id":"a","type":"all","source":"s"}`, []string{"Content-Type", structured}, 400,
			"all_rejected", 0},
		{"structured needs a source", `{"id":"a","type":"all","specversion":"1.0"}`,
			[]string{"Content-Type", structured}, 400, "all_rejected", 0},
		{"structured is no array", "[" + event("") + "]", []string{"Content-Type", structured}, 400, "invalid_json", 0},
		{"two in one", event("") + event(""), []string{"Content-Type", structured}, 400, "invalid_json", 0},
		{"batch", "[" + event("") + "]", []string{"Content-Type", batch}, 200, "", 1},
		{"empty batch", " [ ] ", []string{"Content-Type", batch}, 200, "", 0},
		{"batch is no object", event(""), []string{"Content-Type", batch}, 400, "invalid_json", 0},
		{"broken batch keeps nothing", "[" + event("") + `,{"id":}]`, []string{"Content-Type", batch}, 400,
			"invalid_json", 0},
		{"open batch", "[" + event(""), []string{"Content-Type", batch}, 400, "invalid_json", 0},
		{"trailing comma", "[" + event("") + ",]", []string{"Content-Type", batch}, 400, "invalid_json", 0},
		{"more after the batch", "[" + event("") + "] 1", []string{"Content-Type", batch}, 400, "invalid_json", 0},
		{"json object", event(""), []string{"Content-Type", plain}, 200, "", 1},
		{"json array", "[" + event("") + "]", []string{"Content-Type", plain}, 200, "", 1},
		{"empty json", "", []string{"Content-Type", plain}, 400, "invalid_json", 0},
		{"lines", two, []string{"Content-Type", ndjson}, 200, "", 2},
		{"no lines", "\n\n", []string{"Content-Type", ndjson}, 200, "", 0},
		{"a broken line refuses only itself", "{]\n" + two, []string{"Content-Type", ndjson}, 200, "", 2},
		{"more on a line", event("") + " x\n", []string{"Content-Type", ndjson}, 400, "all_rejected", 0},
		{"gzip", compressed(t, "gzip", two), []string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 200, "", 2},
		{"zstd", compressed(t, "zstd", two), []string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 200, "", 2},
		{"cut gzip", compressed(t, "gzip", two)[:30], []string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400,
			"invalid_encoding", 0},
		{"cut zstd", compressed(t, "zstd", two)[:30], []string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400,
			"invalid_encoding", 0},
		{"not gzip", two, []string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400, "invalid_encoding", 0},
		{"not zstd", two, []string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"gzip bomb", compressed(t, "gzip", bomb), []string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 413,
			"body_too_large", 0},
		{"zstd bomb", compressed(t, "zstd", bomb), []string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 413,
			"body_too_large", 0},
		{"large body", bomb, []string{"Content-Type", ndjson}, 413, "body_too_large", 0},
		{"brotli", "x", []string{"Content-Type", ndjson, "Content-Encoding", "br"}, 415, "unsupported_encoding", 0},
		{"gzip in gzip", compressed(t, "gzip", compressed(t, "gzip", two)),
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip, gzip"}, 415, "unsupported_encoding", 0},
		{"two headers of encodings", two,
			[]string{"Content-Type", ndjson, "Content-Encoding", "identity", "Content-Encoding", "gzip"}, 415,
			"unsupported_encoding", 0},
		{"gzip in two members",
			compressed(t, "gzip", event("")) + compressed(t, "gzip", "\n"+two[len(two)-len(event("")):]),
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 200, "", 2},
		{"gzip bomb of many members", strings.Repeat(compressed(t, "gzip", bomb[:10<<10]), 11),
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 413, "body_too_large", 0},
		{"gzip with more after it", compressed(t, "gzip", two) + "x",
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400, "invalid_encoding", 0},
		{"gzip with a wrong checksum", wrongLast(compressed(t, "gzip", two), 5),
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400, "invalid_encoding", 0},
		{"gzip with a wrong length", wrongLast(compressed(t, "gzip", two), 1),
			[]string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400, "invalid_encoding", 0},
		{"zstd with more after it", compressed(t, "zstd", two) + "more",
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"zstd with a wrong checksum", wrongLast(compressed(t, "zstd", two), 1),
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"zstd with a window of 2 GiB", "\x28\xb5\x2f\xfd\x00\xa8" + "\x01\x00\x00",
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"zstd that promises 2^63 bytes", "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x80" + "\x01\x00\x00",
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"zstd with an unfinished skippable frame", "\x50\x2a\x4d\x18\xff\xff\xff\xff" + strings.Repeat("x", 1000),
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"zstd with an unknown dictionary", "\x28\xb5\x2f\xfd\x21\x07\x05\x29\x00\x00hello",
			[]string{"Content-Type", ndjson, "Content-Encoding", "zstd"}, 400, "invalid_encoding", 0},
		{"empty gzip", "", []string{"Content-Type", ndjson, "Content-Encoding", "gzip"}, 400, "invalid_encoding", 0},
		{"two content types", event(""), []string{"Content-Type", ndjson, "Content-Type", plain}, 415,
			"unsupported_media_type", 0},
		{"many events", strings.Repeat("{}\n", 11), []string{"Content-Type", ndjson}, 413, "too_many_events", 0},
		{"no content type", event(""), nil, 415, "unsupported_media_type", 0},
		{"text", event(""), []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", 0},
		{"latin1", event(""), []string{"Content-Type", plain + "; charset=latin1"}, 415, "unsupported_media_type", 0},
		{"binary", `{"i":5}`, binaryHeaders("Content-Type", plain), 200, "", 1},
		{"binary without data", ``, binaryHeaders(), 200, "", 1},
		{"binary, xml", `<x/>`, binaryHeaders("Content-Type", "text/xml"), 400, "all_rejected", 0},
		{"binary, broken", `{"i":5`, binaryHeaders("Content-Type", plain), 400, "all_rejected", 0},
		{"binary, array", `[1]`, binaryHeaders("Content-Type", plain), 400, "all_rejected", 0},
		{"binary, attribute twice", ``, binaryHeaders("Ce-Id", "b"), 400, "all_rejected", 0},
		{"binary, quoted", `{"i":5}`, []string{"Content-Type", plain, "Ce-Specversion", `"1.0"`, "Ce-Id", `"a"`,
			"Ce-Source", `"s"`, "Ce-Type", `"all"`}, 200, "", 1},
		{"binary, quote not closed", ``, binaryHeaders("Ce-Subject", `"a`), 400, "all_rejected", 0},
		{"binary, text after the quote", ``, binaryHeaders("Ce-Subject", `"a"b`), 400, "all_rejected", 0},
		{"binary, escaped closing quote", ``, binaryHeaders("Ce-Subject", `"a\"`), 400, "all_rejected", 0},
		{"binary, only a quote", ``, binaryHeaders("Ce-Subject", `"`), 400, "all_rejected", 0},
		{"binary, bad encoding", ``, binaryHeaders("Ce-Subject", "%f"), 400, "all_rejected", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := &memoryLog{}
			cfg := testConfig()
			cfg.BodyBytes = 100 << 10
			cfg.DecodedBytes = 100 << 10
			cfg.EventBytes = 10 << 10
			cfg.Events = 10
			s := run(t, cfg, 2, log)
			r := post(t, s, c.body, c.headers...)
			if r.Status != c.status || r.Code != c.code || r.Accepted != c.accepted ||
				len(log.events(t, 2)) != c.accepted {
				t.Errorf("got %+v, %d stored", r, len(log.events(t, 2)))
			}
			want := len(r.Rejected)
			if r.Code == string(problem.InvalidJSON) {
				want = 1
				checkWhole(t, log.deadLetters(t, 2), r, c.body)
			}
			if got := len(log.deadLetters(t, 2)); got != want {
				t.Errorf("%d dead letters, want %d", got, want)
			}
		})
	}
}

// wrongLast flips a bit of the nth byte from the end.
func wrongLast(s string, n int) string {
	b := []byte(s)
	b[len(b)-n] ^= 1
	return string(b)
}

func binaryHeaders(more ...string) []string {
	return append([]string{"Ce-Specversion", "1.0", "Ce-Id", "a", "Ce-Source", "s", "Ce-Type", "all"}, more...)
}

// TestStoredForm sends the same event in structured and in binary mode, and compares what the log
// holds.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	log := &memoryLog{}
	s := run(t, testConfig(), 1, log)
	body := `{"specversion":"1.0","id":"j","source":"/s ü","type":"all","time":"2001-01-01T01:01:00.1234567+01:00",` +
		`"subject":"sub","dataschema":"d","ext":"e\n",` +
		`"data":{"z":{ "b" : [1, "x y"], "a":2},"i":5.0,"s":"\u00fc\ud83d\ude00","b":true,"f":-0.5,` +
		`"t":"1999-12-31T23:59:59Z","a":null,"c":"\/"}}`
	post(t, s, body, "Content-Type", structured)
	post(t, s, `{"z":{"b":[1,"x y"],"a":2},"f":-5e-1,"s":"ü😀","t":"1999-12-31T23:59:59.0Z","i":5,"b":true,"c":"\/"}`,
		"Content-Type", plain,
		"Ce-Specversion", "1.0", "Ce-Id", "b", "Ce-Source", "/s%20%C3%BC", "Ce-Type", "all", "Ce-Time",
		"2001-01-01T00:01:00.123456Z",
		"Ce-Subject", "sub", "Ce-Dataschema", "d", "Ce-Ext", "e%0A")
	post(t, s, `{"z":{"b":[1,"x y"],"a":2},"f":-5e-1,"s":"ü😀","t":"1999-12-31T23:59:59.0Z","i":5,"b":true,"c":"\/"}`,
		"Content-Type", `application/json`,
		"Ce-Specversion", `"1.0"`, "Ce-Id", `"q\"\\%25"`, "Ce-Source", `"/s ü"`, "Ce-Type", `"all"`, "Ce-Time",
		`"2001-01-01T00:01:00.123456Z"`,
		"Ce-Subject", `"s\ub"`, "Ce-Dataschema", `"d"`, "Ce-Ext", `"e%0A"`)
	post(t, s, `{"id":"assigned","type":"all"}`, "Content-Type", plain)
	got := log.events(t, 1)
	want := stored{ID: "j", Type: "all", Source: "/s ü", Subject: "sub", Tenant: "default", Time: 978307260123456,
		Flags: eventbatch.FlagHashOfValues, Hash: got["j"].Hash,
		Extra:  `{"attributes":{"dataschema":"d","ext":"e\n"},"data":{"c":"\/","z":{"b":[1,"x y"],"a":2}}}`,
		Fields: map[string]any{"i": int64(5), "s": "ü😀", "b": true, "f": -0.5, "t": int64(946684799000000)},
		Place:  got["j"].Place}
	if d := cmp.Diff(want, got["j"]); d != "" {
		t.Error(d)
	}
	want.ID = "b"
	want.Place = got["b"].Place // The hash stays, because it does not depend on the id.
	if d := cmp.Diff(want, got["b"]); d != "" {
		t.Error("binary mode:", d)
	}
	want.ID = `q"\%`
	want.Place = got[want.ID].Place
	if d := cmp.Diff(want, got[want.ID]); d != "" {
		t.Error("quoted headers (HTTP binding, 3.1.3.2):", d)
	}
	if a := got["assigned"]; a.Time != testNow.UnixMicro() || a.Flags != 3 || a.Extra != "" {
		t.Errorf("event without time: got %+v (D1)", a)
	}
}
