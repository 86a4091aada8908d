package ingest

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/problem"
)

// scanNumericText reads an int64 or a float64 that was sent as a text. What spells a number is what readers take for
// one (package conversion), so the field has the same value as if it had been declared after the event came.
func (d *decoder) scanNumericText(f *field, s *slot) bool {
	start := d.pos
	text, ok := d.scanString()
	if !ok {
		return false
	}
	raw := d.buf[start:d.pos]
	digits := scanner{buf: text}
	n, isNumber := digits.scanNumber()
	switch {
	case d.keepNull(f, s, raw):
	case !isNumber || digits.pos < len(text):
		d.rejectMismatch(f, raw)
	default:
		d.setNumeric(f, s, &n, raw)
		s.coerced = true
	}
	return true
}

// coerceFix says what to do about a value that the field would take if it had coerce.
func (f *field) coerceFix(raw []byte) string {
	other := ""
	switch {
	case f.coerce:
	case raw[0] == '"' && f.kind.IsNumber():
		other = "number"
	case (raw[0] == '-' || raw[0]-'0' <= 9) && f.kind == catalog.String:
		other = "text"
	}
	if other == "" || !conversion.Fits(catalog.Field{Name: f.name, Type: f.kind}, string(raw)) {
		return ""
	}
	return "; declare coerce for the field, or send a " + other
}

// scanTextOfNumber reads a text that was sent as a number. A number that readers spell in another way than it was sent,
// such as 1.50, is kept as it was sent, and they convert it. Its column would lose a spelling on which a later list of
// null values may depend (I7).
func (d *decoder) scanTextOfNumber(f *field, s *slot) bool {
	n, ok := d.scanNumber()
	switch {
	case !ok:
		return false
	case d.keepNull(f, s, n.raw):
		return true
	}
	s.coerced = true
	if n.isShortest() {
		s.text = n.raw
		return true
	}
	text, fits := conversion.TextOf(string(n.raw))
	if !fits {
		d.reject(problem.NumberOutOfRange, "data."+f.name+": "+excerptOf(n.raw)+" does not fit "+string(f.kind)+
			": a number of so many digits is not kept exactly; send it as a text")
	}
	d.keepUndeclared(f, s, n.raw)
	s.counted = []byte(text)
	return true
}

// isShortest reports whether the number is spelled as readers spell it, if that is seen without memory: up to 15 digits
// survive as a float64, and one that is not tiny is written without an exponent.
func (n *number) isShortest() bool {
	if n.exponent || n.mantissa == 0 && len(n.raw) > 1 {
		return false
	}
	if n.fraction == 0 {
		return n.digits <= 18
	}
	return n.digits <= 15 && n.fraction <= 6 && n.raw[len(n.raw)-1] != '0'
}

// isCoerced reports whether a value of the event was converted.
func (r *row) isCoerced() bool {
	return slices.ContainsFunc(r.slots, func(s slot) bool { return s.coerced })
}

// countCoerced counts the values that were converted in events that are durable now, and returns the number of these
// events.
func (s *Server) countCoerced(q *request) (events int) {
	for _, c := range q.chunks {
		if c.rejection != nil || c.coerced == 0 {
			continue
		}
		events += c.coerced
		for i := range c.fields {
			if n := c.fields[i].coerced; n > 0 {
				s.metrics.coerced.add(c.tenant, c.eventType.name, c.eventType.fields[i].name, n)
			}
		}
	}
	return events
}

// maxCoercedSeries bounds the series of values that were converted. Those of further tenants are counted together.
const maxCoercedSeries = 1000

// coerced counts the values that were converted. It is safe for concurrent use.
type coerced struct {
	values *prometheus.CounterVec

	mu     sync.Mutex
	series map[coercedSeries]prometheus.Counter
}

type coercedSeries struct{ tenant, eventType, field string }

func newCoerced() *coerced {
	return &coerced{series: map[coercedSeries]prometheus.Counter{},
		values: newCounterVec("values_coerced_total", "Values of accepted events that were converted because their "+
			"field has coerce. Tenants beyond a thousand series are counted as the tenant "+catalog.Overflow+".",
			"tenant", "type", "field")}
}

func (c *coerced) add(tenant, eventType, field string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := coercedSeries{tenant, eventType, field}
	counter, ok := c.series[key]
	if !ok && len(c.series) >= maxCoercedSeries {
		key.tenant = catalog.Overflow
		counter, ok = c.series[key]
	}
	if !ok {
		counter = c.values.WithLabelValues(key.tenant, eventType, field)
		c.series[key] = counter
	}
	counter.Add(float64(n))
}
