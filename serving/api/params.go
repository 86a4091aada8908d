package api

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recount/schemas/instant"
	"recount/schemas/query"
)

// parameters reads URL parameters and remembers the first error.
type parameters struct {
	values url.Values
	err    error
}

func invalid(field, format string, args ...any) error {
	return &query.Error{Field: field, Msg: fmt.Sprintf(format, args...)}
}

// queryParameters says of each parameter of GET /v1/query whether it may be repeated. The format is no part of the
// query: chooseFormat reads it.
var queryParameters = map[string]bool{
	"view": false, "from": false, "to": false, "granularity": false, "time_zone": false, "limit": false, "mode": false,
	"as_of": false, "fill": false, "totals": false, "others": false,
	"explain": false, "measures": true, "derived": true,
	"group_by": true, "order_by": true, "where": true, "having": true, "format": false,
	"compare": false, "cumulative": false, "rolling": false, "cursor": false, "limit_per_window": false,
	"min_through": true, "max_staleness": false, "wait": false,
}

// parseParameters reads a query from URL parameters, as strictly as query.Parse reads JSON. Resolve refuses names that
// the catalog lacks, and gives the values of where and having the types of what they are compared with.
func parseParameters(raw string, now time.Time) (*query.Query, error) {
	values, err := knownParameters(raw, queryParameters)
	if err != nil {
		return nil, err
	}
	p := &parameters{values: values}
	q := &query.Query{
		View: values.Get("view"), Measures: p.list("measures"), Derived: p.derived(),
		Granularity: values.Get("granularity"), TimeZone: values.Get("time_zone"), GroupBy: p.list("group_by"),
		OrderBy: p.orderBy(), Limit: p.limit(query.DefaultLimit, query.MaxLimit),
		PerWindow: p.perWindow(), Mode: query.Mode(values.Get("mode")),
		AsOf: p.asOf(), Fill: p.bool("fill"), Totals: p.bool("totals"), Others: p.bool("others"),
		Explain: p.bool("explain"),
		Compare: query.Compare(values.Get("compare")), Cumulative: p.bool("cumulative"), Rolling: values.Get("rolling"),
		Cursor: values.Get("cursor"),
	}
	if values.Has("cursor") && q.Cursor == "" {
		p.fail(query.ErrEmptyCursor)
	}
	p.setFreshness(q)
	q.Where = p.conditions("where", query.ParseWhere)
	q.Having = p.conditions("having", query.ParseHaving)
	p.setRange(q, now)
	return q, p.err
}

// knownParameters reads URL parameters. known says of each whether it may be repeated.
func knownParameters(raw string, known map[string]bool) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query", "%v", err)
	}
	for name, v := range values {
		repeatable, ok := known[name]
		switch {
		case !utf8.ValidString(strings.Join(v, "")):
			return nil, invalid("query", "parameter %q is not valid UTF-8", name)
		case !ok:
			return nil, invalid("query", "unknown parameter %q", name)
		case !repeatable && len(v) > 1:
			return nil, invalid("query", "parameter %s is given %d times; give it once", name, len(v))
		}
	}
	return values, nil
}

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// list splits all values of a parameter by commas.
func (p *parameters) list(name string) []string {
	var out []string
	for _, v := range p.values[name] {
		if len(out)+strings.Count(v, ",") >= query.MaxValues {
			p.fail(invalid(name, "more than %d elements in a list", query.MaxValues))
			return nil
		}
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// setFreshness reads what the query demands of its answer.
func (p *parameters) setFreshness(q *query.Query) {
	q.MaxStaleness = p.values.Get("max_staleness")
	q.Wait = p.values.Get("wait")
	for _, name := range []string{"max_staleness", "wait"} {
		if p.values.Has(name) {
			if err := query.CheckLength(name, p.values.Get(name)); err != nil {
				p.fail(err)
			}
		}
	}
	if !p.values.Has("min_through") {
		return
	}
	var err error
	if q.MinThrough, err = query.ParseMinThrough(p.list("min_through")); err != nil {
		p.fail(err)
	}
}

// setRange reads from and to in the query's time zone.
func (p *parameters) setRange(q *query.Query, now time.Time) {
	for _, field := range []string{"from", "to"} {
		if p.values.Has(field) {
			if err := query.CheckRangeEnd(field, p.values.Get(field)); err != nil {
				p.fail(err)
				return
			}
		}
	}
	err := q.SetRange(p.values.Get("from"), p.values.Get("to"), now)
	var wrong *query.Error
	if errors.As(err, &wrong) && strings.Contains(p.values.Get(wrong.Field), " ") {
		err = invalid(wrong.Field, "%s; write a plus sign in it as %%2B", wrong.Msg)
	}
	if err != nil {
		p.fail(err)
	}
}

func (p *parameters) time(name string) time.Time {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	t, err := instant.Time(text)
	switch {
	case err != nil && strings.Contains(text, " "):
		p.fail(invalid(name, "%q %v; write a plus sign in it as %%2B", text, err))
	case err != nil:
		p.fail(invalid(name, "%q %v", text, err))
	}
	return t
}

// limit reads how many rows the caller wants. Without the parameter it returns unset.
func (p *parameters) limit(unset, most int) int {
	text := p.values.Get("limit")
	if text == "" {
		return unset
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		p.fail(invalid("limit", "%q is not a number", text))
	case n < 1 || n > most:
		p.fail(invalid("limit", "%d; use 1 to %d, or leave it out for %d", n, most, unset))
	}
	return n
}

// perWindow reads how many rows of each window the caller wants. Without the parameter there is no limit.
func (p *parameters) perWindow() int {
	const name = "limit_per_window"
	if p.values.Get(name) == "" {
		return 0
	}
	n, err := strconv.Atoi(p.values.Get(name))
	if err != nil || n < 1 || n > query.MaxLimit {
		p.fail(invalid(name, "%q; use 1 to %d, or leave it out", p.values.Get(name), query.MaxLimit))
	}
	return n
}

func (p *parameters) bool(name string) bool {
	switch text := p.values.Get(name); {
	case !p.values.Has(name) || text == "false":
		return false
	case text == "true":
		return true
	default: // An empty one too: ?dry_run does not say that nothing may change.
		p.fail(invalid(name, "%q is neither true nor false", text))
		return false
	}
}

func (p *parameters) asOf() *uint64 {
	text := p.values.Get("as_of")
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.fail(invalid("as_of", "%q is not the number of a publication", text))
	}
	return &n
}

func (p *parameters) orderBy() []query.Order {
	var out []query.Order
	for _, text := range p.list("order_by") {
		by, direction, _ := strings.Cut(text, ":")
		if direction != "" && direction != "asc" && direction != "desc" {
			p.fail(invalid("order_by", "%q: use name, name:asc or name:desc", text))
		}
		out = append(out, query.Order{By: by, Desc: direction == "desc"})
	}
	return out
}

// derived reads derived numbers, each of which is name = expression. An empty one is none, as with conditions.
func (p *parameters) derived() []query.Derived {
	var out []query.Derived
	for _, text := range p.values["derived"] {
		if strings.TrimSpace(text) == "" {
			continue
		}
		d, err := query.ParseDerived(text)
		if err != nil {
			p.fail(err)
			return nil
		}
		out = append(out, d)
	}
	return out
}

// conditions reads conditions, all of which have to hold.
func (p *parameters) conditions(name string, parse func(string) ([]query.Condition, error)) []query.Condition {
	var out []query.Condition
	for _, text := range p.values[name] {
		conditions, err := parse(text)
		if err != nil {
			p.fail(err)
			return nil
		}
		if out = append(out, conditions...); len(out) > query.MaxConditions {
			p.fail(invalid(name, "more than %d conditions; write several values of one dimension with in or not in",
				query.MaxConditions))
			return nil
		}
	}
	return out
}
