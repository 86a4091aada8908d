package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/merge"
	"recount/serving/oracle"
	"recount/serving/reader"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hourly = `{"view":"flights","measures":["n","tails"],"from":"2001-01-01T00:00:00Z",` +
	`"to":"2001-01-01T02:00:00Z","granularity":"1h","group_by":["origin"]}`

func TestQueryInEveryFormat(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	accuracy := `{"publication":17,"as_of":"2001-01-01T00:00:00Z","cut":[3],"through":[4],"pending_events":1,` +
		`"exact":false,"complete":true,"stale_partitions":[],"lag_ms":12,"truncated":false,"overflow":null}`
	for accept, want := range map[string]string{
		"": `{"rows":[{"time":"2001-01-01T00:00:00Z","origin":"ORD","n":1,"tails":1},` +
			`{"time":"2001-01-01T01:00:00Z","origin":"ATL","n":2,"tails":2,"live":{"n":1,"tails":1}}],` +
			`"accuracy":` + accuracy + "}\n",
		"text/csv;q=0.9, application/json;q=0.1": "time,origin,n,tails,n__live,tails__live,tails__low,tails__high\r\n" +
			"2001-01-01T00:00:00Z,ORD,1,1,,,,\r\n" +
			"2001-01-01T01:00:00Z,ATL,2,2,1,1,,\r\n",
	} {
		res, body := call(a, "POST", "/v1/query", hourly, "Accept", accept)
		if diff := cmp.Diff(want, body); diff != "" || res.StatusCode != 200 {
			t.Errorf("%q: %s %s", accept, res.Status, diff)
		}
		if got := res.Header.Get("Recount-Accuracy"); got != accuracy {
			t.Errorf("%q: accuracy %s", accept, got)
		}
	}
	res, body := call(a, "POST", "/v1/query", hourly, "Accept", "application/vnd.apache.arrow.stream")
	if res.StatusCode != 200 || !strings.HasPrefix(body, "\xff\xff\xff\xff") {
		t.Errorf("arrow: %s", res.Status)
	}
	res, body = call(a, "POST", "/v1/query", hourly, "Accept", "application/vnd.apache.parquet")
	if res.StatusCode != 200 || !strings.HasPrefix(body, "PAR1") || !strings.HasSuffix(body, "PAR1") {
		t.Errorf("parquet: %s", res.Status)
	}
}

// TestTotals: the totals are the row of the same query without groups, windows, having and limit.
func TestTotals(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	_, whole := call(a, "POST", "/v1/query", strings.NewReplacer(`"granularity":"1h",`, "", `"group_by":["origin"]`,
		`"group_by":[]`).Replace(hourly))
	whole, _, _ = strings.Cut(strings.TrimPrefix(whole, `{"rows":[`), `],"accuracy"`)
	asked := strings.Replace(hourly, "{", `{"totals":true,"limit":1,"having":[{"measure":"n","op":"gt","value":1}],`, 1)
	res, body := call(a, "POST", "/v1/query", asked)
	if !strings.Contains(body, `],"totals":`+whole+`,"accuracy":{`) || res.Header.Get("Recount-Totals") != whole {
		t.Errorf("%s\nhas the header %s, want totals %s", body, res.Header.Get("Recount-Totals"), whole)
	}
	res, body = call(a, "POST", "/v1/query", asked, "Accept", "text/csv")
	if res.Header.Get("Recount-Totals") != whole || strings.Count(body, "\r\n") != 2 {
		t.Errorf("csv: %s\nhas the header %s, want %s", body, res.Header.Get("Recount-Totals"), whole)
	}
	if res, body = call(a, "POST", "/v1/query", hourly); res.Header["Recount-Totals"] != nil ||
		strings.Contains(body, "totals") {
		t.Errorf("totals that nobody asked for: %s", body)
	}
}

// TestOthers: every format has the groups that the rows do not show, by window, and says so with a column if it is a
// table. The parameters of GET ask for them, too.
func TestOthers(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	asked := strings.Replace(hourly, "{", `{"others":true,"limit":1,`, 1)
	const shown = `{"time":"2001-01-01T00:00:00Z","origin":"ORD","n":1,"tails":1}`
	const other = `{"time":"2001-01-01T01:00:00Z","n":2,"tails":2,"live":{"n":1,"tails":1}`
	for accept, want := range map[string]string{
		"application/json":     `{"rows":[` + shown + `],"others":[` + other + `}],"accuracy":{`,
		"application/x-ndjson": shown + "\n" + other + `,"__others":true}` + "\n",
		"text/csv": "time,origin,n,tails,n__live,tails__live,tails__low,tails__high,__others\r\n" +
			"2001-01-01T00:00:00Z,ORD,1,1,,,,,false\r\n2001-01-01T01:00:00Z,,2,2,1,1,,,true\r\n",
	} {
		if _, body := call(a, "POST", "/v1/query", asked, "Accept", accept); !strings.HasPrefix(body, want) {
			t.Errorf("%s: %s", accept, body)
		}
	}
	_, body := call(a, "GET", "/v1/query?view=flights&from=2001&to=2002&group_by=origin&measures=n&limit=1&others=true"+
		"&order_by=n:desc", "")
	if want := `{"rows":[{"origin":"ATL","n":2,"live":{"n":1}}],"others":[{"n":1}],`; !strings.HasPrefix(body, want) {
		t.Errorf("GET: %s", body)
	}
	if _, body = call(a, "POST", "/v1/query", hourly); strings.Contains(body, "others") {
		t.Errorf("others that nobody asked for: %s", body)
	}
}

// TestProblems lists wrong requests with the status and code of their answers.
func TestProblems(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	with := func(from, to string) string { return strings.Replace(hourly, from, to, 1) }
	for _, c := range []struct {
		method, target, body string
		headers              []string
		status               int
		code, field          string
	}{
		{"POST", "/v1/query", `{`, nil, 400, "invalid_query", "query"},
		{"POST", "/v1/query", with(`"view"`, `"limits":1,"view"`), nil, 400, "invalid_query", "limits"},
		{"POST", "/v1/query", with(`"view"`, `"limit":0,"view"`), nil, 400, "invalid_query", "limit"},
		{"POST", "/v1/query", hourly + "{}", nil, 400, "invalid_query", "query"},
		{"POST", "/v1/query", with("flights", "trains"), nil, 404, "unknown_view", "view"},
		{"POST", "/v1/query", with(`"n"`, `"m"`), nil, 400, "invalid_query", "measures"},
		{"POST", "/v1/query", with(`"1h"`, `"7m"`), nil, 400, "invalid_query", "granularity"},
		{"POST", "/v1/query", with(`"view"`, `"as_of":16,"view"`), nil, 410, "publication_collected", ""},
		{"POST", "/v1/query", with(`"view"`, `"as_of":99,"view"`), nil, 404, "unknown_publication", ""},
		{"POST", "/v1/query", hourly, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", ""},
		{"POST", "/v1/query", hourly, []string{"Content-Encoding", "gzip"}, 415, "unsupported_media_type", ""},
		{"POST", "/v1/query", hourly, []string{"Accept", "text/html, application/json;q=0"}, 406, "not_acceptable", ""},
		{"POST", "/v1/query", `"` + strings.Repeat("x", query.MaxBody) + `"`, nil, 413, "body_too_large", ""},
		{"PUT", "/v1/query", hourly, nil, 405, "method_not_allowed", ""},
		{"GET", "/v1/query?views=flights", "", nil, 400, "invalid_query", "query"},
		{"GET", "/v1/query?view=flights&view=x", "", nil, 400, "invalid_query", "query"},
		{"GET", "/v1/query?view=flights&from=soon", "", nil, 400, "invalid_query", "from"},
		{"GET", "/v1/query?view=flights&from=2001-01-01T00:00:60Z", "", nil, 400, "invalid_query", "from"},
		{"GET", "/v1/query?view=flights&fill=yes", "", nil, 400, "invalid_query", "fill"},
		{"GET", "/v1/query?view=flights&fill", "", nil, 400, "invalid_query", "fill"},
		{"GET", "/v1/query?view=flights&where=origin", "", nil, 400, "invalid_query", "where"},
		{"GET", "/v1/query?view=flights&having=n", "", nil, 400, "invalid_query", "having"},
		{"GET", "/v1/query?view=flights&having=n+%3E+2.5", "", nil, 400, "invalid_query", "having"},
		{"GET", "/v1/views/trains", "", nil, 404, "unknown_view", ""},
		{"GET", "/v1/publications/x", "", nil, 400, "invalid_request", "n"},
		{"GET", "/v1/publications/17?buckets=1", "", nil, 400, "invalid_request", "buckets"},
		{"GET", "/v1/publications/16", "", nil, 410, "publication_collected", ""},
		{"GET", "/v1/publications/18", "", nil, 404, "unknown_publication", ""},
		{"PUT", "/v1/publications/x/pin", "", nil, 400, "invalid_request", "n"},
		{"PUT", "/v1/publications/16/pin", "", nil, 410, "publication_collected", ""},
		{"PUT", "/v1/publications/18/pin", "", nil, 404, "unknown_publication", ""},
		{"GET", "/v2", "", nil, 404, "not_found", ""},
	} {
		res, body := call(a, c.method, c.target, c.body, c.headers...)
		p := decodeProblem(t, res, body)
		if p.Status != c.status || string(p.Code) != c.code || p.Field != c.field {
			t.Errorf("%s %s %.80s: got %d %s %q: %s", c.method, c.target, c.body, p.Status, p.Code, p.Field, p.Detail)
		}
		if c.status == 405 && res.Header.Get("Allow") != "GET, POST" {
			t.Errorf("Allow: %q", res.Header.Get("Allow"))
		}
	}
}

// TestFormIsLikeParameters: parameters that are too long for an address are sent as a form.
func TestFormIsLikeParameters(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	const asForm = "application/x-www-form-urlencoded"
	form := "view=flights&where=origin+in+(ORD" + strings.Repeat(",ATL", query.MaxValues-1) + ")"
	want, wantBody := call(a, "GET", "/v1/query?"+form, "")
	got, body := call(a, "POST", "/v1/query", form, "Content-Type", asForm)
	if got.StatusCode != 200 || want.StatusCode != 200 || body != wantBody {
		t.Errorf("got %d %.200s, want %s", got.StatusCode, body, wantBody)
	}
	for form, field := range map[string]string{
		"view=flights" + strings.Repeat("&where=origin+=+ORD", query.MaxConditions+1): "where",
		"view=flights&measures=" + strings.Repeat(",", query.MaxValues):               "measures",
		"view=flights&where=origin+=+%ff":                                             "query",
	} {
		res, body := call(a, "POST", "/v1/query", form, "Content-Type", asForm)
		if p := decodeProblem(t, res, body); p.Status != 400 || p.Field != field {
			t.Errorf("%.60s: got %d %q: %s", form, p.Status, p.Field, p.Detail)
		}
	}
}

// TestNoRetryWithoutSchedule: a client does not wait for a recompute that only a request starts.
func TestNoRetryWithoutSchedule(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.OnRequest = true
		p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) { return nil, reader.ErrNotPublished })
	})
	if res, body := call(a, "POST", "/v1/query", hourly); res.StatusCode != 409 || res.Header.Get("Retry-After") != "" {
		t.Errorf("got %d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), body)
	}
}

// TestTimesAreInstants reads the times that RFC 3339 permits and package time does not, and says why it refuses others.
func TestTimesAreInstants(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"2001-01-01t00:00:00z":      "",
		"2016-12-31T23:59:60Z":      "",
		"2016-12-30T23:59:60Z":      `"2016-12-30T23:59:60Z" has second 60`,
		"2001-01-01T00:00:00":       "",
		"978307200":                 "",
		"last_month":                "",
		"soon":                      `"soon" is no time: write`,
		"2001-01-01T00:00:00+01:00": "write a plus sign in it as %2B",
	} {
		now := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
		q, err := parseParameters("view=flights&from="+text, now)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %+v, %v, want %q", text, q, err, says)
		}
	}
}

// TestLayerErrors lists the errors of the layers with their answers. The reason is never answered.
func TestLayerErrors(t *testing.T) {
	t.Parallel()
	secret := errors.New("password=secret")
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		{reader.ErrNotPublished, 409, "view_not_published", true},
		{reader.ErrRestarts, 503, "pin_expired", true},
		{reader.ErrLost, 503, "rows_missing", true},
		{errors.Join(reader.ErrBatch, secret), 503, "batch_unavailable", true},
		{errors.Join(reader.ErrLive, secret), 503, "live_unavailable", true},
		{errors.Join(reader.ErrPublications, secret), 503, "publications_unavailable", true},
		{&batchview.LimitError{Reason: "too many groups"}, 422, "query_too_large", false},
		{&merge.FillError{Groups: 2, Windows: 3}, 422, "query_too_large", false},
		{errors.Join(context.DeadlineExceeded, secret), 504, "query_timeout", false},
		{secret, 500, "internal", false},
	} {
		a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
			p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) { return nil, c.err })
		})
		res, body := call(a, "POST", "/v1/query", hourly)
		p := decodeProblem(t, res, body)
		if p.Status != c.status || string(p.Code) != c.code || (res.Header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: got %d %s, Retry-After %q", c.err, p.Status, p.Code, res.Header.Get("Retry-After"))
		}
		if strings.Contains(body, "secret") {
			t.Errorf("%v: the answer has the reason: %s", c.err, body)
		}
	}
}

// TestGetIsPost writes random queries as parameters. Parsing them must give the same query.
func TestGetIsPost(t *testing.T) {
	t.Parallel()
	c := oracle.Catalog()
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuery(t)
		raw, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		posted, err := query.Parse(raw, time.Time{})
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		got, err := parseParameters(parametersOf(q), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		one, err1 := posted.Resolve(c, "t")
		two, err2 := got.Resolve(c, "t")
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", raw, err1, err2)
		}
		if diff := cmp.Diff(one.Predicate(), two.Predicate()); diff != "" {
			t.Fatal(diff)
		}
		posted.Where = nil
		got.Where = nil
		if diff := cmp.Diff(posted, got, cmpopts.IgnoreUnexported(query.Query{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func drawQuery(t *rapid.T) *query.Query {
	q := &query.Query{View: "flights", From: start,
		To:          start.Add(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour),
		Granularity: rapid.SampledFrom([]string{"1h", "1d"}).Draw(t, "granularity"),
		TimeZone:    rapid.SampledFrom([]string{"", "America/Chicago"}).Draw(t, "zone"),
		Measures:    rapid.SampledFrom([][]string{{"n"}, {"late", "tails"}}).Draw(t, "measures"),
		GroupBy:     rapid.SampledFrom([][]string{nil, {"origin", "delay"}}).Draw(t, "group_by"),
		Limit:       rapid.IntRange(1, 50).Draw(t, "limit"),
		Mode:        rapid.SampledFrom([]query.Mode{query.Merged, query.Exact, query.Live}).Draw(t, "mode"),
		Fill:        rapid.Bool().Draw(t, "fill")}
	if rapid.Bool().Draw(t, "as_of") {
		n := rapid.Uint64().Draw(t, "n")
		q.AsOf = &n
	}
	q.OrderBy = rapid.SampledFrom([][]query.Order{nil, {{By: "time", Desc: true}, {By: q.Measures[0]}}}).Draw(t,
		"order")
	q.Where = oracle.DrawWhere(t, 3)
	return q
}

func parametersOf(q *query.Query) string {
	raw, _ := json.Marshal(q)
	var fields map[string]any
	_ = json.Unmarshal(raw, &fields)
	v := url.Values{}
	for name, value := range fields {
		switch value := value.(type) {
		case string:
			v.Set(name, value)
		case float64, bool:
			text, _ := json.Marshal(value)
			v.Set(name, string(text))
		}
	}
	if q.AsOf != nil {
		text, _ := json.Marshal(*q.AsOf)
		v.Set("as_of", string(text))
	}
	v["measures"] = []string{strings.Join(q.Measures, ",")}
	v["group_by"] = q.GroupBy
	for _, o := range q.OrderBy {
		by := o.By
		if o.Desc {
			by += ":desc"
		}
		v.Add("order_by", by)
	}
	for _, c := range q.Where {
		v.Add("where", "("+c.String()+")")
	}
	for _, c := range q.Having {
		v.Add("having", "("+c.String()+")")
	}
	return v.Encode()
}

func TestGetAnswersLikePost(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), nil)
	_, all := call(a, "POST", "/v1/query", hourly)
	having := strings.Replace(hourly, "{", `{"having":[{"measure":"n","op":"ge","value":2}],`, 1)
	_, want := call(a, "POST", "/v1/query", having)
	res, got := call(a, "GET",
		"/v1/query?view=flights&measures=n,tails&from=2001-01-01T00:00:00Z&to=2001-01-01T02:00:00Z"+
			"&granularity=1h&group_by=origin&having=n+%3E=+2", "")
	if all == want {
		t.Errorf("having keeps all of %s", all)
	}
	if got != want || res.StatusCode != 200 {
		t.Errorf("%s: got %s, want %s", res.Status, got, want)
	}
}

// TestAdmission fills the gate: one query runs, one waits, and the third is refused. The first two
// are answered in the end.
func TestAdmission(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 3)
	release := make(chan struct{})
	a := newAPI(t, newLayers(), func(c *Config, p *Parts) {
		c.MaxConcurrent = 1
		c.MaxQueued = 1
		p.Registerer = prometheus.NewRegistry()
		p.Answerer = answerFunc(func(context.Context) (*merge.Answer, error) {
			entered <- struct{}{}
			<-release
			return &merge.Answer{}, nil
		})
	})
	codes := make(chan int, 2)
	ask := func() {
		res, _ := call(a, "POST", "/v1/query", hourly)
		codes <- res.StatusCode
	}
	go ask()
	<-entered
	go ask()
	for _, waiting := a.gate.count(); waiting < 1; _, waiting = a.gate.count() {
		time.Sleep(time.Millisecond)
	}
	res, body := call(a, "POST", "/v1/query", hourly)
	if p := decodeProblem(t, res, body); p.Code != "too_many_queries" || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %+v", p)
	}
	close(release)
	one := <-codes
	two := <-codes
	if one != 200 || two != 200 {
		t.Errorf("got %d and %d", one, two)
	}
	if running, waiting := a.gate.count(); running+waiting+len(a.gate.lines) != 0 {
		t.Error("places were not given back")
	}
}

func TestTimeoutsWhileWaitingAndRunning(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(c *Config, p *Parts) {
		c.MaxConcurrent = 1
		p.Answerer = answerFunc(func(ctx context.Context) (*merge.Answer, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
	})
	a.cfg.Timeout = time.Millisecond // less than an operator may set
	for _, full := range []bool{false, true} {
		if full {
			if _, err := a.gate.join("other", false); err != nil {
				t.Fatal(err)
			}
		}
		res, body := call(a, "POST", "/v1/query", hourly)
		if p := decodeProblem(t, res, body); p.Code != "query_timeout" {
			t.Errorf("full %v: got %+v", full, p)
		}
	}
}

func TestViewsAndPublications(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		p.Cap = func(tenant, event, dimension string) *openapi.Cap {
			if tenant+"/"+event+"/"+dimension != "default/flight/origin" {
				return nil
			}
			return &openapi.Cap{Limit: 9, Values: 3, Overflowed: 1}
		}
	})
	_, body := call(a, "GET", "/v1/views", "")
	want := `{"views":[{"name":"flights","event":"flight","cell":"1m","dimensions":[` +
		`{"name":"origin","type":"string","cap":{"limit":9,"values":3,"overflowed":1}},` +
		`{"name":"delay","type":"int64","cap":null}`
	if !strings.HasPrefix(body, want) || !strings.Contains(body, `"published":17`) {
		t.Error(body)
	}
	_, one := call(a, "GET", "/v1/views/flights", "")
	if `{"views":[`+strings.TrimSpace(one)+"]}\n" != body {
		t.Error(one)
	}
	_, body = call(a, "GET", "/v1/publications", "")
	if strings.Count(body, `"n":`) != 1 ||
		!strings.Contains(body, `"types":{"flight":{"buckets":1,"events":2,"duplicates":1,"conflicts":0}}`) {
		t.Error(body)
	}
	_, body = call(a, "GET", "/v1/publications/17?buckets=true", "")
	if !strings.Contains(body, `"rows":2,"bucket_list":[[978307200000000,4,2,9]]`) {
		t.Error(body)
	}
	if _, body = call(a, "GET", "/v1/publications/17", ""); strings.Contains(body, "objects") {
		t.Error(body)
	}
}

// TestObjectsOfTypes asks for the objects of a type that has some, of one that has none, and of none.
func TestObjectsOfTypes(t *testing.T) {
	t.Parallel()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) {
		c := oracle.Catalog()
		c.Events["quiet"] = &catalog.EventType{Name: "quiet"}
		p.Catalog = c
	})
	for eventType, want := range map[string]string{
		"flight": `,"objects":[{"key":"data/17.parquet","size":7,"sha256":"00","rows":3}]}` + "\n",
		"quiet":  `,"objects":[]}` + "\n",
	} {
		_, body := call(a, "GET", "/v1/publications/17?objects="+eventType, "")
		if !strings.HasSuffix(body, want) {
			t.Errorf("objects of %s: %s", eventType, body)
		}
	}
	res, body := call(a, "GET", "/v1/publications/17?objects=nowhere", "")
	if res.StatusCode != http.StatusNotFound || !strings.Contains(body, `"code":"unknown_event_type"`) ||
		!strings.Contains(body, "nowhere") {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

// TestFill: views, publications and answers say from when a view is filled, in every format.
func TestFill(t *testing.T) {
	t.Parallel()
	l := newLayers()
	l.fill = &record.Fill{From: start.UnixMicro(), Buckets: 2, Rows: 9}
	a := newAPI(t, l, nil)
	const filled = `"filled_from":"2001-01-01T00:00:00Z"`
	for path, want := range map[string]string{
		"/v1/views/flights": `"published":17,"fill":{` + filled + `,"buckets_left":2,"events_left":9}}`,
		"/v1/publications/17": `"flights":{"digest":"` + oracle.Catalog().Digest(oracle.Catalog().Views["flights"]) +
			`","buckets":1,"rows":2,` + filled + `}`,
	} {
		if _, body := call(a, "GET", path, ""); !strings.Contains(body, want) {
			t.Errorf("%s: got %s, want %s in it", path, body, want)
		}
	}
	for from, isFilled := range map[string]bool{"2000-12-31T23:00:00Z": false, "2001-01-01T00:00:00Z": true} {
		q := `{"view":"flights","from":"` + from + `","to":"2001-01-01T02:00:00Z","mode":"exact"}`
		res, body := call(a, "POST", "/v1/query", q, "Accept", "text/csv")
		accuracy := res.Header.Get("Recount-Accuracy")
		if strings.Contains(accuracy, filled) == isFilled || strings.Contains(accuracy, `"complete":true`) != isFilled {
			t.Errorf("from %s: got %s with %s", from, body, accuracy)
		}
		if _, body = call(a, "POST", "/v1/query", q); strings.Contains(body, filled) == isFilled {
			t.Errorf("from %s: got %s", from, body)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	l := newLayers()
	var log bytes.Buffer
	a := newAPI(t, l, func(_ *Config, p *Parts) {
		p.Checks = []Check{{"speed", func(context.Context) error { return l.err }}}
		p.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if res, body := call(a, "GET", path, ""); res.StatusCode != 200 || !json.Valid([]byte(body)) {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
	l.err = errors.New("replaying")
	res, body := call(a, "GET", "/readyz", "")
	if p := decodeProblem(t, res, body); p.Code != "not_ready" ||
		!cmp.Equal(p.Reasons, []string{"publications: replaying", "speed: replaying"}) {
		t.Errorf("got %+v", p)
	}
	if text := log.String(); !strings.Contains(text, "level=INFO") || strings.Contains(text, "level=ERROR") {
		t.Errorf("a process that is not ready logs %s", text)
	}
	if res, _ := call(a, "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Errorf("healthz: %s", res.Status)
	}
	a = newAPI(t, l, func(_ *Config, p *Parts) {
		p.NeedsRestart = func() error { return errors.New("the disk was full") }
	})
	res, body = call(a, "GET", "/healthz", "")
	p := decodeProblem(t, res, body)
	if res.StatusCode != http.StatusServiceUnavailable || p.Code != "restart_needed" ||
		!cmp.Equal(p.Reasons, []string{"the disk was full"}) {
		t.Errorf("a process that needs a restart: %s %+v", res.Status, p)
	}
}

// TestClientThatLeaves checks that a cancelled request has no answer and no 5xx in the metrics.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	a := newAPI(t, newLayers(), func(_ *Config, p *Parts) { p.Registerer = registry })
	ctx, cancel := context.WithCancel(access.NewContext(t.Context(), access.Local()))
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/query", strings.NewReader(hourly))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("recovered %v; the connection must be cut, else a client that closed only its sending "+
					"half reads an empty 200", err)
			}
		}()
		serveMux(a).ServeHTTP(w, r)
	}()
	families, err := registry.Gather()
	if err != nil || w.Body.Len() != 0 {
		t.Fatalf("%v, %q", err, w.Body.String())
	}
	for _, f := range families {
		if f.GetName() == "recount_query_seconds" && !strings.Contains(f.String(), `"499"`) {
			t.Error(f)
		}
	}
}

// TestUnknownMeasure: a query with a measure that the view does not have is told those that it has.
func TestUnknownMeasure(t *testing.T) {
	t.Parallel()
	res, body := call(newAPI(t, newLayers(), nil), "POST", "/v1/query", strings.Replace(hourly, `"n"`, `"m"`, 1))
	if p := decodeProblem(t, res, body); !strings.HasPrefix(p.Detail, `view flights has no measure "m"; it has `) ||
		!strings.Contains(p.Detail, "n, late") {
		t.Errorf("got %q", p.Detail)
	}
}
