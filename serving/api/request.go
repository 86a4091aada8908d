package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/query"
)

// readBody reads the query of a POST.
func readBody(w http.ResponseWriter, r *http.Request) (*query.Query, *problem) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "send the query as application/json"}
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, query.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Detail: fmt.Sprintf("a query has at most %d bytes", query.MaxBody)}
	}
	if err != nil {
		return nil, &problem{Status: http.StatusBadRequest, Code: "unreadable_body", Detail: err.Error()}
	}
	q, err := query.Parse(body)
	if err != nil {
		return nil, problemOf(err)
	}
	return q, nil
}

// parameters are the names of GET /v1/query. Lists are separated by commas; where and
// order_by may be repeated, where is dimension:op:value, order_by takes a leading - for descending.
var parameters = []string{"view", "measures", "from", "to", "granularity", "time_zone", "group_by", "where", "order_by", "limit", "mode", "as_of", "fill"}

// readParameters reads the query of a GET.
func (a *API) readParameters(v url.Values) (*query.Query, error) {
	for name, values := range v {
		if !slices.Contains(parameters, name) {
			return nil, &query.Error{Field: name, Msg: "unknown parameter; use some of " + strings.Join(parameters, ", ")}
		}
		if len(values) > 1 && name != "where" && name != "order_by" {
			return nil, &query.Error{Field: name, Msg: "given more than once"}
		}
	}
	q := &query.Query{View: v.Get("view"), Measures: list(v.Get("measures")), Granularity: v.Get("granularity"),
		TimeZone: v.Get("time_zone"), GroupBy: list(v.Get("group_by")), Mode: query.Mode(v.Get("mode"))}
	p := parser{v: v}
	q.From, q.To = p.time("from"), p.time("to")
	q.Limit = int(p.number("limit"))
	q.Fill = p.boolean("fill")
	if v.Has("as_of") {
		n := uint64(p.number("as_of"))
		q.AsOf = &n
	}
	for _, o := range v["order_by"] {
		for _, key := range list(o) {
			by, desc := strings.CutPrefix(key, "-")
			q.OrderBy = append(q.OrderBy, query.Order{By: by, Desc: desc})
		}
	}
	for _, w := range v["where"] {
		q.Where = append(q.Where, p.condition(a.catalog, q.View, w))
	}
	return q, p.err
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// parser reads typed parameters and remembers the first that does not fit.
type parser struct {
	v   url.Values
	err error
}

func (p *parser) fail(field, format string, args ...any) {
	if p.err == nil {
		p.err = &query.Error{Field: field, Msg: fmt.Sprintf(format, args...)}
	}
}

func (p *parser) time(name string) time.Time {
	s := p.v.Get(name)
	if s == "" {
		return time.Time{} // Resolve says that it is missing.
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		p.fail(name, "%q is not an RFC 3339 time such as 2001-01-01T00:00:00Z (a + in an offset is written %%2B)", s)
	}
	return t
}

func (p *parser) number(name string) int64 {
	s := p.v.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		p.fail(name, "%q is not a number that fits", s)
	}
	return n
}

func (p *parser) boolean(name string) bool {
	switch s := p.v.Get(name); s {
	case "", "false":
		return false
	case "true":
		return true
	default:
		p.fail(name, "%q is neither true nor false", s)
		return false
	}
}

// condition reads dimension:op:value. The dimension's type decides how the value is read.
func (p *parser) condition(c *catalog.Catalog, view, s string) query.Condition {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) != 3 {
		p.fail("where", "%q: write dimension:op:value, such as origin:in:ORD,ATL", s)
		return query.Condition{}
	}
	out := query.Condition{Dimension: parts[0], Op: query.Op(parts[1])}
	t := catalog.String
	if v := c.Views[view]; v != nil && slices.Contains(v.Dimensions, parts[0]) {
		t = c.DimensionType(v, parts[0])
	}
	if out.Op == query.Exists {
		t = catalog.Bool
	}
	if out.Op != query.In && out.Op != query.NotIn {
		out.Value = p.value(parts[0], parts[2], t)
		return out
	}
	for _, v := range strings.Split(parts[2], ",") {
		out.Values = append(out.Values, p.value(parts[0], v, t))
	}
	return out
}

func (p *parser) value(dimension, s string, t catalog.FieldType) any {
	switch t {
	case catalog.Int64:
		return json.Number(s) // Resolve says if it is none.
	case catalog.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			p.fail("where", "%s: %q is neither true nor false", dimension, s)
		}
		return b
	}
	return s
}
