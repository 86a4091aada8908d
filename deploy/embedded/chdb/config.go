package chdb

import (
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/setting"
)

// Config says where the embedded engine keeps its data and how much of the machine it may use.
type Config struct {
	// DataDir is the folder the engine owns. It is created when missing.
	DataDir string
	// Library is the path of libchdb; "" lets Find look for it.
	Library string
	// Database is created at Open and named by Options. It must not be "default", which is closed.
	Database string
	// Sessions bounds the queries that run at once; further requests wait for their turn or their context.
	Sessions int
	// MaxThreads bounds the threads of one query. A request's max_threads overrides it.
	MaxThreads int
	// MaxMemory bounds what all queries and caches of the engine hold together, in bytes. A query above it
	// fails with code 241; the process lives on.
	MaxMemory int64
	// Logger receives lines about opening, closing and killed queries; nil discards.
	Logger *slog.Logger
	// Registerer receives the metrics; nil registers none.
	Registerer prometheus.Registerer
}

// DefaultConfig returns the configuration of the embedded engine for dataDir: every core, 4 GiB.
func DefaultConfig(dataDir string) Config {
	return Config{
		DataDir:    dataDir,
		Database:   "recount",
		Sessions:   max(8, 2*runtime.NumCPU()),
		MaxThreads: runtime.NumCPU(),
		MaxMemory:  4 << 30,
	}
}

// Settings lists what an operator may set.
func (c *Config) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Path("clickhouse.library", nil,
			"Path of libchdb.so; recount looks for the library where it is empty.", &c.Library),
		setting.Size("clickhouse.memory", setting.AtLeast(256<<20), "Largest memory of the embedded engine.",
			&c.MaxMemory),
	}
}

// Validate returns an error that names each wrong field and what to write instead.
func (c Config) Validate() error {
	errs := []error{setting.Check(c.Settings())}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		bad("clickhouse data dir: must not be empty")
	}
	// The path is passed to FROM INFILE, which would take these as patterns. The engine reads \ as an escape.
	if strings.ContainsAny(c.DataDir, "*?{}\n\\") {
		bad("clickhouse data dir %q: must not contain any of * ? { } \\", c.DataDir)
	}
	if !utf8.ValidString(c.DataDir) {
		bad("clickhouse data dir %q: must be UTF-8", c.DataDir)
	}
	if !isIdentifier(c.Database) || c.Database == "default" {
		bad("clickhouse database %q: must be an identifier other than default", c.Database)
	}
	if c.Sessions < 1 {
		bad("clickhouse sessions %d: must be at least 1", c.Sessions)
	}
	if c.MaxThreads < 1 {
		bad("clickhouse max threads %d: must be at least 1", c.MaxThreads)
	}
	return errors.Join(errs...)
}

// isIdentifier reports whether s needs no quoting in SQL. Setting names may also have dots inside.
func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '.' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}

// engineXML is server configuration and users file in one. It has no <logger>: with one the engine starts
// logging, without it only fatal errors are reported. The database "default" is revoked because its tables are
// files of the machine. Merges fsync too: the engine deletes the parts it merged minutes later.
var engineXML = template.Must(template.New("engine").Funcs(template.FuncMap{"xml": escapeXML}).Parse(
	`<clickhouse>
  <max_server_memory_usage>{{.MaxMemory}}</max_server_memory_usage>
  <mark_cache_size>{{.CacheBytes}}</mark_cache_size>
  <primary_index_cache_size>{{.CacheBytes}}</primary_index_cache_size>
  <background_pool_size>{{.MergeThreads}}</background_pool_size>
  <users_config>{{.Path | xml}}</users_config>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
    <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge
      >1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition
      >1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
  <profiles><default><max_threads>{{.MaxThreads}}</max_threads></default></profiles>
  <quotas><default></default></quotas>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    <grants>
      <query>GRANT ALL ON *.*</query>
      <query>REVOKE ALL ON default.*</query>
    </grants>
  </default></users>
</clickhouse>
`))

// writeEngineXML writes the engine's configuration into the data folder and returns its path.
func (c Config) writeEngineXML() (string, error) {
	path := filepath.Join(c.DataDir, "engine.xml")
	var b strings.Builder
	err := engineXML.Execute(&b, struct {
		Config
		Path         string
		CacheBytes   int64
		MergeThreads int
	}{c, path, c.MaxMemory / 16, max(2, c.MaxThreads)})
	if err == nil {
		err = os.WriteFile(path, []byte(b.String()), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("write engine configuration: %w", err)
	}
	return path, nil
}

func escapeXML(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}
