package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answer is the answer of a test's server to every request.
type answer struct {
	status int // 0 means 200.
	header map[string]string
	body   string
}

// ask runs a client command against a server that always gives the same answer. It returns the first request as
// method, path and parameters, with its Authorization header.
func ask(t *testing.T, a answer, args ...string) (request, key string, code int, stdout, stderr string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if request == "" {
			query, _ := url.QueryUnescape(r.URL.RawQuery)
			request = r.Method + " " + r.URL.Path + " " + query
			key = r.Header.Get("Authorization")
		}
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		if a.status != 0 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(a.status)
		}
		_, _ = io.WriteString(w, a.body)
	}))
	defer srv.Close()
	code, stdout, stderr = command(t, append(args, "--server", srv.URL)...)
	return request, key, code, stdout, stderr
}

const listedEvents = `{"events":[{"event":{"id":"e1","type":"page.viewed","time":"2024-05-01T00:00:00Z",` +
	`"data":{"page":"/"}},` +
	`"stored_at":{"partition":2,"epoch":1,"sequence":7,"index":1,"time":"2024-05-01T00:00:01Z"},"state":"logged",` +
	`"copy":true}],"publication":4,"missing":["message 6"]}`

const explained = `{"id":"e1","source":"s","partition":2,"publication":4,"dead_letters":[],"events":[{` +
	`"status":"counted","type":"hit","time":"2024-05-01T00:00:07Z","position":{"partition":2,"epoch":1,"sequence":7,` +
	`"index":1},"landed":"2024-05-01T00:01:00Z","object":"data/x.parquet","views":[{"view":"pages",` +
	`"status":"counted","cell":"2024-05-01T00:00:00Z","publication":4,"dimensions":{"page":"/"},` +
	`"overflowed":["page"]},{"view":"errors",` +
	`"status":"not_counted","excluded_by":[{"field":"status","op":"ge","values":[500]}]}]},{"status":"copy",` +
	`"type":"hit","time":"2024-05-01T00:00:07Z","position":{"partition":2,"epoch":1,"sequence":7,"index":2},` +
	`"copy_of":{"partition":2,"epoch":1,"sequence":7,"index":1},"conflict":true,"views":[]}],` +
	`"search":{"complete":true}}`

const changed = `{"view":"v","from_publication":{"publication":7,"totals":{"hits":10}},"to_publication":{` +
	`"publication":9,"totals":{"hits":14}},"days":[{"day":"2024-05-01","added":1,"changed":1,"removed":0,` +
	`"events":{"old":1,"new":5},"causes":["late_events"]}],"changes":[{"time":"2024-05-01T10:00:00Z","key":{` +
	`"page":"/"},"change":"changed","old":{"hits":1},"new":{"hits":2},"events":{"old":1,"new":2},"causes":[` +
	`"late_events"]},{"time":"2024-05-01T11:00:00Z","key":{"page":null},"change":"added","new":{"hits":3},` +
	`"events":{"old":0,"new":3},"causes":["late_events"]}]}`

const accuracy = `{"publication":3,"exact":true,"complete":true}`

// TestClientCommands checks which request each command sends, and what it prints of the answer.
func TestClientCommands(t *testing.T) {
	t.Parallel()
	const day = "--from=2024-05-01T00:00:00Z --to=2024-05-02T00:00:00Z"
	const letter = `{"name":"0-7-1","received":"2024-05-01T00:00:00Z","code":"unknown_type","message":"no such type",` +
		`"event_id":"e1","index":4,"bytes":9,"truncated":false,"strict":true,"raw":"{\"id\":1}\n"}`
	for line, c := range map[string]struct {
		answer  answer
		request string // request is a part of the request.
		code    int
		stdout  string // stdout is a part of the output.
		stderr  string // stderr is a part of the errors.
	}{
		"jobs list": {answer: answer{body: `{"jobs":[{"name":"recompute","schedule":"@every 1m","running":false,` +
			`"next":"2024-05-01T00:02:00Z","runs":[{"id":"r1","job":"recompute","trigger":"request",` +
			`"start":"2024-05-01T00:01:00Z","end":"2024-05-01T00:01:02Z","rows":5,"message":"published 3"}]},` +
			`{"name":"collect","schedule":"","running":true,"runs":[]}]}`},
			request: "GET /v1/jobs ", stdout: "recompute  @every 1m  2024-05-01 00:02:00  2024-05-01 00:01:00  2s    " +
				"5     published 3\ncollect "},
		"jobs run recompute": {answer: answer{body: `{"id":"r1","job":"recompute","message":"published 3"}`},
			request: "POST /v1/jobs/recompute/runs ", stdout: `"message": "published 3"`},
		"health":         {answer: answer{body: `{"status":"ok"}`}, request: "GET /healthz ", stdout: "ok\n"},
		"health --ready": {answer: answer{body: `{"status":"ready"}`}, request: "GET /readyz ", stdout: "ok\n"},
		"health --key-file=" + os.DevNull: {
			answer:  answer{status: 503, body: `{"code":"restart_needed","detail":"restart this process"}`},
			request: "GET /healthz ", code: exitFailed, stderr: "restart this process"},
		"jobs run lunch": {answer: answer{status: 404, body: `{"code":"unknown_job","detail":"unknown job \"lunch\""}`},
			request: "POST /v1/jobs/lunch/runs ", code: exitFailed, stderr: `unknown job "lunch"`},
		"publications list": {answer: answer{body: `{"publications":[{"n":2,"created":"2024-05-01T00:00:00Z",` +
			`"events":40,"pinned":true},{"n":1,"created":"2024-04-30T00:00:00Z","events":30}]}`},
			request: "GET /v1/publications ",
			stdout: "2            2024-05-01 00:00:00  40      for ever\n" +
				"1            2024-04-30 00:00:00  30      for now\n"},
		"publications pin 7": {answer: answer{body: `{"n":7,"created":"2024-05-01T00:00:00Z","pinned":true}`},
			request: "PUT /v1/publications/7/pin ", stdout: "--as-of 7 --mode exact"},
		"changes v --from-publication=7 --to-publication=9 -m hits -g page --where=page=/": {
			answer:  answer{body: changed},
			request: "from_publication=7&group_by=page&limit=1000&measures=hits&to_publication=9&view=v&where=page=/",
			stdout: "time                  page  change   hits    events  causes\n" +
				"2024-05-01T10:00:00Z  /     changed  1 -> 2  1 -> 2  late_events\n" +
				"2024-05-01T11:00:00Z  -     added    - -> 3  0 -> 3  late_events\n",
			stderr: "publication 7: hits 10\npublication 9: hits 14\n" +
				"2024-05-01: 1 added, 1 changed, 0 removed, 1 -> 5 events (late_events)\n"},
		"changes v --from-publication=7 --group-by= --format=csv": {answer: answer{body: "_change\r\n"},
			request: "group_by=&", stdout: "_change\r\n"},
		"changes v --from-publication=6": {answer: answer{status: 410, body: `{"code":"publication_collected",` +
			`"field":"from_publication","detail":"publication 6: the publication has been collected"}`},
			code: exitFailed, stderr: "from_publication: publication 6"},
		"publications pin 8": {answer: answer{status: 410, body: `{"code":"publication_gone","detail":"it is gone"}`},
			request: "PUT /v1/publications/8/pin ", code: exitFailed, stderr: "it is gone"},
		"dead-letters list --code=unknown_type --limit=1": {answer: answer{body: `{"dead_letters":[` + letter +
			`],"cursor":"c1"}`},
			request: "code=unknown_type",
			stdout:  "0-7-1  2024-05-01 00:00:00  unknown_type  -     e1  9      no such type\n",
			stderr:  "there may be more"},
		"dead-letters list --format=csv": {answer: answer{body: `{"dead_letters":[` + letter + `]}`},
			stdout: "0-7-1,2024-05-01T00:00:00Z,unknown_type,,e1,9,no such type\n"},
		"dead-letters show 0-7-1": {answer: answer{body: letter}, request: "GET /v1/dead-letters/0-7-1 ",
			stdout: "event 4 of its request"},
		"dead-letters replay --dry-run": {answer: answer{body: `{"replayed":3,"accepted":2,"failed":[{"name":"0-7-1",` +
			`"event_id":"e1","code":"unknown_type","message":"no such type"}]}`},
			request: "dry_run=true", code: exitFailed, stdout: "replayed 3, would accept 2, failed 1\n",
			stderr: `0-7-1 (id "e1") is still rejected: unknown_type: no such type`},
		"events page.viewed -w page=/ --from=today --limit=3": {answer: answer{body: listedEvents},
			request: "GET /v1/events from=today&limit=3&type=page.viewed&where=page=/",
			stdout:  "2-7-1     2024-05-01T00:00:01Z  logged, copy  2024-05-01T00:00:00Z  e1  {\"page\":\"/\"}\n",
			stderr:  "not listed: message 6"},
		"events t --format=ndjson": {answer: answer{body: listedEvents},
			stdout: "{\"data\":{\"page\":\"/\"},\"id\":\"e1\","},
		"events t --format=json": {answer: answer{body: listedEvents},
			stdout: `"stored_at":{"partition":2,"epoch":1,`},
		"events t": {answer: answer{body: `{"events":[]}`},
			stdout: "POSITION  STORED  STATE  TIME  ID  DATA\n"},
		"events t --limit=0": {code: exitUsage, stderr: "--limit must be at least 1"},
		"events t -w page~1": {code: exitUsage, stderr: "--where"},
		"explain e1 --source=s": {answer: answer{body: explained},
			request: "GET /v1/events/e1 source=s",
			stdout:  "view pages   in publication 4, cell 2024-05-01T00:00:00Z, page \"/\" (as ~overflow)\n"},
		"explain ..": {answer: answer{body: explained}, request: "GET /v1/events/.. "},
		"explain e1": {answer: answer{body: explained}, stdout: "excluded by status ge 500\n"},
		"explain --source=s e1": {answer: answer{body: explained},
			stdout: "2-7-2          copy of 2-7-1, with another payload\n"},
		"explain e1 --format=json": {answer: answer{body: explained}, stdout: `"conflict": true`},
		"explain e2": {answer: answer{body: `{"id":"e2","events":[],"dead_letters":[],"search":{"complete":true}}`},
			code: exitFailed, stderr: "name it with --source"},
		"explain e3": {answer: answer{body: `{"id":"e3","events":[],"dead_letters":[` + letter + `],"search":{}}`},
			stdout: "0-7-1       rejected: unknown_type: no such type\n"},
		"explain": {code: exitUsage, stderr: "name an event by its id"},
		"explain --receipt=AQ": {answer: answer{body: `{"publication":4,"events":2,"places":[{"position":{` +
			`"partition":2,"epoch":1,"sequence":7,"index":0},"count":2,"state":"published",` +
			`"landed":"2024-05-01T00:00:00Z"}]}`},
			request: "GET /v1/receipts/AQ ", stdout: "2-7-0     2       published, now in publication 4"},
		"query v -m hits -g page -o hits:desc -w page:in:/,/a --format=csv " + day: {
			answer:  answer{header: map[string]string{"Recount-Accuracy": accuracy}, body: "page,hits\r\n/,3\r\n"},
			request: "GET /v1/query ", stdout: "page,hits\r\n/,3\r\n", stderr: "publication 3, exact\n"},
		"query v --time-zone=Europe/Berlin --granularity=1d --as-of=2 --mode=exact --limit=7 " + day: {
			answer:  answer{header: map[string]string{"Recount-Accuracy": accuracy}, body: "hits\r\n3\r\n"},
			request: "time_zone=Europe/Berlin", stdout: "hits\n3\n"},
		"query v --totals " + day: {
			answer: answer{header: map[string]string{"Recount-Accuracy": accuracy, "Recount-Totals": `{"hits":9}`},
				body: "hits\r\n3\r\n"}, request: "totals=true", stdout: "hits\n3\n",
			stderr: "totals {\"hits\":9}\npublication 3, exact\n"},
		"query v --others --mode=exact -g page,user " + day: {
			answer: answer{header: map[string]string{"Recount-Accuracy": accuracy, "Recount-Next": "AQ"},
				body: "page,user,hits,__others\r\n/,a,3,false\r\n,,4,true\r\n"}, request: "others=true",
			stdout: "page      user  hits\n/         a     3\n(others)  -     4\n", stderr: "next page: --cursor=AQ\n"},
		"query v --format=json " + day: {
			answer: answer{header: map[string]string{"Recount-Accuracy": accuracy}, body: `{"rows":[]}`},
			stdout: `{"rows":[]}`},
		"query w " + day: {answer: answer{status: 404, body: `{"code":"unknown_view","field":"view","detail":"no ` +
			`view is called w"}`}, code: exitFailed, stderr: "no view is called w"},
		"config diff example.yaml": {answer: answer{body: `{"generation":3,"dry_run":true,"changes":[{"kind":"views",` +
			`"name":"pages","action":"changed","edits":[{"path":"cell","before":"1m","after":"1h"}],` +
			`"effects":["the view counts anew"]}],"conflicts":[{"kind":"views","name":"pages","applied":null,` +
			`"file":{"cell":"1h"},"stored":{"cell":"1m"}}],"kept":[{"kind":"events","name":"click"}],` +
			`"previews":[{"view":"pages","from":"2024-05-01T00:00:00Z","to":"2024-05-01T01:00:00Z","events":7,` +
			`"copies":2,"groups":1,"partial":true}]}`},
			request: "PUT /v1/catalog dry_run=true", code: exitFailed, stdout: `changed views.pages
  cell: "1m" → "1h"
  the view counts anew
preview of views.pages: 7 events from 2024-05-01 00:00:00 to 2024-05-01 01:00:00 make 1 row, without 2 copies; ` +
				`there are more events, of which these are the newest
conflict views.pages: the file and requests have both changed it; the file wins
  the file before: -
  the file now:    {"cell":"1h"}
  declared now:    {"cell":"1m"}
kept events.click: only requests have changed it; it stays as it is
`},
		"config diff example.yaml --http.max-wait=1s": {code: exitUsage, stderr: "unknown flag"},
		"config diff missing.yaml":                    {code: exitUsage, stderr: "missing.yaml"},
		"config diff example.yaml --log.partitions=9": {answer: answer{status: 409, body: `{"code":` +
			`"catalog_conflict","detail":"other declarations do not go with this change",` +
			`"reasons":["views.v.event: none"]}`},
			code: exitUsage, stderr: "views.v.event: none"},
		"config apply example.yaml": {answer: answer{body: `{"generation":3,"changes":[]}`},
			request: "PUT /v1/catalog ", stdout: "nothing differs\nthe catalog has generation 3\n"},
		"config apply example.yaml --dry-run": {answer: answer{body: `{"generation":3,"changes":[]}`},
			request: "PUT /v1/catalog dry_run=true", stdout: "nothing differs\n"},
		"config apply missing.yaml": {code: exitFailed, stderr: "missing.yaml"},
		"verify": {answer: answer{body: `{"progress":{"step":"V1","done":1,"total":2}}` + "\n" +
			`{"report":{"checks":[{"name":"V1","title":"chains are whole","unit":"records","examined":4}]}}` + "\n"},
			request: "POST /v1/verify ", stdout: "V1     ok       4 records  chains are whole\n"},
		"verify --json": {answer: answer{body: `{"report":{"checks":[{"name":"V1","examined":1,"findings":1}],` +
			`"findings":[{"check":"V1","what":"a gap","where":{"file":"a"},"do":"restore it"}]}}` + "\n"},
			code: exitFailed, stdout: `"what": "a gap"`, stderr: "breaks a rule"},
		"verify --key-file=" + os.DevNull: {answer: answer{body: `{"progress":{"step":"V1"}}` + "\n"}, code: exitFailed,
			stderr: "ended without a report"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			request, _, code, stdout, stderr := ask(t, c.answer, strings.Fields(line)...)
			if !strings.Contains(request, c.request) || code != c.code || !strings.Contains(stdout, c.stdout) ||
				!strings.Contains(stderr, c.stderr) {
				t.Errorf("request %s\nexit code %d\n%s%s", request, code, stdout, stderr)
			}
		})
	}
}

// TestFieldsOfFlags: the comma of a decimal type separates no fields.
func TestFieldsOfFlags(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		_, _ = io.WriteString(w, `{"generation":3,"changes":[]}`)
	}))
	defer server.Close()
	const want = `{"fields":{"country":"string","price":"decimal(18,2)","tax":"decimal(9,4)"}}`
	code, _, stderr := command(t, "types", "create", "sale", "--server", server.URL, "--field",
		"price:decimal(18,2),country:string", "--field=tax:decimal(9,4)")
	if code != exitOK || strings.TrimSpace(got) != want {
		t.Errorf("exit code %d: got %s, want %s: %s", code, got, want, stderr)
	}
}

// TestQueryParameters checks that every flag of a query reaches the server.
func TestQueryParameters(t *testing.T) {
	t.Parallel()
	a := answer{header: map[string]string{"Recount-Accuracy": accuracy}, body: "hits\r\n3\r\n"}
	request, _, _, _, stderr := ask(t, a, strings.Fields("query v -m hits,users -g page -o hits:desc -w page:in:/,/a "+
		"-w n:ge:7 --from=2024-05-01T02:00:00+02:00 --to=2024-05-02T00:00:00Z --time-zone=Europe/Berlin "+
		"--granularity=1d --as-of=2 --mode=exact --limit=7 --fill --totals --others --cursor=AQ "+
		"--having=hits:gt:5 --having=users:lt:9 "+
		"-d x=hits/users,1 --derived=y=hits "+
		"--compare=previous_year --cumulative --rolling=7d --limit-per-window=3")...)
	for _, want := range []string{"view=v", "measures=hits,users", "group_by=page", "order_by=hits:desc",
		"where=page:in:/,/a", "where=n:ge:7", "from=2024-05-01T02:00:00+02:00", "to=2024-05-02T00:00:00Z",
		"time_zone=Europe/Berlin", "granularity=1d", "as_of=2", "mode=exact", "limit=7", "fill=true", "totals=true",
		"others=true", "cursor=AQ",
		"having=hits:gt:5", "having=users:lt:9", "derived=x=hits/users,1", "derived=y=hits",
		"compare=previous_year", "cumulative=true", "rolling=7d", "limit_per_window=3"} {
		if !strings.Contains(request+"&", want+"&") {
			t.Errorf("%s is not in %s: %s", want, request, stderr)
		}
	}
}

// TestLongQuery: conditions that an address has no place for are sent in a body.
func TestLongQuery(t *testing.T) {
	t.Parallel()
	a := answer{header: map[string]string{"Recount-Accuracy": accuracy}, body: "hits\r\n3\r\n"}
	request, _, code, _, stderr := ask(t, a, "query", "v", "-w", "page in (/"+strings.Repeat(",/a", 5_000)+")")
	if code != exitOK || request != "POST /v1/query " {
		t.Errorf("exit code %d: got %.60q: %s", code, request, stderr)
	}
}

// TestArgumentsAreText: kong would replace bytes that are not UTF-8, so another value would be asked for.
func TestArgumentsAreText(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"query", "v", "-w", "s = \xff"}, {"query", "v", "--where=s = \xff"},
		{"query", "v\xff"}} {
		request, _, code, _, stderr := ask(t, answer{}, args...)
		if code != exitUsage || request != "" || !strings.Contains(stderr, `\xff" is not valid UTF-8`) {
			t.Errorf("%q: exit code %d, request %q: %s", args, code, request, stderr)
		}
	}
}

// TestQuerySaysThatItWaits: a view that the next recompute fills takes a while, and the user is told once.
func TestQuerySaysThatItWaits(t *testing.T) {
	t.Parallel()
	a := answer{status: 409, header: map[string]string{"Retry-After": "1"},
		body: `{"status":409,"code":"view_not_published","detail":"the next recompute fills it"}`}
	_, _, code, _, stderr := ask(t, a, "query", "v")
	if code != exitFailed || strings.Count(stderr, "waiting: the next recompute fills it\n") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestKeyIsSent checks that a client command sends the key of --key-file, and without that flag the one in RECOUNT_KEY.
func TestKeyIsSent(t *testing.T) {
	t.Setenv("RECOUNT_KEY", "from-the-environment")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, args := range map[string][]string{"from-the-environment": {"jobs", "list"},
		"from-the-file": {"jobs", "list", "--key-file", file}} {
		if _, got, _, _, _ := ask(t, answer{body: `{"jobs":[]}`}, args...); got != "Bearer "+key {
			t.Errorf("got %q, want %q", got, "Bearer "+key)
		}
	}
	if _, _, code, _, stderr := ask(t, answer{}, "jobs", "list", "--key-file=nothing"); code != exitFailed ||
		!strings.Contains(stderr, "--key-file: open nothing") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestUsage checks that every command ends with the exit code 2 and prints its usage when its command line is wrong.
func TestUsage(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"up now":                                   "unexpected argument now",
		"up --no-such-flag":                        "unknown flag --no-such-flag",
		"serve --role=ingest,cook":                 "--role must be one of",
		"demo --rows=many":                         "--rows",
		"demo --file=no/such/file --rows=x":        "--rows",
		"ingest":                                   "expected \"<files> ...\"",
		"ingest main.go --in-flight=0":             "--batch and --in-flight must be at least 1",
		"ingest main.go":                           "unknown kind of file",
		"query v --limit=few":                      "--limit",
		"query v --format=xml":                     `must be one of "table","csv","json"`,
		"load --rate=-1":                           "rate: -1; use more than 0",
		"load --batch=0":                           "batch: 0; use 1 to 100000",
		"load --server=ftp://host":                 "use http://host:port",
		"load --duplicates=2":                      "duplicates: 2; use 0 to 0.5",
		"load --run=a/b":                           "run: \"a/b\"",
		"jobs":                                     "Try: recount jobs --help",
		"jobs run":                                 "expected \"<name>\"",
		"jobs stop":                                "unexpected argument stop",
		"publications":                             "Try: recount publications --help",
		"publications pin newest":                  "\"newest\" is not the number of a publication",
		"query v --as-of=-1":                       "--as-of: \"-1\" is not the number of a publication",
		"dead-letters":                             "Try: recount dead-letters --help",
		"dead-letters list --limit=0":              "--limit must be at least 1",
		"dead-letters list --format=xml":           `must be one of "table","csv","json"`,
		"dead-letters show":                        "expected \"<name>\"",
		"dead-letters replay --to=now":             "is not an RFC 3339 time",
		"keys":                                     "Try: recount keys --help",
		"keys create --tenant=a":                   "missing flags: --scope",
		"keys revoke --expires=1h":                 "unknown flag --expires",
		"verify --scratch=no/such/folder":          "no/such/folder",
		"verify --server=http://a --scratch=.":     "give one of them",
		"config":                                   "Try: recount config --help",
		"config check":                             "expected \"<file>\"",
		"config check example.yaml --log-file=x":   "unknown flag --log-file",
		"config reference --format=xml":            `must be one of "markdown","json"`,
		"version --verbose":                        "unknown flag --verbose",
		"version now":                              "unexpected argument now",
		"query v --from=2024-05-01T00:00:00Z --to": "--to",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, strings.Fields(line)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, says) ||
				!strings.HasPrefix(stderr, "recount: ") {
				t.Errorf("exit code %d, want 2 and errors with %q:\n%s%s", code, says, stdout, stderr)
			}
		})
	}
}
