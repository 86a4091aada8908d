// Package query is the question a user asks of a view, the scan both layers answer
// for it, and the partial result they answer with.
package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/instant"
	"recount/schemas/quantile"
	"recount/schemas/window"
)

// DefaultTimeout is how long a query may take unless an operator says otherwise. The publication that a
// query reads stays readable for as long.
const DefaultTimeout = 30 * time.Second

// Mode says which layers answer.
type Mode string

// The modes of a query.
const (
	Merged Mode = "merged" // batch before H, speed from H on
	Exact  Mode = "exact"  // batch only
	Live   Mode = "live"   // speed only, from H on
)

// Modes lists the modes.
var Modes = []Mode{Merged, Exact, Live}

// Order is one sort key: a dimension of GroupBy, a measure of the view, a derived number of the query or time.
type Order struct {
	By   string `json:"by"`
	Desc bool   `json:"desc,omitempty"`
}

// Query is the body of POST /v1/query.
type Query struct {
	View        string      `json:"view"`
	Measures    []string    `json:"measures,omitempty"`    // all when empty, unless there are derived numbers
	From        time.Time   `json:"from,omitzero"`         // the beginning of the data when zero
	To          time.Time   `json:"to,omitzero"`           // the end of the data when zero
	Granularity string      `json:"granularity,omitempty"` // all when empty
	TimeZone    string      `json:"time_zone,omitempty"`   // UTC when empty
	Derived     []Derived   `json:"derived,omitempty"`     // numbers made of measures
	GroupBy     []string    `json:"group_by,omitempty"`
	Where       []Condition `json:"where,omitempty"`
	Having      []Condition `json:"having,omitempty"` // on measures and derived numbers
	OrderBy     []Order     `json:"order_by,omitempty"`
	Limit       int         `json:"limit,omitempty"` // DefaultLimit when 0
	Mode        Mode        `json:"mode,omitempty"`  // Merged when empty
	AsOf        *uint64     `json:"as_of,omitempty"` // a kept publication; the newest when null
	Fill        bool        `json:"fill,omitempty"`  // also return windows without events
	Compare     Compare     `json:"compare,omitempty"`
	Cumulative  bool        `json:"cumulative,omitempty"` // each window also has all windows before it
	Rolling     string      `json:"rolling,omitempty"`    // each window has so long a time up to its end
	Totals      bool        `json:"totals,omitempty"`     // also return the measures of all groups together
	Others      bool        `json:"others,omitempty"`     // also return what is in no row, by window
	Explain     bool        `json:"explain,omitempty"`
	Cursor      string      `json:"cursor,omitempty"` // the member next of the page before; the first page when empty

	// MinThrough, MaxStaleness and Wait say what an answer must have, and how long to wait for it: lengths like 5s.
	MinThrough   *MinThrough `json:"min_through,omitempty"`
	MaxStaleness string      `json:"max_staleness,omitempty"`
	Wait         string      `json:"wait,omitempty"`

	// PerWindow is how many rows of each window are returned. There is no such limit when it is 0.
	PerWindow int `json:"limit_per_window,omitempty"`

	Widened bool `json:"-"` // the range is not the one that the query names word for word

	sent [2]string // from and to as SetRange has read them
	page page
}

// Limits of one query.
const (
	DefaultLimit = 1_000
	MaxLimit     = 1_000_000
	MaxBody      = 4 << 20
	MaxQueries   = 32 // of one request
)

// Error names the wrong field of a query and what to write instead.
type Error struct {
	Field string
	Msg   string
}

func (e *Error) Error() string { return e.Field + ": " + e.Msg }

// maxMessage bounds an error, which may quote what was sent.
const maxMessage = 500

func invalid(field, format string, args ...any) error {
	msg := fmt.Sprintf(format, args...)
	if len(msg) > maxMessage {
		msg = strings.ToValidUTF8(msg[:maxMessage], "") + "…"
	}
	return &Error{Field: field, Msg: msg}
}

// Parse reads a query's JSON strictly: RFC 8259, and an unknown field is an error. Times such as today are relative to
// now.
func Parse(body []byte, now time.Time) (*Query, error) {
	if len(body) > MaxBody {
		return nil, invalid("query", "%d bytes; at most %d", len(body), MaxBody)
	}
	if err := strict(body); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	d.UseNumber()
	q := Query{Limit: DefaultLimit} // A limit of 0 in the body is a mistake, and not the default.
	members := struct {
		*Query
		From any `json:"from"` // From and To hide those of Query, which package time would read in its own way.
		To   any `json:"to"`
		// These tell an empty text from none.
		Cursor       *string `json:"cursor"`
		MaxStaleness *string `json:"max_staleness"`
		Wait         *string `json:"wait"`
	}{Query: &q}
	if err := d.Decode(&members); err != nil {
		if wrong := (*Error)(nil); errors.As(err, &wrong) { // MinThrough has found it.
			return nil, wrong
		}
		msg := strings.TrimPrefix(err.Error(), "json: ")
		field := "query"
		if quoted, ok := strings.CutPrefix(msg, "unknown field "); ok { // The library has no type for it.
			field = unknown(strings.Trim(quoted, `"`))
		}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			msg = fmt.Sprintf("cannot unmarshal %s; write %s", wrong.Value, expected(wrong.Type))
			if wrong.Field != "" {
				field = strings.TrimPrefix(wrong.Field, "Query.") // It is the embedded struct of members.
			}
		}
		return nil, invalid(field, "%s", msg)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("query", "more than one JSON value")
	}
	if members.Cursor != nil {
		if q.Cursor = *members.Cursor; q.Cursor == "" {
			return nil, ErrEmptyCursor
		}
	}
	if err := setLength("max_staleness", members.MaxStaleness, &q.MaxStaleness); err != nil {
		return nil, err
	}
	if err := setLength("wait", members.Wait, &q.Wait); err != nil {
		return nil, err
	}
	from, err := rangeEnd("from", members.From)
	if err != nil {
		return nil, err
	}
	to, err := rangeEnd("to", members.To)
	if err != nil {
		return nil, err
	}
	if err := q.SetRange(from, to, now); err != nil {
		return nil, err
	}
	return &q, q.checkLimit()
}

// rangeEnd returns from or to as a text, which is empty for null.
func rangeEnd(field string, value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case json.Number:
		return v.String(), nil
	case string:
		return v, CheckRangeEnd(field, v)
	}
	return "", invalid(field, "write a string, or a number of seconds or milliseconds")
}

// CheckRangeEnd refuses an empty from or to. It is rather a variable without a value than the wish to have all data.
func CheckRangeEnd(field, text string) error {
	if text == "" {
		return invalid(field, "it is empty; give a time such as 2001-01-01, or leave %s out for the data's %s", field,
			map[string]string{"from": "beginning", "to": "end"}[field])
	}
	return nil
}

// SetRange reads from and to as people give them (window.ParseMoment), in the query's time zone. An empty one stays
// zero, which stands for the beginning or the end of the data.
func (q *Query) SetRange(from, to string, now time.Time) error {
	q.sent = [2]string{from, to}
	loc, err := q.Location()
	if err != nil {
		return err
	}
	for _, end := range []struct {
		field string
		text  string
		time  *time.Time
	}{{"from", from, &q.From}, {"to", to, &q.To}} {
		if end.text == "" {
			continue
		}
		if *end.time, err = window.ParseMoment(end.text, loc, now); err != nil {
			return invalid(end.field, "%q %v", end.text, err)
		}
		if micros := end.time.UnixMicro(); micros < window.MinTime || micros > window.MaxTime+1 {
			return invalid(end.field, "%q is no time of the years 1970 to 2261", end.text)
		}
		if _, err := instant.Parse([]byte(end.text)); err != nil {
			q.Widened = true // What was sent does not say the range.
		}
	}
	return nil
}

// Range is the range that an answer covers, half-open.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Covered returns the range of the answer if it is not the one that the query names word for word, and nil otherwise.
// Resolve must have been called.
func (q *Query) Covered() *Range {
	if !q.Widened {
		return nil
	}
	loc, err := q.Location()
	if err != nil {
		return nil
	}
	return &Range{q.From.In(loc), q.To.In(loc)}
}

// expected says in words of JSON what a Go type is read from.
func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number from 0 to 18446744073709551615"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

// IsWindowed reports whether rows have a time.
func (q *Query) IsWindowed() bool { return q.Granularity != "" && q.Granularity != "all" }

func (q *Query) checkLimit() error {
	switch {
	case q.PerWindow < 0 || q.PerWindow > MaxLimit:
		return invalid("limit_per_window", "%d; use 1 to %d, or leave it out", q.PerWindow, MaxLimit)
	case q.PerWindow > 0 && !q.IsWindowed():
		return invalid("limit_per_window", "granularity all has one window; use limit, or choose a granularity such "+
			"as 1d")
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return invalid("limit", "%d; use 1 to %d, or leave it out for %d", q.Limit, MaxLimit, DefaultLimit)
	}
	return nil
}

// Scan is a query resolved against the catalog: the question each layer answers
// with a Part. Both answer for events with From <= time < To of Windows.
type Scan struct {
	View     *catalog.View
	Digest   string // of the view's definition
	Sketched string // of rows with stored sketches of distinct counts, which the batch layer can read too
	Rounded  string // of rows with sums of floats that were rounded, likewise
	Tenant   string
	Windows  window.Windows
	Overlap  Overlap // what the windows of the answer have; layers other than the batch layer ignore it
	GroupBy  []Dimension
	Where    []Condition // with values of the dimensions' types; Predicate is what layers evaluate
	Having   []Condition // with values of the measures' types; layers ignore it, because it is about merged values
	// Measures are those of the query, those that only Derived reads, and then those that only order rows or are only
	// in Having.
	Measures []Measure
	Derived  []DerivedNumber // layers ignore them, because they are made of merged values
	Memory   *Share          // what the scan holds while it grows; nil has no limit

	// Comparison is the earlier range that the answer is compared with, or nil.
	Comparison *Comparison
}

// Dimension is a grouping column with its type.
type Dimension struct {
	Name string
	Type catalog.FieldType // String, Int64 or Bool
}

// Measure is a measure with the type of its field.
type Measure struct {
	catalog.Measure // The name is that of the answer's column: for a quantile, with its rank.
	Type            catalog.FieldType
	Rank            quantile.Rank // of a quantile
}

// ResultType returns the type of the measure's finished values.
func (m *Measure) ResultType() catalog.FieldType {
	switch m.Kind {
	case catalog.Count, catalog.Distinct:
		return catalog.Int64
	case catalog.Avg:
		return catalog.Float64
	case catalog.Sum:
		if d, ok := m.Type.Decimal(); ok {
			return catalog.DecimalOf(decimal.Type{Precision: decimal.MaxSum, Scale: d.Scale})
		}
	}
	return m.Type
}

// SumsFloats reports whether the measure keeps a sum of float64 values.
func (m *Measure) SumsFloats() bool {
	return (m.Kind == catalog.Sum || m.Kind == catalog.Avg) && m.Type == catalog.Float64
}

// Reads reports whether the batch layer can answer the scan from rows of a view with this digest.
func (s *Scan) Reads(digest string) bool {
	return digest == s.Digest || digest == s.Sketched || digest == s.Rounded
}

// Resolve checks the query against the catalog, fills in defaults and returns the scan. Every error is an *Error. The
// scan of a query without from or to has no windows: Bound sets them when the ends of the data are known.
func (q *Query) Resolve(c *catalog.Catalog, tenant string) (*Scan, error) {
	v := c.Views[q.View]
	if v == nil {
		return nil, invalid("view", "no view is named %q; %s", q.View, listViews(c))
	}
	if err := q.defaults(); err != nil {
		return nil, err
	}
	s := &Scan{View: v, Digest: c.Digest(v), Sketched: c.SketchedDigest(v),
		Rounded: c.RoundedDigest(v), Tenant: tenant}
	var err error
	if s.Measures, err = q.measures(c, v); err != nil {
		return nil, err
	}
	if s.Derived, err = q.derived(c, s); err != nil {
		return nil, err
	}
	if s.GroupBy, err = q.groupBy(c, v); err != nil {
		return nil, err
	}
	if s.Where, err = q.where(c, v); err != nil {
		return nil, err
	}
	if s.Having, err = q.having(c, s); err != nil {
		return nil, err
	}
	if err := q.orderBy(c, s); err != nil {
		return nil, err
	}
	if err := q.checkOthers(s); err != nil {
		return nil, err
	}
	return s, q.setWindows(s)
}

// maxListed is how many views an error names.
const maxListed = 10

// listViews names the views that there are.
func listViews(c *catalog.Catalog) string {
	names := slices.Sorted(maps.Keys(c.Views))
	switch n := len(names); {
	case n == 0:
		return "none is declared"
	case n > maxListed:
		return fmt.Sprintf("there are %s and %d more; GET /v1/views lists them", strings.Join(names[:maxListed], ", "),
			n-maxListed)
	}
	return "there are " + strings.Join(names, ", ")
}

func (q *Query) defaults() error {
	if q.Mode == "" {
		q.Mode = Merged
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	switch {
	case !slices.Contains(Modes, q.Mode):
		return invalid("mode", "unknown %q; use merged, exact or live", q.Mode)
	case !q.From.IsZero() && q.From.UnixMicro() < window.MinTime || q.To.UnixMicro() > window.MaxTime+1:
		return invalid("from", "from and to lie between the years 1970 and 2261")
	}
	if _, _, err := q.StalenessLimit(); err != nil {
		return err
	}
	if _, err := q.Patience(math.MaxInt64); err != nil {
		return err
	}
	return q.checkLimit()
}

// Location returns the query's time zone.
func (q *Query) Location() (*time.Location, error) {
	if q.TimeZone == "Local" {
		return nil, invalid("time_zone", "unknown %q; use an IANA name such as America/Chicago", q.TimeZone)
	}
	loc, err := time.LoadLocation(q.TimeZone)
	if err != nil {
		return nil, invalid("time_zone", "unknown %q; use an IANA name such as America/Chicago", q.TimeZone)
	}
	return loc, nil
}

// IsOpen reports whether the query has no from or no to.
func (q *Query) IsOpen() bool { return q.From.IsZero() || q.To.IsZero() }

// Bound returns a query with the given ends in place of missing ones, and its scan. The ends are whole cells, in
// microseconds since 1970, and begin is before end. Where the given end of the range leaves nothing of the data, the
// range is the one cell at that end.
func (q *Query) Bound(s *Scan, begin, end int64) (*Query, *Scan, error) {
	bounded := *q
	cell := s.View.Cell.Microseconds()
	if q.From.IsZero() {
		if !q.To.IsZero() {
			begin = min(begin, window.Floor(q.To.UnixMicro()-1, s.View.Cell))
		}
		bounded.From = time.UnixMicro(max(begin, window.MinTime)).UTC()
	}
	if q.To.IsZero() {
		end = max(end, window.Floor(bounded.From.UnixMicro(), s.View.Cell)+cell)
		bounded.To = time.UnixMicro(min(end, window.MaxTime+1)).UTC()
	}
	bounded.Widened = true
	scan := *s
	err := bounded.setWindows(&scan)
	return &bounded, &scan, err
}

// AllGroups returns a query for the measures of all groups and windows together, and its scan. Having is not applied.
func (q *Query) AllGroups(s *Scan) (*Query, *Scan, error) {
	all := &Query{View: q.View, Measures: q.Measures, Derived: q.Derived, From: q.From, To: q.To,
		TimeZone: q.TimeZone, Where: q.Where, Limit: DefaultLimit, Mode: q.Mode, AsOf: q.AsOf}
	scan := s.withoutGroups(q)
	if err := all.setWindows(scan); err != nil || s.Comparison == nil {
		return all, scan, err
	}
	earlier := s.Comparison.Windows
	width := time.Duration(earlier.To-earlier.From) * time.Microsecond
	scan.Comparison = &Comparison{Windows: window.Even(earlier.From, earlier.To, width), Places: []int32{0}}
	return all, scan, nil
}

// widen rounds the range outward to whole cells, because a cell counts as a whole. The answer says so. It says the
// range of an open query in any case.
func (q *Query) widen(cell time.Duration) {
	if !q.IsOpen() && !q.From.Before(q.To) {
		return
	}
	from := q.From
	to := q.To
	if !from.IsZero() {
		from = time.UnixMicro(window.Floor(from.UnixMicro(), cell)).UTC()
	}
	if !to.IsZero() {
		to = time.UnixMicro(window.Floor(to.UnixMicro()-1, cell) + cell.Microseconds()).UTC()
	}
	if q.IsOpen() || !from.Equal(q.From) || !to.Equal(q.To) {
		q.From = from
		q.To = to
		q.Widened = true
	}
}

func measureNames(v *catalog.View) string {
	var names []string
	for _, m := range v.Measures {
		if m.Kind == catalog.Quantile {
			m.Name += rankMark + quantile.P99.String()
		}
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

func (q *Query) measures(c *catalog.Catalog, v *catalog.View) ([]Measure, error) {
	if len(q.Measures) == 0 && len(q.Derived) == 0 {
		for _, m := range v.Measures {
			q.Measures = append(q.Measures, m.Name)
		}
	}
	q.Measures = expandQuantiles(v, q.Measures)
	var out []Measure
	for i, name := range q.Measures {
		m, err := measureNamed(c, v, "measures", name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(q.Measures[:i], name) {
			return nil, invalid("measures", "%q is listed twice", name)
		}
		out = append(out, m)
	}
	return out, nil
}

func dimensionNames(v *catalog.View) string { return cmp.Or(strings.Join(v.Dimensions, ", "), "none") }

func (q *Query) groupBy(c *catalog.Catalog, v *catalog.View) ([]Dimension, error) {
	var out []Dimension
	for i, name := range q.GroupBy {
		if !slices.Contains(v.Dimensions, name) {
			return nil, invalid("group_by", "view %s has no dimension %q; it has %s", v.Name, name, dimensionNames(v))
		}
		if slices.Contains(q.GroupBy[:i], name) {
			return nil, invalid("group_by", "%q is listed twice", name)
		}
		out = append(out, Dimension{name, c.DimensionType(v, name)})
	}
	return out, nil
}

// column returns the place of a measure in Measures, after adding it if it is not there.
func (s *Scan) column(m Measure) int {
	at := slices.IndexFunc(s.Measures, func(o Measure) bool { return o.Name == m.Name })
	if at < 0 {
		at = len(s.Measures)
		s.Measures = append(s.Measures, m)
	}
	return at
}

// orderBy checks the sort keys. It adds the measures that only order rows to the scan, after those of the query.
func (q *Query) orderBy(c *catalog.Catalog, s *Scan) error {
	for i, o := range q.OrderBy {
		m, err := measureNamed(c, s.View, "order_by", o.By)
		switch {
		case slices.ContainsFunc(q.OrderBy[:i], func(p Order) bool { return p.By == o.By }):
			return invalid("order_by", "%q is listed twice", o.By)
		case slices.Contains(q.GroupBy, o.By), slices.Contains(q.Measures, o.By), s.derived(o.By) >= 0,
			o.By == "time" && q.IsWindowed():
		case err == nil:
			s.column(m)
		case isQuantile(s.View, o.By):
			return err
		default:
			return invalid("order_by", "%q is neither time, nor in group_by or derived, nor a measure of the view: %s",
				o.By, measureNames(s.View))
		}
	}
	return nil
}
