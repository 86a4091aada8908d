package server

import (
	"fmt"
	"slices"
	"strings"

	"recount/deploy/server/quota"
	"recount/schemas/catalog"
	"recount/schemas/expression"
	"recount/schemas/setting"
)

// Section is a part of the configuration file, as the reference documents it. The section without a name has the
// keys at the top of the file.
type Section struct {
	Name    string `json:"name,omitempty"`
	About   string `json:"about"`
	Keys    []Key  `json:"keys"`
	Example string `json:"example,omitempty"` // for a section whose keys have names that an operator chooses
}

// Key is a key of the configuration file. A part in capitals stands for a name that an operator chooses.
type Key struct {
	Key     string `json:"key"`
	Type    string `json:"type"`
	Unit    string `json:"unit,omitempty"`
	Default string `json:"default"`
	Bounds  string `json:"bounds,omitempty"`
	Meaning string `json:"meaning"`
	Env     string `json:"environment,omitempty"` // empty, like Flag, where only the file can set the key
	Flag    string `json:"flag,omitempty"`
}

// sections are the parts of the file, in its order.
var sections = []Section{
	{About: "Where the server listens, where it keeps its data, and what it logs."},
	{Name: "http", About: "What clients may hold of the server: connections, memory and time."},
	{Name: "tls", About: "Encryption of the addresses."},
	{Name: "admin", About: "An address of its own for operators."},
	{Name: "auth", About: "API keys."},
	{Name: "log", About: "The event log: where it is, and how durable and large."},
	{Name: "object_store", About: "The lake: Parquet objects and records."},
	{Name: "clickhouse", About: "The store of the batch views."},
	{Name: "ingest", About: "What one request with events may ask for."},
	{Name: "accept", About: "Which event times are accepted; events outside are rejected and counted."},
	{Name: "dead_letters", About: "How many rejected events are kept, and for how long."},
	{Name: "speed", About: "The real-time views."},
	{Name: "landing", About: "When a segment of the log ends and is written to the lake."},
	{Name: "batch", About: "The exact recomputation."},
	{Name: "query", About: "What queries may cost."},
	{Name: "sql", About: "What SQL statements may cost, besides what holds for all queries."},
	{Name: "limits", About: "What each tenant may use of this process, unless it has limits of its own."},
	{Name: "tenants", About: "Limits of single tenants.", Example: `tenants:
  acme: {events_per_second: 5000, bytes_per_second: 10MiB}
  trial: {queries_per_second: 0.5}
`},
	{Name: "discovery", About: "How event types are declared from the events that arrive (events.discover)."},
	{Name: "events", About: "The event types: fields by name.", Example: `events:
  flight.departed:
    fields: {origin: string, delay: int64, distance: float64, diverted: bool, planned: timestamp}
  page.viewed:
    fields:
      page:    {type: string, path: ["Page URL"]}
      country: {type: string, path: user.country, null_values: ["", "-"]}
      ms:      {type: int64, null_values: [NA], coerce: true}
      site:    {type: string, expression: lower(host(page))}
`},
	{Name: "views", About: "The views: what is counted of an event type.", Example: `views:
  departures:
    event: flight.departed
    dimensions: [origin]
    cell: 1m
    where:
      - {field: delay, op: ge, value: 0}
      - {field: origin, op: in, values: [ORD, ATL]}
    measures:
      flights:   {count: {}}
      miles:     {sum: distance}
      earliest:  {min: planned}
      worst:     {max: delay}
      mean:      {avg: delay}
      distances: {distinct: distance}
      delays:    {quantile: delay}
`},
	{Name: "jobs", About: "When the scheduled jobs start.", Example: `jobs:
  recompute: {schedule: "@every 30s"}
  recheck: {schedule: ""}
`},
}

// Reference documents every key of the configuration file, section by section.
func Reference() []Section {
	c := DefaultConfig()
	out := slices.Clone(sections)
	for i := range out {
		out[i].Keys = slices.Clone(declarationKeys[out[i].Name])
	}
	for _, s := range c.Settings() {
		i := sectionIndex(s)
		out[i].Keys = append(out[i].Keys, keyOf(s))
	}
	for _, s := range new(quota.Rates).Settings("tenants.TENANT") {
		k := keyOf(s)
		k.Default = "that of limits." + s.Path[len(s.Path)-1]
		k.Env = ""
		k.Flag = ""
		i := sectionIndex(s)
		out[i].Keys = append(out[i].Keys, k)
	}
	return out
}

// sectionIndex returns the index of a setting's section. A setting without a section is in the first.
func sectionIndex(s setting.Setting) int {
	return max(0, slices.IndexFunc(sections, func(x Section) bool { return x.Name == s.Path[0] }))
}

func keyOf(s setting.Setting) Key {
	return Key{Key: s.Key(), Type: s.Type, Unit: s.Unit, Default: s.Default(), Bounds: s.Bounds, Meaning: s.Help,
		Env: s.Env(), Flag: "--" + s.Flag()}
}

// declarationKeys are the keys of package declaration, by section.
var declarationKeys = map[string][]Key{
	"events": {{
		Key: "events.EVENT_TYPE.fields.FIELD", Type: "word", Bounds: fieldTypes() +
			fmt.Sprintf("; at most %d fields", catalog.MaxFields),
		Meaning: "Type of a field of the event type; every field may be missing in an event, and a decimal has " +
			"DIGITS digits, 1 to 18, of which SCALE follow the point, such as decimal(18,2), between braces in quotes.",
	}, {
		Key: "events.EVENT_TYPE.fields.FIELD.type", Type: "word", Bounds: fieldTypes(),
		Meaning: "The same for a field that is written as keys with values.",
	}, {
		Key: "events.EVENT_TYPE.fields.FIELD.path", Type: "text or list of texts", Default: "the field's name",
		Bounds: fmt.Sprintf("at most %d names", catalog.MaxPath),
		Meaning: "Where in data the value stands: the names of members from the outer to the inner one, as a list or " +
			"with dots between them; in a text a name that has a dot stands in double quotes, and the name data at " +
			"its begin is left out.",
	}, {
		Key: "events.EVENT_TYPE.fields.FIELD.null_values", Type: "list of texts", Default: "none",
		Bounds: fmt.Sprintf("at most %d", catalog.MaxNulls),
		Meaning: "Texts that mean a missing value, such as NA, and with each the number, boolean or time that it " +
			"spells.",
	}, {
		Key: "events.EVENT_TYPE.fields.FIELD.expression", Type: "expression", Default: "none",
		Bounds: fmt.Sprintf("at most %d bytes", expression.MaxText),
		Meaning: "What a computed field is, made of other fields that are not computed, of time, source and subject; " +
			"deploy/OPERATIONS.md has the functions.",
	}, {
		Key: "events.EVENT_TYPE.fields.FIELD.coerce", Type: "true or false", Default: "false",
		Meaning: "Whether a field for numbers takes texts that spell one, such as \"12\", and a field for texts " +
			"takes numbers; the answer to events and a metric count the converted values.",
	}},
	"views": {
		{Key: "views.VIEW.event", Type: "text", Bounds: "an event type under events",
			Meaning: "Event type that the view counts."},
		{Key: "views.VIEW.dimensions", Type: "list of texts", Default: "none",
			Bounds:  fmt.Sprintf("at most %d string, int64 or bool fields, or attributes", catalog.MaxDimensions),
			Meaning: "Fields whose values have counts of their own."},
		{Key: "views.VIEW.cell", Type: "duration", Default: setting.FormatDuration(catalog.DefaultCell),
			Bounds:  "at least " + setting.FormatDuration(catalog.LeastCell) + ", a divisor of batch.bucket",
			Meaning: "Smallest time window of the view."},
		{Key: "views.VIEW.where", Type: "list of conditions", Default: "none",
			Bounds:  fmt.Sprintf("at most %d", catalog.MaxFilters),
			Meaning: "Conditions that an event has to fulfil to be counted, all of them."},
		{Key: "views.VIEW.where.field", Type: "text", Bounds: "a field of the event type, or an attribute",
			Meaning: "Field that the condition looks at."},
		{Key: "views.VIEW.where.op", Type: "word", Bounds: oneOf(catalog.FilterOps),
			Meaning: "How the field is compared with the value."},
		{Key: "views.VIEW.where.value", Type: "value of the field's type; true or false for exists",
			Meaning: "Value that the field is compared with."},
		{Key: "views.VIEW.where.values", Type: "list of values", Bounds: fmt.Sprintf("at most %d", catalog.MaxInValues),
			Meaning: "Values that in and not_in compare the field with."},
		{Key: "views.VIEW.measures.MEASURE", Type: "{count: {}}, or {KIND: FIELD}",
			Bounds: oneOf(catalog.MeasureKinds) + fmt.Sprintf("; at most %d measures", catalog.MaxMeasures),
			Meaning: "What is computed of the events in each cell: their number, or an aggregate of a field; " +
				"distinct is the number of different values; quantile has the median, p99 and the like."},
	},
}

// fieldTypes names the types of fields.
func fieldTypes() string { return oneOf(append(slices.Clone(catalog.FieldTypes), catalog.DecimalForm)) }

func oneOf[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}
