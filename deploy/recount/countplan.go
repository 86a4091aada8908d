package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"recount/deploy/client/eventfile"
	"recount/schemas/catalog"
	"recount/schemas/window"
)

// The names of what the command count declares.
const (
	countType = "row"
	countView = "rows"
)

// countPlan is how the rows of files become counts: the declared fields, the measures, and the query for the answer.
type countPlan struct {
	mapping     eventfile.Mapping
	survey      *eventfile.Survey
	fields      map[string]catalog.FieldType
	renamed     []string // renamed says in words which columns got other names.
	left        []string // left says which columns are not kept, and why.
	rounded     []string // rounded are the sums that are not exact.
	by          []string
	measures    map[string]map[string]any
	counter     string // counter is the name of the measure that counts rows.
	granularity string
	zone        string
	timeFormat  bool                // timeFormat means that the user has said how the event time is written.
	time        *eventfile.Surveyed // time is the column of the event time, or nil.
}

// granularities are the words for --per, beside the names that queries have.
var granularities = map[string]string{"": "all", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w",
	"month": "1mo"}

// plan decides what is declared.
func (c *countCmd) plan(m eventfile.Mapping, s *eventfile.Survey) (*countPlan, error) {
	p := &countPlan{mapping: m, survey: s, fields: map[string]catalog.FieldType{}, zone: c.TimeZone,
		timeFormat:  c.TimeFormat != "",
		granularity: cmp.Or(granularities[c.Per], c.Per)}
	if _, err := window.ParseGranularity(p.granularity); err != nil {
		return nil, usageError{fmt.Errorf("--per %s: use minute, hour, day, week, month, or one of 1m 5m 15m 1h 1d 1w "+
			"1mo", c.Per)}
	}
	if c.Limit < 1 {
		return nil, usageError{errors.New("--limit must be at least 1")}
	}
	if p.mapping.Rename == nil {
		p.mapping.Rename = map[string]string{}
	}
	if err := errors.Join(p.addDimensions(c.By), p.addMeasures(c)); err != nil {
		return nil, err
	}
	if c.Keep != "" {
		p.addOthers()
	}
	p.mapping.Type = countType
	p.mapping.Extra = eventfile.IgnoreExtra
	p.mapping.Fields = &catalog.EventType{Name: countType}
	for name, t := range p.fields {
		p.mapping.Fields.Fields = append(p.mapping.Fields.Fields, catalog.Field{Name: name, Type: t})
	}
	slices.SortFunc(p.mapping.Fields.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return p, p.addAttributes(c)
}

// addDimensions declares the columns by which rows are grouped.
func (p *countPlan) addDimensions(columns []string) error {
	var errs []error
	for _, name := range columns {
		c, err := p.column("--by", name)
		if err == nil {
			var t catalog.FieldType
			t, err = c.DimensionType()
			p.by = append(p.by, p.declare(c, t))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addMeasures declares the columns that are added up, and the measures.
func (p *countPlan) addMeasures(c *countCmd) error {
	p.measures = map[string]map[string]any{}
	var errs []error
	for _, m := range []struct {
		kind    catalog.MeasureKind
		columns []string
	}{{catalog.Sum, c.Sum}, {catalog.Avg, c.Avg}, {catalog.Min, c.Min}, {catalog.Max, c.Max},
		{catalog.Distinct, c.Distinct}, {catalog.Quantile, c.Quantile}} {
		for _, name := range m.columns {
			errs = append(errs, p.addMeasure(m.kind, name))
		}
	}
	for _, name := range []string{"count", "rows", "row_count"} {
		if p.counter == "" && p.measures[name] == nil && !slices.Contains(p.by, name) {
			p.counter = name
		}
	}
	p.measures[p.counter] = map[string]any{string(catalog.Count): map[string]any{}}
	return errors.Join(errs...)
}

func (p *countPlan) addMeasure(kind catalog.MeasureKind, name string) error {
	c, err := p.column("--"+string(kind), name)
	if err != nil {
		return err
	}
	t, rounded, err := c.SumType(p.survey.Rows)
	if kind == catalog.Distinct {
		t, err = c.Type()
	} else if p.isTimestamp(c) && (kind == catalog.Min || kind == catalog.Max) {
		t = catalog.Timestamp
		err = nil
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", kind, err)
	}
	field := p.declare(c, t)
	if kind != catalog.Distinct && p.fields[field] != t {
		return usageError{fmt.Errorf("--%s %s: the column is in --by too, and its values are grouped as texts; leave "+
			"it out of one of the two", kind, name)}
	}
	measure := p.freeMeasure(string(kind) + "_" + field)
	p.measures[measure] = map[string]any{string(kind): field}
	if rounded && kind == catalog.Sum {
		p.rounded = append(p.rounded, measure)
	}
	return nil
}

// freeMeasure makes the name of a measure. The answer may have a column of the same name, by which rows are grouped.
func (p *countPlan) freeMeasure(base string) string {
	name := base
	for i := 1; slices.Contains(p.by, name); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}

// addOthers declares the columns that nothing counts yet, for views that are added later.
func (p *countPlan) addOthers() {
	for _, c := range p.survey.Columns {
		t, err := c.Type()
		switch {
		case len(p.fields) == catalog.MaxFields:
			p.left = append(p.left, c.Name+" (an event type has at most "+strconv.Itoa(catalog.MaxFields)+" fields)")
		case err != nil:
			p.left = append(p.left, err.Error())
		case t == catalog.Timestamp && !p.isTimestamp(c):
			p.declare(c, catalog.String)
		case c.Values() > 0:
			p.declare(c, t)
		}
	}
}

// isTimestamp reports whether a column can be a field of times. Without a zone its times are no instants, and
// --time-format is about the event time.
func (p *countPlan) isTimestamp(c *eventfile.Surveyed) bool {
	return c.IsTime() && !p.timeFormat && (!c.NeedsZone() || p.mapping.Times.HasZone())
}

// addAttributes finds the columns of id and time. Rows have a time only if it is asked for.
func (p *countPlan) addAttributes(c *countCmd) (err error) {
	var ids []string
	for _, name := range c.ID {
		column, wrong := p.column("--id", name)
		if wrong == nil {
			ids = append(ids, p.nameOf(column))
		}
		err = errors.Join(err, wrong)
	}
	p.mapping.ID = ids
	if err != nil {
		return err
	}
	switch {
	case c.Time != "":
		p.time, err = p.column("--time", string(c.Time))
	case c.Per != "":
		p.time, err = p.onlyTime()
	}
	if err != nil || p.time == nil {
		return err
	}
	if p.time.NeedsZone() && !p.mapping.Times.HasZone() && c.TimeFormat == "" {
		return fmt.Errorf("the times of column %s have no zone, so they are other instants in every place; name the "+
			"zone with --time-zone, such as UTC or Europe/Berlin", p.time.Name)
	}
	p.mapping.Time = p.nameOf(p.time)
	return nil
}

// onlyTime returns the one column that holds times.
func (p *countPlan) onlyTime() (found *eventfile.Surveyed, err error) {
	var names []string
	for _, c := range p.survey.Columns {
		if c.IsTime() {
			names = append(names, c.Name)
			found = c
		}
	}
	switch len(names) {
	case 0:
		return nil, errors.New("--per: no column holds times only; name the column of the time with --time, and how " +
			"it is written with --time-format")
	case 1:
		return found, nil
	}
	return nil, fmt.Errorf("--per: the columns %s hold times; name the one to count by with --time",
		strings.Join(names, ", "))
}

// column returns the column that a flag names, by its name in the file or by its new name.
func (p *countPlan) column(flag, name string) (*eventfile.Surveyed, error) {
	var near string
	var names []string
	for _, c := range p.survey.Columns {
		if c.Name == name || p.mapping.Rename[c.Name] == name {
			return c, nil
		}
		if strings.EqualFold(strings.TrimSpace(c.Name), name) {
			near = c.Name
		}
		names = append(names, c.Name)
	}
	if near != "" {
		return nil, usageError{fmt.Errorf("%s %s: no column has this name; did you mean %q?", flag, name, near)}
	}
	return nil, usageError{fmt.Errorf("%s %s: no column has this name; there are %s", flag, name,
		strings.Join(names, ", "))}
}

func (p *countPlan) nameOf(c *eventfile.Surveyed) string {
	return cmp.Or(p.mapping.Rename[c.Name], c.Name)
}

// declare makes a column a field, if it is none yet, and returns the field's name. The first type stays: it is that of
// a dimension, which holds every value as it is written.
func (p *countPlan) declare(c *eventfile.Surveyed, t catalog.FieldType) string {
	name := p.nameOf(c)
	if !catalog.DimensionName(name) {
		name = p.freeName(name)
		p.mapping.Rename[c.Name] = name
		p.renamed = append(p.renamed, fmt.Sprintf("%q is called %s", c.Name, name))
	}
	if _, declared := p.fields[name]; !declared {
		p.fields[name] = t
	}
	return name
}

// freeName makes a name that a field may have, and that no column has.
func (p *countPlan) freeName(name string) string {
	const longest = 50
	base := catalog.Words(name)
	if base == "" || base[0] >= '0' && base[0] <= '9' {
		base = strings.TrimSuffix("column_"+base, "_")
	}
	base = strings.TrimSuffix(base[:min(len(base), longest)], "_")
	taken := func(name string) bool {
		return !catalog.DimensionName(name) || slices.ContainsFunc(p.survey.Columns,
			func(c *eventfile.Surveyed) bool { return c.Name == name || p.nameOf(c) == name })
	}
	name = base
	for i := 1; taken(name); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}

// The longest history that is divided into hours, so that the number of buckets stays small.
const hourlyHistory = 60 * 24 * time.Hour

// configuration returns the file that a user would write for these counts over the data in a folder.
func (p *countPlan) configuration(dataDir string, now time.Time) ([]byte, error) {
	bucket := "1h"
	cell := map[string]string{"1m": "1m", "5m": "5m", "all": bucket}[p.granularity]
	settings := map[string]any{
		"data_dir": dataDir,
		"limits":   map[string]any{"cardinality": 0}, // Every value counts; with ~overflow, no answer would be exact.
		"events":   map[string]any{countType: map[string]any{"fields": p.fields}},
	}
	if p.time != nil && p.time.Last.Sub(p.time.First) > hourlyHistory {
		bucket = "24h"
	}
	if p.time != nil && p.time.Last.After(now) {
		settings["accept"] = map[string]any{"future": "1000000h"}
	}
	settings["batch"] = map[string]any{"bucket": bucket}
	view := map[string]any{"event": countType, "cell": cmp.Or(cell, "15m"), "measures": p.measures}
	if len(p.by) > 0 {
		view["dimensions"] = p.by
	}
	settings["views"] = map[string]any{countView: view}
	return yaml.Marshal(settings)
}

// query returns the parameters of the query for the counts. Rows without a time of their own are at the time of
// sending.
func (p *countPlan) query(started time.Time, limit int) url.Values {
	from := started.Add(-time.Hour)
	to := time.Now().Add(time.Hour)
	if p.time != nil && p.mapping.AssignTimes && p.time.Values() < p.survey.Rows {
		from = slices.MinFunc([]time.Time{from, p.time.First}, time.Time.Compare)
		to = slices.MaxFunc([]time.Time{to, p.time.Last}, time.Time.Compare)
	} else if p.time != nil {
		from = p.time.First
		to = p.time.Last
	}
	const coarsest = 24 * time.Hour // It is a multiple of every cell and bucket.
	v := url.Values{
		"view": {countView}, "from": {from.UTC().Truncate(coarsest).Format(time.RFC3339)},
		"to":          {to.UTC().Truncate(coarsest).Add(coarsest).Format(time.RFC3339)},
		"granularity": {p.granularity}, "limit": {strconv.Itoa(limit)},
	}
	if p.zone != "" {
		v.Set("time_zone", p.zone)
	}
	if len(p.by) > 0 {
		v.Set("group_by", strings.Join(p.by, ","))
	}
	if p.granularity == "all" && len(p.by) > 0 {
		v.Set("order_by", p.counter+":desc")
	}
	return v
}
