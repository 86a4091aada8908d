package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/klauspost/compress/gzip"
)

const (
	ndjson     = "Content-Type: application/x-ndjson"
	plainJSON  = "Content-Type: application/json"
	structured = "Content-Type: application/cloudevents+json"
	batchJSON  = "Content-Type: application/cloudevents-batch+json"
)

// bodyAttacks are attacks by the size and the encoding of a body.
func bodyAttacks() []attack {
	post := func(body func() string, headers ...string) func() []byte {
		return func() []byte { return request("POST", "/v1/events", body(), headers...) }
	}
	good := `{"id":"%s","type":"hit","time":"2024-01-01T00:00:00Z"}` + "\n"
	one := func(id string) string { return fmt.Sprintf(good, id) }
	return []attack{
		{name: "gzip bomb of 4 GiB", want: "413 body_too_large", copies: 6, memory: 384,
			sent: post(func() string { return strings.Repeat(gzipped(strings.Repeat(" ", 16<<20)), 256) }, ndjson,
				"Content-Encoding: gzip")},
		{name: "gzip bomb of a million members", want: "200 accepted 0",
			sent: post(func() string { return strings.Repeat(gzipped(""), 500_000) }, ndjson,
				"Content-Encoding: gzip")},
		{name: "zstd bomb of 16 GiB", want: "413 body_too_large", copies: 6, memory: 512,
			sent: post(func() string { return zstdBomb(16 << 30) }, ndjson, "Content-Encoding: zstd")},
		{name: "zstd bomb of one event", want: "413 body_too_large",
			sent: post(func() string { return zstdBomb(1 << 30) }, structured, "Content-Encoding: zstd")},
		{name: "half a million empty zstd frames", want: "200 accepted 0",
			sent: post(func() string { return strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", 500_000) }, ndjson,
				"Content-Encoding: zstd")},
		{name: "gzip in gzip", want: "415 unsupported_encoding",
			sent: post(func() string { return gzipped(gzipped(one("nested"))) }, ndjson,
				"Content-Encoding: gzip, gzip")},
		{name: "gzip in zstd in gzip by three headers", want: "415 unsupported_encoding",
			sent: post(func() string { return gzipped(one("nested")) }, ndjson, "Content-Encoding: gzip",
				"Content-Encoding: zstd", "Content-Encoding: gzip")},
		{name: "a thousand encodings", want: "415 unsupported_encoding",
			sent: post(func() string { return "" }, ndjson, "Content-Encoding: "+strings.Repeat("gzip,", 1000)+"gzip")},
		{name: "gzip cut off", want: "400 invalid_encoding",
			sent: post(func() string { return gzipped(one("cut"))[:40] }, ndjson, "Content-Encoding: gzip")},
		{name: "gzip with bytes after its end", want: "400 invalid_encoding",
			sent: post(func() string { return gzipped(one("more")) + one("after") }, ndjson,
				"Content-Encoding: gzip")},
		{name: "a body larger than the limit", want: "413 body_too_large", copies: 6, memory: 512,
			sent: post(func() string { return strings.Repeat("x", 17<<20) }, ndjson)},
		{name: "a million events", want: "413 too_many_events", copies: 4, memory: 512,
			sent: post(func() string { return strings.Repeat(`{"id":"a"}`+"\n", 1_000_000) }, ndjson)},
		{name: "a million events in a batch, compressed", want: "413 too_many_events", copies: 4, memory: 512,
			sent: post(func() string { return gzipped("[" + strings.Repeat(`{"id":"a"},`, 999_999) + "{}]") },
				batchJSON, "Content-Encoding: gzip")},
		{name: "100,000 rejected events, compressed", want: "400 all_rejected/missing_type", copies: 4, memory: 512,
			sent: post(func() string {
				return gzipped(strings.Repeat(`{"id":"`+strings.Repeat(`\n`, 60)+`"}`+"\n",
					100_000))
			}, ndjson, "Content-Encoding: gzip")},
		{name: "100,000 copies of one event", want: "200 accepted 100000", kept: 1, memory: 512,
			sent: post(func() string { return strings.Repeat(one("copied"), 100_000) }, ndjson)},
	}
}

// eventAttacks are attacks by the content of an event.
func eventAttacks() []attack {
	send := func(kind, body string) func() []byte {
		return func() []byte { return request("POST", "/v1/events", body, kind) }
	}
	event := func(id, data string) string {
		return `{"specversion":"1.0","id":"` + id +
			`","source":"s","type":"hit","time":"2024-01-01T00:00:00Z","data":{` + data + `}}`
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	rejected := func(code string) string { return "400 all_rejected/" + code }
	return []attack{
		{name: "depth of 10^5", want: rejected("too_deep"), sent: send(structured, event("a", `"z":`+deep))},
		{name: "depth of 10^5 instead of an event", want: rejected("too_deep"), sent: send(plainJSON, "["+deep+"]")},
		{name: "depth of 10^7 without end", want: rejected("invalid_json"),
			sent: send(ndjson, strings.Repeat(`{"a":[`, 1_600_000))},
		{name: "attribute twice", want: rejected("duplicate_key"),
			sent: send(structured, `{"id":"a","id":"b",`+event("c", "")[1:])},
		{name: "field twice", want: rejected("duplicate_key"), sent: send(structured, event("a", `"n":1,"n":2`))},
		{name: "field twice, deep inside", want: rejected("duplicate_key"),
			sent: send(structured, event("a", `"z":[{"y":{"x":1,"\u0078":2}}]`))},
		{name: "invalid UTF-8", want: rejected("invalid_utf8"),
			sent: send(structured, event("a", "\"page\":\"\xc3\x28\""))},
		{name: "overlong UTF-8", want: rejected("invalid_utf8"),
			sent: send(structured, event("a", "\"page\":\"\xc0\xaf\""))},
		{name: "half a surrogate pair", want: rejected("invalid_utf8"),
			sent: send(structured, event("a", `"page":"\ud800"`))},
		{name: "NaN", want: "400 invalid_json", sent: send(structured, event("a", `"f":NaN`))},
		{name: "Infinity", want: "400 invalid_json", sent: send(structured, event("a", `"f":-Infinity`))},
		{name: "2^63", want: rejected("number_out_of_range"),
			sent: send(structured, event("a", `"n":9223372036854775808`))},
		{name: "-2^63", want: rejected("invalid_field"), // It stands for values beyond the limit of a dimension.
			sent: send(structured, event("a", `"n":-9223372036854775808`))},
		{name: "-2^63+1", want: "200 accepted 1", kept: 1,
			sent: send(structured, event("min", `"n":-9223372036854775807`))},
		{name: "2^63-1", want: "200 accepted 1", kept: 1,
			sent: send(structured, event("max", `"n":9223372036854775807`))},
		{name: "1e400", want: rejected("number_out_of_range"), sent: send(structured, event("a", `"f":1e400`))},
		{name: "1e999999999 for an integer", want: rejected("number_out_of_range"),
			sent: send(structured, event("a", `"n":1e999999999`))},
		{name: "-0", want: "200 accepted 1", kept: 1, sent: send(structured, event("-0", `"n":-0,"f":-0.0`))},
		{name: "10^6 digits", want: rejected("number_out_of_range"),
			sent: send(structured, event("a", `"n":`+strings.Repeat("7", 1_000_000)))},
		{name: "10^5 digits", want: rejected("number_out_of_range"),
			sent: send(structured, event("a", `"n":`+strings.Repeat("7", 100_000)))},
		{name: "a string of 10 MB", want: rejected("event_too_large"),
			sent: send(structured, event("a", `"page":"`+strings.Repeat("x", 10<<20)+`"`))},
		{name: "a string of 10 MB of escapes", want: rejected("event_too_large"),
			sent: send(structured, event("a", `"page":"`+strings.Repeat(`\"`, 5<<20)+`"`))},
		{name: "a string of 300 kB of escapes instead of an event", want: "200 accepted 2", kept: 2,
			sent: send(plainJSON, `["`+strings.Repeat(`\n`, 150_000)+`",`+event("after-1", "")+","+
				event("after-2", "")+"]")},
		{name: "an id of 1 MB", want: rejected("event_too_large"),
			sent: send(ndjson, event(strings.Repeat("i", 1<<20), ""))},
		{name: "an id of 201 bytes", want: rejected("id_too_long"),
			sent: send(ndjson, event(strings.Repeat("i", 201), ""))},
		{name: "10^5 fields", want: rejected("too_many_fields"),
			sent: send(ndjson, event("a", strings.Repeat(`"a":1,`, 30_000)+`"b":2`))},
		{name: "NUL byte", want: "400 invalid_json", sent: send(structured, event("a", "\"page\":\"a\x00b\""))},
		{name: "NUL, escaped", want: "200 accepted 1", kept: 1,
			sent: send(structured, event(`nul\u0000`, `"page":"a\u0000b"`))},
		{name: "byte order mark", want: "400 invalid_json", sent: send(structured, "\ufeff"+event("a", ""))},
		{name: "UTF-16", want: "400 invalid_json", sent: send(structured, "\xff\xfe{\x00}\x00")},
		{name: "charset of another name", want: "415 unsupported_media_type",
			sent: send(structured+"; charset=utf-16", event("a", ""))},
		{name: "time of the year 292277026596", want: rejected("invalid_time"),
			sent: send(structured, strings.Replace(event("a", ""), "2024", "292277026596", 1))},
		{name: "a type that is a path", want: rejected("unknown_type"),
			sent: send(structured, strings.Replace(event("a", ""), `"hit"`, `"../../hit"`, 1))},
		{name: "binary mode with 2,000 attributes", want: "400 all_rejected/missing_id", sent: func() []byte {
			var h []string
			for i := range 1000 {
				h = append(h, fmt.Sprintf("ce-x%d: y", i))
			}
			return request("POST", "/v1/events", "",
				append(h, "ce-type: hit", "ce-specversion: 1.0", "ce-source: s")...)
		}},
		{name: "binary mode, an attribute twice", want: rejected("invalid_attribute"), sent: func() []byte {
			return request("POST", "/v1/events", "", "ce-id: a", "ce-id: b", "ce-type: hit", "ce-specversion: 1.0",
				"ce-source: s")
		}},
	}
}

// queryAttacks are attacks on POST and GET /v1/query.
func queryAttacks() []attack {
	const all = `"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z"`
	post := func(more string) func() []byte {
		return func() []byte { return request("POST", "/v1/query", "{"+all+more+"}", plainJSON) }
	}
	get := func(more string) func() []byte {
		return func() []byte {
			return request("GET", "/v1/query?view=hits&from=2024-01-01T00:00:00Z&to=2024-01-02T00:00:00Z"+more, "")
		}
	}
	where := func(op, value string) func() []byte {
		text, _ := json.Marshal(value) // Encoding a string cannot fail.
		return post(`,"where":[{"dimension":"page","op":"` + op + `","value":` + string(text) + `}]`)
	}
	const invalid = "400 invalid_query"
	return []attack{
		{name: "query of depth 10^5", want: invalid, sent: post(`,"where":` + strings.Repeat("[", 100_000))},
		{name: "query of depth 4·10^6", want: invalid, copies: 16, memory: 256,
			sent: func() []byte { return request("POST", "/v1/query", strings.Repeat("[", 4<<20), plainJSON) }},
		{name: "field of a query twice", want: invalid, sent: post(`,"view":"hits"`)},
		{name: "field of a query in another case", want: invalid, sent: post(`,"View":"hits"`)},
		{name: "query with half a surrogate pair", want: invalid,
			sent: post(`,"where":[{"dimension":"page","op":"eq","value":"\ud800"}]`)},
		{name: "10^5 values", want: invalid,
			sent: post(`,"where":[{"dimension":"n","op":"in","values":[` + strings.Repeat("1,", 100_000) + `1]}]`)},
		{name: "4 MB of values, often", want: invalid, copies: 64, memory: 512,
			sent: post(`,"where":[{"dimension":"n","op":"in","values":[` + strings.Repeat("1,", 2_000_000) + `1]}]`)},
		{name: "320,000 values, often", want: "200", copies: 6, memory: 512,
			sent: post(`,"where":[` +
				strings.Repeat(`{"dimension":"n","op":"in","values":[`+strings.Repeat("1,", 9_999)+`1]},`, 31) +
				`{"dimension":"n","op":"eq","value":1}]`)},
		{name: "a query larger than the limit", want: "413 body_too_large", sent: post(strings.Repeat(" ", 5<<20))},
		{name: "a compressed query", want: "415 unsupported_media_type", sent: func() []byte {
			return request("POST", "/v1/query", gzipped("{"+all+"}"), plainJSON, "Content-Encoding: gzip")
		}},
		{name: "292 years of minutes", want: invalid, sent: func() []byte {
			return request("POST", "/v1/query",
				`{"view":"hits","from":"1970-01-01T00:00:00Z","to":"2262-01-01T00:00:00Z","granularity":"1m"}`,
				plainJSON)
		}},
		{name: "200,000 windows, filled, often", want: "200", copies: 4, memory: 512, sent: func() []byte {
			return request("POST", "/v1/query",
				`{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-05-19T00:00:00Z","granularity":"1m",`+
					`"fill":true,"limit":1000000}`, plainJSON)
		}},
		{name: "limit of 2^63", want: invalid, sent: post(`,"limit":9223372036854775808`)},
		{name: "a view that is a statement", want: "404 unknown_view", sent: func() []byte {
			return request("POST", "/v1/query", strings.Replace("{"+all+"}", `"hits"`, `"hits; DROP TABLE hits"`, 1),
				plainJSON)
		}},
		{name: "a name that is a statement", want: invalid,
			sent: post(`,"group_by":["page` + "`" + `) UNION ALL SELECT 1 --"]`)},
		{name: "an order that is a statement", want: invalid, sent: post(`,"order_by":[{"by":"hits; DROP TABLE x"}]`)},
		{name: "a value that is a statement", want: "200", sent: where("eq", `'; DROP TABLE hits; --`)},
		{name: "a value that ends a string", want: "200", sent: where("eq", `\'); SELECT sleep(3); --`)},
		{name: "a value that is a parameter", want: "200", sent: where("eq", `{p0:String}`)},
		{name: "a prefix that is a pattern", want: "200", sent: where("prefix", `(a+)+$%_`)},
		{name: "a value of control characters", want: "200", sent: where("eq", "\x00\a\b\t\n\v\f\r\x1b\x7f\u2028")},
		{name: "a file as a time zone", want: invalid, sent: post(`,"time_zone":"../../etc/passwd"`)},
		{name: "a device as a time zone", want: invalid, sent: post(`,"time_zone":"/dev/zero"`)},
		{name: "a time zone of 1 MB", want: invalid,
			sent: post(`,"time_zone":"` + strings.Repeat("A/", 500_000) + `"`)},
		{name: "GET with 700 conditions", want: invalid, sent: get(strings.Repeat("&where=page:eq:x", 700))},
		{name: "GET with a statement", want: "200",
			sent: get("&where=page:eq:" + url.QueryEscape(`'; DROP TABLE hits; --`))},
		{name: "GET with bad UTF-8", want: invalid, sent: get("&where=page:eq:%ff%fe")},
		{name: "GET with a file as a time zone", want: invalid, sent: get("&time_zone=../../etc/passwd")},
	}
}

// pathAttacks are attacks on the routes.
func pathAttacks() []attack {
	send := func(method, path string, headers ...string) func() []byte {
		return func() []byte { return request(method, path, "", headers...) }
	}
	return []attack{
		{name: "dots", want: "404 not_found", sent: send("GET", "/v1/../../etc/passwd")},
		{name: "dots, encoded", want: "404 not_found", sent: send("GET", "/%2e%2e/%2e%2e/etc/passwd")},
		{name: "dots, twice encoded", want: "404 unknown_view",
			sent: send("GET", "/v1/views/%252e%252e%252fetc%252fpasswd")},
		{name: "dots in a name", want: "404 unknown_view", sent: send("GET", "/v1/views/..%2f..%2fetc%2fpasswd")},
		{name: "NUL in a name", want: "404 unknown_view", sent: send("GET", "/v1/views/hits%00")},
		{name: "empty parts", want: "404 not_found", sent: send("POST", "//v1//events")},
		{name: "backslashes", want: "404 not_found", sent: send("GET", `/v1\views`)},
		{name: "a publication that is not a number", want: "400 invalid_request",
			sent: send("GET", "/v1/publications/1e9")},
		{name: "publication 2^64", want: "400 invalid_request",
			sent: send("GET", "/v1/publications/18446744073709551616")},
		{name: "a publication that does not exist", want: "404 unknown_publication",
			sent: send("GET", "/v1/publications/18446744073709551615?buckets=true")},
		{name: "a job that is a path", want: "404 unknown_job", sent: send("POST", "/v1/jobs/..%2f..%2fexpire/runs")},
		{name: "a job that does not exist", want: "404 unknown_job", sent: send("POST", "/v1/jobs/rm/runs")},
		{name: "runs by GET", want: "405 method_not_allowed", sent: send("GET", "/v1/jobs/recompute/runs")},
		{name: "jobs by DELETE", want: "405 method_not_allowed", sent: send("DELETE", "/v1/jobs")},
		{name: "events by GET without a type", want: "400 invalid_query", sent: send("GET", "/v1/events")},
		{name: "events by PATCH", want: "405 method_not_allowed", sent: send("PATCH", "/v1/events")},
		{name: "query by TRACE", want: "405 method_not_allowed", sent: send("TRACE", "/v1/query")},
		{name: "an unknown method", want: "405 method_not_allowed", sent: send("BREW", "/v1/views")},
		{name: "CONNECT", want: "400 invalid_request", sent: send("CONNECT", "example.org:443")},
		{name: "a page of another origin", want: "403 cross_origin",
			sent: send("POST", "/v1/jobs/recompute/runs", "Origin: http://example.org")},
		{name: "a run with a body of 10 MB", want: "404 unknown_job",
			sent: func() []byte { return request("POST", "/v1/jobs/rm/runs", strings.Repeat("x", 10<<20)) }},
		// net/http answers these in text, before a handler sees them.
		{name: "a path of 1 MB", want: "431 text", sent: send("GET", "/"+strings.Repeat("a", 1<<20))},
		{name: "a header of 1 MB", want: "431 text", copies: 64,
			sent: send("GET", "/healthz", "X: "+strings.Repeat("a", 1<<20))},
		{name: "10^5 headers", want: "431 text", copies: 64,
			sent: send("GET", "/healthz", strings.Repeat("A: b\r\n", 100_000)+"A: b")},
		{name: "a header of 1 MB without end", want: "431 text",
			sent: func() []byte { return []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 1<<20)) }},
	}
}

// messageAttacks are attacks on the framing of HTTP/1.1: wrong lengths, smuggled requests and other
// protocols.
func messageAttacks() []attack {
	raw := func(lines ...string) func() []byte {
		return func() []byte { return []byte(strings.Join(lines, "\r\n")) }
	}
	const head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n" + plainJSON
	event := func(id string) string { return `{"id":"` + id + `","type":"hit","time":"2024-01-01T00:00:00Z"}` }
	next := string(request("POST", "/v1/events", event("next"), plainJSON))
	sized := func(n int, body string) func() []byte {
		return raw(head, fmt.Sprintf("Content-Length: %d", n), "", body)
	}
	chunked := func(chunks ...string) func() []byte {
		return raw(append([]string{head, "Transfer-Encoding: chunked", ""}, chunks...)...)
	}
	return []attack{
		{name: "a body shorter than its length", half: true, want: "400 unreadable_body",
			sent: sized(1000, event("short"))},
		{name: "a body longer than its length", want: "200 accepted 1, 400 text", kept: 1,
			sent: sized(len(event("long")), event("long")+"garbage\r\n\r\n")},
		{name: "a negative length", want: "400 text", sent: sized(-1, event("a"))},
		{name: "a length that is not a number", want: "400 text",
			sent: raw(head, "Content-Length: 1e3", "", event("a"))},
		{name: "two lengths", want: "400 text", sent: raw(head, "Content-Length: 3", "Content-Length: 4", "", "{}  ")},
		{name: "a length of 2^63", want: "400 text",
			sent: raw(head, "Content-Length: 9223372036854775808", "", event("a"))},
		{name: "a length of 2^62", half: true, want: "400 unreadable_body",
			sent: raw(head, "Content-Length: 4611686018427387904", "", event("a"))},
		{name: "a chunk of 2^64", half: true, want: "400 unreadable_body",
			sent: chunked("ffffffffffffffff", event("a"))},
		{name: "a chunk of 2^68", want: "400 unreadable_body", sent: chunked("fffffffffffffffff", event("a"))},
		{name: "a chunk longer than it says", want: "400 unreadable_body", sent: chunked("2", event("a"), "0", "", "")},
		{name: "chunks without end", half: true, want: "400 unreadable_body", sent: chunked("2", "{}")},
		{name: "a chunk with an extension of 1 MB", want: "400 unreadable_body",
			sent: chunked("2;"+strings.Repeat("x", 1<<20), "{}", "0", "", "")},
		{name: "a million chunks", want: "400 unreadable_body",
			sent: chunked(strings.Repeat("1;x=yyyyyyyyyyyyyyyy\r\n \r\n", 1_000_000)+"0", "", "")},
		{name: "a trailer of 1 MB", want: "400 unreadable_body",
			sent: chunked("2", "{}", "0", "X: "+strings.Repeat("x", 1<<20), "", "")},
		{name: "another transfer encoding", want: "501 text",
			sent: raw(head, "Transfer-Encoding: gzip, chunked", "", "0", "", "")},
		{name: "a transfer encoding in disguise", want: "501 text",
			sent: raw(head, "Transfer-Encoding: xchunked", "", "0", "", "")},
		{name: "a transfer encoding with a space", want: "400 text",
			sent: raw(head, "Transfer-Encoding : chunked", "", "0", "", "")},
		{name: "a folded header", want: "400 invalid_json, 400 text",
			sent: raw(head, "X: a", " Transfer-Encoding: chunked", "", "0", "", "")},
		{name: "no host", want: "400 text", sent: raw("GET /healthz HTTP/1.1", "", "")},
		{name: "a bare line feed in a header", want: "400 text",
			sent: raw("GET /healthz HTTP/1.1", "Host: localhost", "X: a\rb", "", "")},
		{name: "events of a client that closed its half", want: "200 accepted 1", half: true, kept: 1,
			sent: raw(string(request("POST", "/v1/events", event("half"), plainJSON)))},
		// With both a length and chunks, the chunks decide where the request ends (RFC 9112, 6.3).
		{name: "a smuggled request after chunks", want: "400 invalid_json, 200 accepted 1", kept: 1,
			sent: raw(head, fmt.Sprintf("Content-Length: %d", len(next)+5), "Transfer-Encoding: chunked", "", "0", "",
				next)},
		{name: "pipelined requests", want: strings.TrimSuffix(strings.Repeat("200 accepted 1, ", 100), ", "), kept: 1,
			sent: raw(strings.Repeat(string(request("POST", "/v1/events", event("pipelined"), plainJSON)), 100))},
		{name: "an unknown expectation", want: "417", sent: raw(head, "Expect: 200-ok", "Content-Length: 2", "", "{}")},
		{name: "HTTP/1.0 with chunks", want: "400 invalid_json",
			sent: raw("POST /v1/events HTTP/1.0", "Host: localhost", plainJSON, "Transfer-Encoding: chunked", "", "0",
				"", "")},
		{name: "HTTP/0.9", want: "400 text", sent: raw("GET /", "")},
		// The server does not speak HTTP/2, so a rapid reset ends at the preface.
		{name: "HTTP/2 rapid reset", want: "505 http_version_not_supported", copies: 64,
			sent: func() []byte { return []byte(rapidReset(10_000)) }},
		{name: "HTTP/2 by upgrade", want: "200, 505 http_version_not_supported",
			sent: raw("GET /healthz HTTP/1.1", "Host: localhost", "Connection: Upgrade, HTTP2-Settings",
				"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "", rapidReset(100))},
	}
}

// unfinishedAttacks are attacks that the server answers after the time limit for a header.
func unfinishedAttacks() []attack {
	return []attack{
		{name: "TLS", want: "400 text", sent: func() []byte {
			return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100))
		}},
	}
}

// rapidReset returns HTTP/2's preface and n streams that are opened and reset at once (CVE-2023-44487).
func rapidReset(n int) string {
	var b strings.Builder
	b.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b.WriteString("\x00\x00\x00\x04\x00\x00\x00\x00\x00") // SETTINGS
	for i := range n {
		id := uint32(2*i + 1)
		stream := string([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
		b.WriteString("\x00\x00\x03\x01\x05" + stream + "\x82\x84\x86")     // HEADERS: GET / http
		b.WriteString("\x00\x00\x04\x03\x00" + stream + "\x00\x00\x00\x08") // RST_STREAM: CANCEL
	}
	return b.String()
}

func gzipped(s string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = w.Write([]byte(s))
	_ = w.Close() // Writing to a buffer cannot fail.
	return b.String()
}

// zstdBomb returns a frame of n spaces, which needs four bytes for every 128 KiB.
func zstdBomb(n int) string {
	const window = "\x28\xb5\x2f\xfd\x00\x68" // a window of 8 MiB, no size, no checksum
	return window + strings.Repeat("\x02\x00\x10 ", n>>17) + "\x01\x00\x00"
}
