package problem

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/openapi"
)

// TestCodesAreThoseOfTheDocument compares the constants, the list and the document's enum.
func TestCodesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	var d struct {
		Components struct {
			Schemas map[string]struct{ Enum []Code }
		}
	}
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.Components.Schemas["ErrorCode"].Enum, Codes); diff != "" {
		t.Errorf("the document's enum and Codes: %s", diff)
	}
	listed := slices.Sorted(slices.Values(Codes))
	if diff := cmp.Diff(constants(t), listed); diff != "" {
		t.Errorf("the constants and Codes: %s", diff)
	}
}

// constants returns the values of code.go's constants, sorted.
func constants(t *testing.T) (all []Code) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Code(text))
		}
		return true
	})
	slices.Sort(all)
	return all
}

func TestWrite(t *testing.T) {
	t.Parallel()
	p := Problem{Status: http.StatusTooManyRequests, Code: Overloaded, Detail: "wait for a < b & c > d", Field: "f",
		Reasons: []string{"r"}, RetryAfter: 1200 * time.Millisecond, Members: []byte(`"accepted":0,"rejected":[]`)}
	before := p
	w := httptest.NewRecorder()
	w.Header().Set(RequestIDHeader, "id-1")
	Write(w, &p)
	if diff := cmp.Diff(before, p); diff != "" {
		t.Errorf("the problem was changed: %s", diff)
	}
	const body = `{"type":"about:blank","title":"Too Many Requests","status":429,"code":"overloaded",` +
		`"detail":"wait for a < b & c > d","request_id":"id-1","field":"f","reasons":["r"],` +
		`"accepted":0,"rejected":[]}` +
		"\n"
	if diff := cmp.Diff(body, w.Body.String()); diff != "" {
		t.Error(diff)
	}
	headers := http.Header{"Content-Type": {ContentType}, "Cache-Control": {"no-store"}, "Retry-After": {"2"},
		"X-Request-Id": {"id-1"}, "Content-Length": {strconv.Itoa(len(body))}}
	if diff := cmp.Diff(headers, w.Header()); diff != "" || w.Code != p.Status {
		t.Errorf("status %d: %s", w.Code, diff)
	}
}

// TestWriteConn reads the answer as a client would.
func TestWriteConn(t *testing.T) {
	t.Parallel()
	var conn bytes.Buffer
	if err := WriteConn(&conn, New(http.StatusServiceUnavailable, TooManyConnections, "busy")); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(&conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var p Problem
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	want := Problem{Type: "about:blank", Title: "Service Unavailable", Status: 503, Code: TooManyConnections,
		Detail: "busy", RequestID: r.Header.Get(RequestIDHeader)}
	if diff := cmp.Diff(want, p); diff != "" || p.RequestID == "" || !r.Close || r.StatusCode != p.Status {
		t.Errorf("%s %v: %s", r.Status, r.Header, diff)
	}
}

// TestIdentify: the caller's id is kept if it can do no harm in a log or a header.
func TestIdentify(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range []struct {
		name string
		sent []string
		kept bool
	}{
		{"none", nil, false},
		{"sane", []string{"4bf92f35-77b34da6/a3ce929d0e0e4736"}, true},
		{"longest", []string{strings.Repeat("x", maxRequestID)}, true},
		{"too long", []string{strings.Repeat("x", maxRequestID+1)}, false},
		{"empty", []string{""}, false},
		{"space", []string{"a b"}, false},
		{"control", []string{"a\x1b[31m"}, false},
		{"not ASCII", []string{"é"}, false},
		{"two", []string{"a", "b"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header[RequestIDHeader] = c.sent
		w := httptest.NewRecorder()
		inside := ""
		next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { inside = RequestID(w) })
		Identify(next).ServeHTTP(w, r)
		got := w.Header().Get(RequestIDHeader)
		switch {
		case c.kept && got != c.sent[0]:
			t.Errorf("%s: got %q", c.name, got)
		case !c.kept && (len(got) != 26 || seen[got]):
			t.Errorf("%s: %q is not a new id", c.name, got)
		case inside != got:
			t.Errorf("%s: the handler sees %q, the client %q", c.name, inside, got)
		}
		seen[got] = true
	}
}
