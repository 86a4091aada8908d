package server

import (
	"cmp"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/batch/deadletters"
	"recount/batch/lake"
	"recount/batch/publish"
	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/natsserver"
	"recount/deploy/server/quota"
	"recount/jobs"
	"recount/schemas/access"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/position"
	"recount/schemas/setting"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/serving/sql"
	"recount/speed/eventlog"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

// Embedded is the URL of an engine that runs inside the process.
const Embedded = "embedded"

// Config is the whole configuration of a process. It is the components' configurations, each with what an operator
// may set; what one component is told by another is filled in when it is opened. Defaults, bounds and meanings are
// in the components, and nowhere else.
type Config struct {
	Listen  string
	DataDir string
	Logger  LoggerConfig
	HTTP    HTTPConfig
	TLS     TLSConfig
	Admin   AdminConfig
	Auth    AuthConfig

	Log         eventlog.Config // its URL may be Embedded, like the URLs of the next two
	ObjectStore lake.Config
	// Iceberg says whether the lake has Iceberg tables: true or false.
	Iceberg string
	// ObjectStoreListen is where other programs read the embedded object store. It may be empty.
	ObjectStoreListen string
	ClickHouse        ClickHouseConfig

	Ingest      ingest.Config
	DeadLetters deadletters.Config
	Speed       realtime.Config
	Landing     position.CutRule
	Bucket      time.Duration // width of the unit of recomputation
	Batch       publish.Config
	Query       api.Config
	SQL         sql.Limits
	SQLDoor     SQLDoorConfig
	Limits      quota.Config
	Jobs        jobs.Config

	// Discover says whether event types are declared from the events that arrive. DiscoverAuto is the default.
	Discover string
	// Events and Views are what the file declares. Catalog checks them.
	Events map[string]*catalog.EventType
	Views  map[string]*catalog.View
}

// ClickHouseConfig places the batch views. The rest is about the embedded engine.
type ClickHouseConfig struct {
	URL string
	chdb.Config
}

// DefaultConfig is what recount up runs with when told nothing: the components' defaults over embedded engines.
func DefaultConfig() Config {
	c := Config{
		Listen:      "127.0.0.1:8080",
		DataDir:     "./recount-data",
		Logger:      DefaultLoggerConfig(),
		HTTP:        DefaultHTTPConfig(),
		Log:         eventlog.DefaultConfig(nil),
		ObjectStore: lake.DefaultConfig(Embedded),
		ClickHouse:  ClickHouseConfig{URL: Embedded, Config: chdb.DefaultConfig("")},
		Ingest:      ingest.DefaultConfig(),
		DeadLetters: deadletters.DefaultConfig(),
		Speed:       realtime.DefaultConfig(""),
		Landing:     position.DefaultCutRule(),
		Bucket:      catalog.DefaultBucket,
		Batch:       publish.DefaultConfig(nil, 0),
		Query:       api.DefaultConfig(),
		SQL:         sql.DefaultLimits(),
		Limits:      quota.Config{Default: quota.DefaultRates()},
		Jobs:        jobs.DefaultConfig(),
		Discover:    DiscoverAuto,
		Iceberg:     IcebergOn,
	}
	c.Log.URL = Embedded
	return c
}

// Settings lists every value that has a key of its own, a flag and an environment variable, in the order of the file.
func (c *Config) Settings() []setting.Setting {
	all := slices.Concat(c.doorSettings(), c.placeSettings(), c.Logger.Settings(), c.HTTP.Settings(), c.Log.Settings(),
		c.ClickHouse.Settings(), c.DeadLetters.Settings(), c.Limits.Default.Settings("limits"), c.Ingest.Settings(),
		c.Speed.Settings(), c.Landing.Settings(), []setting.Setting{catalog.BucketSetting(&c.Bucket)},
		c.Batch.Settings(), c.Query.Settings(), c.SQL.Settings(), []setting.Setting{c.discoverSetting()},
		c.Jobs.Settings())
	slices.SortStableFunc(all, func(a, b setting.Setting) int {
		return cmp.Compare(sectionIndex(a), sectionIndex(b))
	})
	return all
}

// IcebergOn is the value with which the lake has Iceberg tables.
const IcebergOn = "true"

// Whether event types are declared from the events that arrive.
const (
	DiscoverAuto = "auto" // unless the configuration declares event types
	DiscoverOn   = "true" // also fields of event types that the configuration or a request declares
	DiscoverOff  = "false"
)

func (c *Config) discoverSetting() setting.Setting {
	return setting.Choice(discoverKey, []string{DiscoverAuto, DiscoverOn, DiscoverOff}, "Whether unknown event types "+
		"and fields are declared from the events that arrive: auto does where the configuration declares no event "+
		"type, and true also adds fields to declared types.", &c.Discover)
}

// Discovers reports whether event types are declared from the events that arrive.
func (c *Config) Discovers() bool {
	return c.Discover == DiscoverOn || c.Discover == DiscoverAuto && len(c.Events) == 0
}

// placeSettings lists where the data and the engines are.
func (c *Config) placeSettings() []setting.Setting {
	return []setting.Setting{
		setting.Path("data_dir", func(dir string) error {
			if dir == "" {
				return errors.New("empty; name a folder")
			}
			return nil
		}, "Folder of everything the embedded engines keep.", &c.DataDir),
		engineURL("log.url", "embedded or nats://host:4222",
			"Where the log is: in this process, or on a JetStream cluster.", &c.Log.URL, "nats", "tls"),
		engineURL("object_store.url", "embedded or s3://bucket/prefix?endpoint=...&region=...",
			"Where the lake is: in this process, or in a bucket.", &c.ObjectStore.URL, "s3"),
		setting.Text("object_store.listen", address+"; may be empty", c.mayListenOrNot, "Address at which other "+
			"programs read the embedded lake over S3, with the credentials in the file that the start names; if it is "+
			"empty, no program finds it.", &c.ObjectStoreListen),
		setting.Choice("object_store.iceberg", []string{IcebergOn, "false"}, "Whether the lake has an Iceberg table "+
			"for each event type, with a snapshot for each publication.", &c.Iceberg),
		engineURL("clickhouse.url", "embedded or clickhouse://user:password@host:9000/database",
			"Where the batch views are: in this process, or on a server (also http:// and https://); "+
				"?read_timeout=30s is how long it may be silent.", &c.ClickHouse.URL, "clickhouse", "http", "https"),
	}
}

func engineURL(key, form, help string, field *string, schemes ...string) setting.Setting {
	return setting.Text(key, form, func(text string) error {
		u, err := url.Parse(text)
		if text == Embedded || err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme) {
			return nil
		}
		return errors.New("use " + form)
	}, help, field)
}

// Validate returns every mistake in the configuration, joined. Each is a *setting.Error. It asks each component to
// check the values that it will be opened with, because a valid configuration has to start. A component whose
// values depend on each other is asked only where nothing else is wrong.
func (c *Config) Validate() error {
	cat, err := c.Catalog()
	err = errors.Join(err, setting.Check(c.Settings()), c.validateTLS(), c.validateDoors(), c.validateLog(),
		c.validateTenants())
	parts := errors.Join(c.HTTP.Validate(), c.validatePlaces(), c.DeadLetters.Validate(), c.Landing.Validate(),
		c.Jobs.Validate())
	if err = errors.Join(err, independent(parts, err)); err != nil {
		return err
	}
	return errors.Join(
		withPlace("log", c.eventLog((*natsserver.Server)(nil)).Validate()),
		withPlace("ingest", c.Ingest.Validate()),
		withPlace("speed", c.realtime().Validate()),
		withPlace("batch", c.publisher(cat).Validate()),
		withPlace("query", c.batchViews().Validate()),
		withPlace("query", c.Query.Validate()),
	)
}

// withPlace gives every error that has no place in the file the place that led to it.
func withPlace(key string, err error) error {
	if err == nil {
		return nil
	}
	var out []error
	for _, e := range leaves(err) {
		if placed := (*setting.Error)(nil); !errors.As(e, &placed) {
			msg := strings.TrimPrefix(e.Error(), key+": ")
			e = &setting.Error{Path: strings.Split(key, "."), Msg: strings.ReplaceAll(msg, "\n", "; ")}
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// validatePlaces asks each engine about its place.
func (c *Config) validatePlaces() error {
	var errs []error
	if c.ObjectStore.URL != Embedded && c.ObjectStoreListen != "" {
		errs = append(errs, withPlace("object_store.listen", errors.New("it is an address of the embedded object "+
			"store, and object_store.url names another store; remove one of them")))
	}
	if c.ObjectStore.URL != Embedded {
		errs = append(errs, withPlace("object_store.url", c.ObjectStore.Validate()))
	}
	if c.ClickHouse.URL == Embedded {
		errs = append(errs, withPlace("data_dir", c.embeddedSQL().Validate()))
	} else {
		_, err := clickhouse.ParseDSN(c.ClickHouse.URL)
		errs = append(errs, withPlace("clickhouse.url", err))
	}
	return errors.Join(errs...)
}

// validateLog compares what the log is told with what landing is told.
func (c *Config) validateLog() error {
	if c.Log.MaxBytes < 2*c.Landing.Bytes {
		return &setting.Error{Path: []string{"log", "max_bytes"}, Msg: "use at least twice landing.cut_bytes: an " +
			"open segment that fills the log could never end, for that takes a message (C1)"}
	}
	return nil
}

func (c *Config) validateTenants() error {
	var err error
	for name, rates := range c.Limits.Tenants {
		if wrong := access.CheckTenant(name); wrong != nil {
			err = errors.Join(err, &setting.Error{Path: []string{"tenants", name}, Msg: wrong.Error()})
		}
		err = errors.Join(err, setting.Check(rates.Settings("tenants."+name)))
	}
	return err
}

// eventLog is what the log is opened with, over the embedded server where that is configured.
func (c *Config) eventLog(embedded eventlog.Server) eventlog.Config {
	lc := c.Log
	if c.Log.URL == Embedded {
		lc.URL = ""
		lc.Server = embedded
		lc.Replicas = eventlog.DefaultConfig(embedded).Replicas
	}
	return lc
}

func (c *Config) realtime() realtime.Config {
	rc := c.Speed
	rc.Dir = snapshotDir(*c)
	rc.Partitions = c.Log.Partitions
	return rc
}

func (c *Config) batchViews() batchview.Config {
	bc := batchview.DefaultConfig(c.Bucket)
	bc.Timeout = c.Query.Timeout
	return bc
}

func (c *Config) publisher(cat *catalog.Catalog) publish.Config {
	pc := c.Batch
	pc.Catalog = cat
	pc.Partitions = c.Log.Partitions
	pc.LongestQuery = c.Query.Timeout
	pc.Limit = c.Ingest.Values
	return pc
}

func (c *Config) embeddedSQL() chdb.Config {
	cc := c.ClickHouse.Config
	cc.DataDir = filepath.Join(c.DataDir, "clickhouse")
	return cc
}

// Catalog returns the declared event types and views. Mistakes in single values are in the error.
func (c *Config) Catalog() (*catalog.Catalog, error) {
	return declaration.Catalog(c.Bucket, c.Events, c.Views)
}
