package server

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/position"
)

// Config is the whole configuration of a process. Each scalar can also be set by
// an environment variable and a flag; Settings lists them.
type Config struct {
	Listen      string                  `yaml:"listen" help:"Address of the HTTP API. Without keys only a loopback address is allowed."`
	HTTP        HTTPConfig              `yaml:"http"`
	TLS         TLSConfig               `yaml:"tls"`
	Admin       AdminConfig             `yaml:"admin"`
	Auth        AuthConfig              `yaml:"auth"`
	DataDir     string                  `yaml:"data_dir" help:"Folder of everything the embedded engines keep."`
	Log         LogConfig               `yaml:"log"`
	ObjectStore ObjectStoreConfig       `yaml:"object_store"`
	ClickHouse  ClickHouseConfig        `yaml:"clickhouse"`
	Ingest      IngestConfig            `yaml:"ingest"`
	Accept      AcceptConfig            `yaml:"accept"`
	DeadLetters DeadLettersConfig       `yaml:"dead_letters"`
	Speed       SpeedConfig             `yaml:"speed"`
	Landing     LandingConfig           `yaml:"landing"`
	Batch       BatchConfig             `yaml:"batch"`
	Query       QueryConfig             `yaml:"query"`
	Limits      LimitsConfig            `yaml:"limits"`
	Tenants     map[string]TenantConfig `yaml:"tenants"`
	Events      map[string]EventConfig  `yaml:"events"`
	Views       map[string]ViewConfig   `yaml:"views"`
	Jobs        map[string]JobConfig    `yaml:"jobs"`
}

// LogConfig places the log.
type LogConfig struct {
	URL        string `yaml:"url" help:"embedded, or nats://host:port of a JetStream cluster."`
	Partitions int    `yaml:"partitions" help:"Partitions of the log; fixed once data exists."`
	Durability string `yaml:"durability" help:"strict: acknowledge only what is fsynced or replicated; relaxed: trust the server's settings."`
	Replicas   int    `yaml:"replicas" help:"Copies of the log on an external cluster; strict wants 3. The embedded log keeps one."`
	MaxBytes   Bytes  `yaml:"max_bytes" help:"Largest size of one partition of the log; a full log answers 503."`
}

// ObjectStoreConfig places the lake.
type ObjectStoreConfig struct {
	URL string `yaml:"url" help:"embedded, or s3://bucket/prefix?endpoint=...&region=..."`
}

// ClickHouseConfig places the batch views.
type ClickHouseConfig struct {
	URL     string `yaml:"url" help:"embedded, or clickhouse://user:password@host:9000/database (also http:// and https://); ?read_timeout=30s is how long it may be silent."`
	Library string `yaml:"library" help:"Path of libchdb.so; found in the checkout when empty."`
	Memory  Bytes  `yaml:"memory" help:"Largest memory of the embedded engine."`
}

// IngestConfig bounds what one request may ask for.
type IngestConfig struct {
	MaxBody   Bytes         `yaml:"max_body" help:"Largest request body, before and after decompression."`
	MaxEvents int           `yaml:"max_events" help:"Most events in one request."`
	MaxWait   time.Duration `yaml:"max_wait" help:"Longest wait for a processor, and again for the log, before a request is refused with 429."`
	Linger    time.Duration `yaml:"linger" help:"How long a group commit waits for more events."`
}

// AcceptConfig bounds event times. Past is a duration or "unlimited".
type AcceptConfig struct {
	Past   Past          `yaml:"past" help:"How old an event time may be: a duration or unlimited."`
	Future time.Duration `yaml:"future" help:"How far ahead an event time may be."`
}

// DeadLettersConfig bounds how many rejected events are kept, and how long.
type DeadLettersConfig struct {
	Keep         time.Duration `yaml:"keep" help:"How long rejected events are kept in the lake."`
	MaxBytes     Bytes         `yaml:"max_bytes" help:"Most bytes of rejected events in the lake; the oldest go first."`
	MaxPerSecond int           `yaml:"max_per_second" help:"Most rejected events kept per second by one process, half of them at most of one tenant where there are keys; 0 keeps none. All are counted."`
}

// SpeedConfig bounds the real-time views.
type SpeedConfig struct {
	Memory           Bytes         `yaml:"memory" help:"Largest memory of the real-time views; at the limit they stop following the log until a publication lets them evict."`
	DedupWindow      time.Duration `yaml:"dedup_window" help:"How long the speed layer remembers ids."`
	DedupEntries     int           `yaml:"dedup_entries" help:"Most ids the speed layer remembers, over all partitions."`
	SnapshotInterval time.Duration `yaml:"snapshot_interval" help:"How often real-time views are written to disk."`
}

// LandingConfig is the cut rule (C1).
type LandingConfig struct {
	CutInterval time.Duration `yaml:"cut_interval" help:"Longest time a segment stays open."`
	CutRows     int64         `yaml:"cut_rows" help:"Most events of a segment."`
	CutBytes    Bytes         `yaml:"cut_bytes" help:"Most bytes of a segment."`
}

// BatchConfig sets the recomputation.
type BatchConfig struct {
	Bucket time.Duration `yaml:"bucket" help:"Width of the unit of recomputation; fixed once data exists."`
	Memory Bytes         `yaml:"memory" help:"Largest memory of one recomputation."`
	Keep   int           `yaml:"keep" help:"Newest publications that stay readable."`
}

// QueryConfig bounds queries.
type QueryConfig struct {
	Timeout    time.Duration `yaml:"timeout" help:"Longest time of one query."`
	Concurrent int           `yaml:"concurrent" help:"Queries that run at once; as many again may wait."`
}

// EventConfig declares an event type: fields by name.
type EventConfig struct {
	Fields map[string]catalog.FieldType `yaml:"fields"`
}

// ViewConfig declares a view.
type ViewConfig struct {
	Event      string                   `yaml:"event"`
	Dimensions []string                 `yaml:"dimensions"`
	Cell       time.Duration            `yaml:"cell"`
	Where      []FilterConfig           `yaml:"where"`
	Measures   map[string]MeasureConfig `yaml:"measures"`
}

// FilterConfig is one condition on a field: value for most operators, values for in and not_in.
type FilterConfig struct {
	Field  string           `yaml:"field"`
	Op     catalog.FilterOp `yaml:"op"`
	Value  any              `yaml:"value"`
	Values []any            `yaml:"values"`
}

// MeasureConfig is {kind: field}, or {count: {}}.
type MeasureConfig struct {
	Kind  catalog.MeasureKind
	Field string
}

// UnmarshalYAML reads {sum: distance} or {count: {}}.
func (m *MeasureConfig) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return fmt.Errorf("line %d: a measure is one of {count: {}}, {sum: field}, {min: field}, {max: field}, "+
			"{avg: field} or {distinct: field}, and nothing beside it", n.Line)
	}
	m.Kind = catalog.MeasureKind(n.Content[0].Value)
	if v := n.Content[1]; v.Kind == yaml.ScalarNode {
		m.Field = v.Value
	} else if len(v.Content) > 0 {
		return fmt.Errorf("line %d: the name of a field must stand behind %s", v.Line, m.Kind)
	}
	return nil
}

// JobConfig schedules a job; an empty schedule runs it on request only.
type JobConfig struct {
	Schedule string `yaml:"schedule"`
}

// Bytes is a size such as 64MiB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"TB", 1e12}, {"B", 1}, {"", 1}}

// UnmarshalText reads a number with KiB, MiB, GiB, TiB, KB, MB, GB, TB, B or nothing behind it.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range byteUnits {
		num, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || n < 0 || n*float64(u.factor) > math.MaxInt64/2 {
			break
		}
		*b = Bytes(n * float64(u.factor))
		return nil
	}
	return fmt.Errorf("%q is not a size; write for example 64MiB", s)
}

// UnmarshalYAML is UnmarshalText with the line of a fault.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error { return onLine(n, b.UnmarshalText([]byte(n.Value))) }

func onLine(n *yaml.Node, err error) error {
	if err != nil && n.Line > 0 {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return err
}

// MarshalText is the reverse of UnmarshalText.
func (b Bytes) MarshalText() ([]byte, error) {
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; b != 0 && int64(b)%u.factor == 0 {
			return fmt.Appendf(nil, "%d%s", int64(b)/u.factor, u.suffix), nil
		}
	}
	return strconv.AppendInt(nil, int64(b), 10), nil
}

// Past is how old an event time may be; 0 is unlimited.
type Past time.Duration

// UnmarshalText reads a duration or "unlimited".
func (p *Past) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*p = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is neither a duration such as 720h nor unlimited", text)
	}
	*p = Past(d)
	return nil
}

// UnmarshalYAML is UnmarshalText with the line of a fault.
func (p *Past) UnmarshalYAML(n *yaml.Node) error { return onLine(n, p.UnmarshalText([]byte(n.Value))) }

// MarshalText is the reverse of UnmarshalText.
func (p Past) MarshalText() ([]byte, error) {
	if p == 0 {
		return []byte("unlimited"), nil
	}
	return []byte(time.Duration(p).String()), nil
}

// Embedded is the URL of an engine that runs inside the process.
const Embedded = "embedded"

// DefaultConfig is what recount up runs with when told nothing.
func DefaultConfig() Config {
	cut := position.DefaultCutRule()
	return Config{
		Listen:      "127.0.0.1:8080",
		HTTP:        DefaultHTTPConfig(),
		DataDir:     "./recount-data",
		Log:         LogConfig{URL: Embedded, Partitions: 4, Durability: "strict", Replicas: 3, MaxBytes: 4 << 30},
		ObjectStore: ObjectStoreConfig{URL: Embedded},
		ClickHouse:  ClickHouseConfig{URL: Embedded, Memory: 4 << 30},
		Ingest: IngestConfig{MaxBody: 64 << 20, MaxEvents: 100_000, MaxWait: 250 * time.Millisecond,
			Linger: 2 * time.Millisecond},
		Accept:      AcceptConfig{Future: 5 * time.Minute},
		DeadLetters: DeadLettersConfig{Keep: 30 * 24 * time.Hour, MaxBytes: 10 << 30, MaxPerSecond: 1000},
		Speed: SpeedConfig{Memory: 2 << 30, DedupWindow: 24 * time.Hour, DedupEntries: 50_000_000,
			SnapshotInterval: 30 * time.Second},
		Landing: LandingConfig{CutInterval: cut.Interval, CutRows: cut.Rows, CutBytes: Bytes(cut.Bytes)},
		Limits:  LimitsConfig{Cardinality: 1_000_000},
		Batch:   BatchConfig{Bucket: time.Hour, Memory: 2 << 30, Keep: 3},
		Query:   QueryConfig{Timeout: 30 * time.Second, Concurrent: 4 * runtime.NumCPU()},
		Jobs: map[string]JobConfig{
			"recompute": {Schedule: "@every 1m"},
			"collect":   {Schedule: "@every 1h"},
			"expire":    {Schedule: "@every 5m"},
			"audit":     {Schedule: "@every 5m"},
			"recheck":   {Schedule: "23 4 * * *"},
			"score":     {Schedule: "@every 1m"},
		},
	}
}

// CutRule returns the configured cut rule.
func (c *Config) CutRule() position.CutRule {
	return position.CutRule{Interval: c.Landing.CutInterval, Rows: c.Landing.CutRows, Bytes: int64(c.Landing.CutBytes)}
}

// Catalog returns the declared event types and views. Faults of single values are in the error.
func (c *Config) Catalog() (*catalog.Catalog, error) {
	cat := &catalog.Catalog{Events: map[string]*catalog.EventType{}, Views: map[string]*catalog.View{},
		Bucket: c.Batch.Bucket}
	var errs []error
	for name, e := range c.Events {
		if strings.HasPrefix(name, catalog.ReservedPrefix) {
			errs = append(errs, &catalog.Error{Path: []string{"events", name}, Msg: "names that begin with " +
				catalog.ReservedPrefix + " are recount's own; choose another"})
			continue
		}
		t := &catalog.EventType{Name: name}
		for f, ft := range e.Fields {
			t.Fields = append(t.Fields, catalog.Field{Name: f, Type: ft})
		}
		slices.SortFunc(t.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
		cat.Events[name] = t
	}
	cat.Events[deadletter.Type] = deadletter.EventType() // Views may count rejections.
	for name, v := range c.Views {
		view, err := v.view(name, cat.Events[v.Event])
		cat.Views[name] = view
		errs = append(errs, err)
	}
	return cat, errors.Join(append(errs, cat.Validate())...)
}

// DefaultCell is the cell of a view that names none.
const DefaultCell = time.Minute

func (v ViewConfig) view(name string, e *catalog.EventType) (*catalog.View, error) {
	out := &catalog.View{Name: name, Event: v.Event, Dimensions: v.Dimensions, Cell: v.Cell}
	if out.Cell == 0 {
		out.Cell = DefaultCell
	}
	for m, cfg := range v.Measures {
		out.Measures = append(out.Measures, catalog.Measure{Name: m, Kind: cfg.Kind, Field: cfg.Field})
	}
	slices.SortFunc(out.Measures, func(a, b catalog.Measure) int { return strings.Compare(a.Name, b.Name) })
	var errs []error
	for i, f := range v.Where {
		filter, err := f.filter(e)
		if err != nil {
			errs = append(errs, &catalog.Error{Path: []string{"views", name, "where", strconv.Itoa(i)},
				Msg: err.Error()})
		}
		out.Where = append(out.Where, filter)
	}
	return out, errors.Join(errs...)
}

func (f FilterConfig) filter(e *catalog.EventType) (catalog.Filter, error) {
	out := catalog.Filter{Field: f.Field, Op: f.Op, Values: f.Values}
	if f.Value != nil {
		out.Values = append(out.Values, f.Value)
	}
	if e == nil {
		return out, nil // Validate says that the event type is not declared.
	}
	t, ok := e.Column(f.Field)
	if f.Op == catalog.Exists {
		t = catalog.Bool
	}
	if !ok {
		return out, nil // Validate says that there is no such field.
	}
	for i, v := range out.Values {
		typed, err := catalog.Normalize(v, t)
		if err != nil {
			return out, fmt.Errorf("value: %w", err)
		}
		out.Values[i] = typed
	}
	return out, nil
}
