package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"recount/deploy/recount/demo"
)

// shape is one kind of events with one view over them.
type shape struct {
	name   string
	about  string
	share  float64 // share is the part of the run's events that this shape gets; its events are larger.
	event  string  // event is the event type.
	fields []field
	// dimensions, sum and distinct are fields. The view counts events, sums sum and counts the values of distinct.
	dimensions []string
	sum        string
	distinct   string
	cell       string // cell is 1m or 1h.
	span       time.Duration
	uuids      bool    // uuids means that ids are UUIDs of 36 characters.
	late       float64 // late is the share of events that are up to two days late.
	flights    bool    // flights means the events of the demonstration, which are real.

	// The rest are for the axes of growth. Zeros mean the values of the table.
	start      time.Time // start is the time of the first event.
	partitions int
	cutRows    int // cutRows ends a segment.
	views      int
}

// field is a field of the events.
type field struct {
	name   string
	text   string // text is the beginning of a string; an int64 has none.
	values int64
	zipf   bool // zipf means the exponent 1.3; all values after the last count as the last.
	uuid   bool
}

// begin is the time of the first event that is not late. Two years later is not in the future.
var begin = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// duplicates is the share of events that are sent twice.
const duplicates = 0.01

var (
	path    = field{name: "path", text: "/p/", values: 1000, zipf: true}
	country = field{name: "country", text: "C", values: 10}
	device  = field{name: "device", text: "D", values: 5}
	user    = field{name: "user", values: 1_000_000}
	volume  = field{name: "bytes", values: 4096}
	hit     = []field{path, country, device, user, volume}
)

// shapes are the shapes of the table. The first is the one of which queries are asked.
func shapes() []shape {
	all := []shape{
		{name: "dense", about: "CloudEvents of 203 bytes, about 2 events a row", fields: hit,
			dimensions: []string{"path", "country", "device"}},
		{name: "grouped", about: "about 90 events a row",
			fields:     []field{path, country, {name: "tier", text: "T", values: 3}, user, volume},
			dimensions: []string{"country", "tier"}},
		{name: "sparse", about: "a row an event",
			fields:     []field{{name: "session", text: "s-", values: 1 << 40}, country, device, user, volume},
			dimensions: []string{"session", "country", "device"}},
		{name: "long", about: "few long strings: 200 of 400 bytes, 50 of 250", share: 0.4, fields: []field{
			{name: "path", text: "https://example.org/" + strings.Repeat("catalogue/", 37), values: 200, zipf: true},
			{name: "agent", text: strings.Repeat("Mozilla/5.0 (any) ", 14), values: 50}, country, user, volume},
			dimensions: []string{"path", "agent", "country"}},
		{name: "fifty", about: "50 fields, of which the view uses 5", share: 0.3,
			fields:     append(hit[:5:5], others(45)...),
			dimensions: []string{"path", "country", "device"}},
		{name: "uuid", about: "ids and users are UUIDs of 36 characters", uuids: true,
			fields:     []field{path, country, device, {name: "user", values: 1 << 40, uuid: true}, volume},
			dimensions: []string{"path", "country", "device"}},
		{name: "late", about: "5 % of the events are up to two days late", late: 0.05, fields: hit,
			dimensions: []string{"path", "country", "device"}},
		{name: "flights", about: "the real flights of the demonstration, by hour and origin", flights: true,
			event: "flight.departed", fields: []field{
				{name: "origin", text: "A"}, {name: "destination", text: "A"}, {name: "route", text: "A"},
				{name: "delay"}, {name: "distance"}},
			dimensions: []string{"origin"}, sum: "distance", distinct: "route", cell: "1h", span: 182 * 24 * time.Hour},
	}
	for i := range all {
		all[i].complete()
	}
	return all
}

// others are n fields that no view uses.
func others(n int) []field {
	out := make([]field, n)
	for i := range out {
		out[i] = field{name: fmt.Sprintf("field%d", i), values: 1000}
		if i%2 == 0 {
			out[i].text = "value-"
		}
	}
	return out
}

// complete fills in what most shapes have in common.
func (s *shape) complete() {
	s.start = begin
	if s.event != "" {
		return
	}
	s.event = "page.hit"
	s.sum = "bytes"
	s.distinct = "user"
	s.cell = "1m"
	if s.span == 0 {
		s.span = 6 * time.Hour
	}
}

// firstTime is the beginning of a range that holds all events.
func (s *shape) firstTime() time.Time {
	if s.flights {
		return time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	first := begin
	if s.start.Before(begin) {
		first = s.start
	}
	return first.Add(-48 * time.Hour)
}

// endTime is the end of that range.
func (s *shape) endTime() time.Time {
	return s.start.Add(s.span).Truncate(24 * time.Hour).Add(24 * time.Hour)
}

// kind is the type of the field in the configuration.
func (f field) kind() string {
	if f.text != "" || f.uuid {
		return "string"
	}
	return "int64"
}

// configuration is that of the server. Nothing is recomputed unless a row runs the job. As many queries as the rows
// ask at once have a place.
func (s *shape) configuration() string {
	fields := make([]string, len(s.fields))
	for i, f := range s.fields {
		fields[i] = f.name + ": " + f.kind()
	}
	cutRows := ""
	if s.cutRows > 0 {
		cutRows = fmt.Sprintf(", cut_rows: %d", s.cutRows)
	}
	view := fmt.Sprintf(`{event: %s, dimensions: [%s], cell: %s, measures: {hits: {count: {}}, volume: {sum: %s}, `+
		`users: {distinct: %s}}}`, s.event, strings.Join(s.dimensions, ", "), s.cell, s.sum, s.distinct)
	views := "  hits: " + view + "\n"
	for i := range s.views - 1 {
		views += fmt.Sprintf("  hits%d: %s\n", i+2, view)
	}
	return fmt.Sprintf(`
log: {partitions: %d}
landing: {cut_interval: 2s%s}
query: {concurrent: 32}
limits: {buckets_per_minute: 0, cardinality: 0}
events: {%s: {fields: {%s}}}
views:
%sjobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}, score: {schedule: ""}}
`, cmp.Or(s.partitions, 2), cutRows, s.event, strings.Join(fields, ", "), views)
}

// bodies returns n events, and copies of some, as NDJSON of perRequest lines each. It also returns the number of lines.
// The same seed gives the same bytes.
func (s *shape) bodies(n, perRequest int, seed uint64) (all [][]byte, lines int, err error) {
	next := s.lines(n, seed)
	if s.flights {
		if next, err = flightLines(n); err != nil {
			return nil, 0, err
		}
	}
	size := 256
	for {
		body := make([]byte, 0, size*perRequest*17/16)
		k := 0
		for k < perRequest {
			grown, added := next(body)
			if added == 0 {
				break
			}
			body = grown
			k += added
		}
		if k == 0 {
			return all, lines, nil
		}
		size = len(body)/k + 1
		all = append(all, body)
		lines += k
	}
}

// lines returns a function that appends the next event, sometimes twice, and says how many lines it appended.
func (s *shape) lines(n int, seed uint64) func([]byte) ([]byte, int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	zipf := rand.NewZipf(rng, 1.3, 1, 1<<40)
	i := 0
	return func(b []byte) ([]byte, int) {
		if i == n {
			return b, 0
		}
		start := len(b)
		b = append(b, `{"specversion":"1.0","id":"`...)
		if s.uuids {
			b = appendUUID(b, rng.Uint64(), rng.Uint64())
		} else {
			b = fmt.Appendf(b, "%016x%08x", rng.Uint64()>>1, i)
		}
		b = append(b, `","source":"/bench","type":"`...)
		b = append(b, s.event...)
		b = append(b, `","time":"`...)
		b = s.time(i, n, rng).AppendFormat(b, "2006-01-02T15:04:05.000Z")
		b = append(b, `","data":{`...)
		for k := range s.fields {
			if k > 0 {
				b = append(b, ',')
			}
			b = s.fields[k].append(b, rng, zipf)
		}
		b = append(b, "}}\n"...)
		i++
		if rng.Float64() < duplicates {
			return append(b, b[start:]...), 2
		}
		return b, 1
	}
}

// time is the time of event i of n: in order, except for those that are late.
func (s *shape) time(i, n int, rng *rand.Rand) time.Time {
	step := float64(s.span) / float64(n)
	t := s.start.Add(time.Duration((float64(i) + rng.Float64()) * step))
	if s.late > 0 && rng.Float64() < s.late {
		t = t.Add(-time.Duration(rng.Int64N(int64(48 * time.Hour))))
	}
	return t
}

// append appends the field with its name.
func (f *field) append(b []byte, rng *rand.Rand, zipf *rand.Zipf) []byte {
	b = append(b, '"')
	b = append(b, f.name...)
	b = append(b, `":`...)
	value := rng.Int64N(f.values)
	if f.zipf {
		value = min(int64(zipf.Uint64())+1, f.values)
	}
	switch {
	case f.uuid:
		b = append(b, '"')
		b = appendUUID(b, uint64(value%1_000_000)*0x9e3779b97f4a7c15, uint64(value%1_000_000))
		return append(b, '"')
	case f.text == "":
		return strconv.AppendInt(b, value, 10)
	}
	b = append(b, '"')
	b = append(b, f.text...)
	b = strconv.AppendInt(b, value, 10)
	return append(b, '"')
}

// appendUUID appends 128 bits as a UUID of version 4.
func appendUUID(b []byte, high, low uint64) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], high)
	binary.BigEndian.PutUint64(raw[8:], low)
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Appendf(b, "%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

// flightLines returns the first n flights, or all of them.
func flightLines(n int) (func([]byte) ([]byte, int), error) {
	file, err := demo.FindFlights()
	if err != nil {
		return nil, err
	}
	flights, err := demo.ReadFlights(file, n)
	if err != nil {
		return nil, err
	}
	i := 0
	return func(b []byte) ([]byte, int) {
		if i == flights.Len() {
			return b, 0
		}
		i++
		return flights.AppendEvent(b, i-1), 1
	}, nil
}
