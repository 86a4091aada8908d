package server

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/batch/lake"
	"recount/deploy/embedded/chdb"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/serving/api"
	"recount/serving/batchview"
	"recount/speed/ingest"
	"recount/speed/realtime"
)

// Validate returns every fault of the configuration, joined. Each is a *catalog.Error.
func (c *Config) Validate() error {
	errs := c.HTTP.validate()
	check := func(ok bool, msg string, path ...string) {
		if !ok {
			errs = append(errs, &catalog.Error{Path: path, Msg: msg})
		}
	}
	c.validateDoors(check)
	c.validateLimits(check)
	check(c.DataDir != "", "empty; name a folder", "data_dir")
	check(c.Log.Partitions >= 1 && c.Log.Partitions <= 256, "use 1 to 256", "log", "partitions")
	check(c.Log.Durability == "strict" || c.Log.Durability == "relaxed", "use strict or relaxed", "log", "durability")
	check(c.Log.Replicas >= 1 && c.Log.Replicas <= 5, "use 3, or 1 to 5 with durability: relaxed", "log", "replicas")
	check(c.Log.MaxBytes >= 64<<20, "use at least 64MiB", "log", "max_bytes")
	check(c.Log.MaxBytes >= 2*c.Landing.CutBytes, "use at least twice landing.cut_bytes: an open segment that fills "+
		"the log could never end, for that takes a message (C1)", "log", "max_bytes")
	check(isURL(c.Log.URL, "nats", "tls"), "use embedded or nats://host:4222", "log", "url")
	check(isURL(c.ObjectStore.URL, "s3"), "use embedded or s3://bucket/prefix?endpoint=...&region=...", "object_store",
		"url")
	check(c.ClickHouse.Memory >= 256<<20, "use at least 256MiB", "clickhouse", "memory")
	check(isURL(c.ClickHouse.URL, "clickhouse", "http", "https"),
		"use embedded or clickhouse://user:password@host:9000/database", "clickhouse", "url")
	check(c.Ingest.MaxBody >= 256<<10 && c.Ingest.MaxBody <= 1<<30, "use 256KiB, the largest event, to 1GiB", "ingest",
		"max_body")
	check(c.Ingest.MaxEvents >= 1 && c.Ingest.MaxEvents <= eventbatch.MaxEvents,
		fmt.Sprintf("use 1 to %d", eventbatch.MaxEvents), "ingest", "max_events")
	check(c.Ingest.MaxWait >= time.Millisecond && c.Ingest.MaxWait <= time.Minute, "use 1ms to 1m", "ingest",
		"max_wait")
	check(c.Ingest.Linger >= 0 && c.Ingest.Linger <= time.Second, "use 0s to 1s", "ingest", "linger")
	check(c.Accept.Future >= 0, "use a duration such as 5m", "accept", "future")
	check(c.DeadLetters.Keep >= time.Second, "use at least 1s, such as 720h", "dead_letters", "keep")
	check(c.DeadLetters.MaxBytes >= 1<<20, "use at least 1MiB", "dead_letters", "max_bytes")
	check(c.DeadLetters.MaxPerSecond >= 0 && c.DeadLetters.MaxPerSecond <= 1_000_000, "use 0 to 1000000",
		"dead_letters", "max_per_second")
	check(c.Speed.Memory >= 16<<20, "use at least 16MiB", "speed", "memory")
	check(c.Speed.DedupWindow >= time.Minute, "use at least 1m", "speed", "dedup_window")
	check(c.Speed.DedupEntries >= 1000, "use at least 1000", "speed", "dedup_entries")
	if c.Log.Partitions > 0 {
		check(c.Speed.DedupEntries/c.Log.Partitions <= realtime.MaxWindowEntries,
			fmt.Sprintf("use at most %d, which is %d a partition", realtime.MaxWindowEntries*c.Log.Partitions,
				realtime.MaxWindowEntries), "speed", "dedup_entries")
	}
	check(c.Speed.SnapshotInterval >= 100*time.Millisecond, "use at least 100ms", "speed", "snapshot_interval")
	check(c.Landing.CutInterval >= 50*time.Millisecond && c.Landing.CutInterval <= 24*time.Hour, "use 50ms to 24h",
		"landing", "cut_interval")
	check(c.Landing.CutRows >= 1 && c.Landing.CutRows <= 16_000_000, "use 1 to 16000000", "landing", "cut_rows")
	check(c.Landing.CutBytes >= 1<<10 && c.Landing.CutBytes <= 1<<30, "use 1KiB to 1GiB", "landing", "cut_bytes")
	check(c.Batch.Memory >= 64<<20, "use at least 64MiB", "batch", "memory")
	check(c.Batch.Keep >= 1 && c.Batch.Keep <= 1000, "use 1 to 1000", "batch", "keep")
	check(c.Query.Timeout >= time.Second, "use at least 1s", "query", "timeout")
	check(c.Query.Concurrent >= 1, "use at least 1", "query", "concurrent")
	for name, j := range c.Jobs {
		check(slices.Contains(JobNames, name),
			fmt.Sprintf("no such job; the jobs are %s", strings.Join(JobNames, ", ")), "jobs", name)
		if j.Schedule != "" {
			_, err := jobs.ParseSchedule(j.Schedule)
			check(err == nil, fmt.Sprint(err), "jobs", name, "schedule")
		}
	}
	_, err := c.Catalog()
	if err = errors.Join(append(errs, err)...); err == nil {
		err = c.validateParts()
	}
	return err
}

// validateParts asks each part what it will be opened with: a configuration that is valid has to
// start. The bounds above say the same in the words of the file, and come first.
func (c *Config) validateParts() error {
	var errs []error
	ask := func(err error, path ...string) {
		if err != nil {
			msg := strings.TrimPrefix(err.Error(), strings.Join(path, ".")+": ")
			errs = append(errs, &catalog.Error{Path: path, Msg: strings.ReplaceAll(msg, "\n", "; ")})
		}
	}
	ask(c.ingest().Validate(), "ingest")
	ask(c.realtime().Validate(), "speed")
	ask(c.batchViews().Validate(), "query")
	ask(c.api().Validate(), "query")
	if c.ObjectStore.URL != Embedded {
		ask(lake.DefaultConfig(c.ObjectStore.URL).Validate(), "object_store", "url")
	}
	if c.ClickHouse.URL == Embedded {
		ask(c.embeddedSQL().Validate(), "data_dir")
	} else {
		_, err := clickhouse.ParseDSN(c.ClickHouse.URL)
		ask(err, "clickhouse", "url")
	}
	return errors.Join(errs...)
}

func (c *Config) ingest() ingest.Config {
	ic := ingest.DefaultConfig()
	ic.BodyBytes = int(c.Ingest.MaxBody)
	ic.DecodedBytes = int(c.Ingest.MaxBody)
	ic.Memory = max(ic.Memory, 4*ic.DecodedBytes)
	ic.Events = c.Ingest.MaxEvents
	ic.Linger = c.Ingest.Linger
	ic.Wait = c.Ingest.MaxWait
	ic.Past = time.Duration(c.Accept.Past)
	ic.Future = c.Accept.Future
	ic.Letters = c.DeadLetters.MaxPerSecond
	ic.Values = c.Limits.Cardinality
	return ic
}

func (c *Config) realtime() realtime.Config {
	rc := realtime.DefaultConfig(snapshotDir(*c))
	rc.Memory = int64(c.Speed.Memory)
	rc.Window = c.Speed.DedupWindow
	rc.SnapshotEvery = c.Speed.SnapshotInterval
	rc.WindowEntries = int64(max(1, c.Speed.DedupEntries/c.Log.Partitions))
	return rc
}

func (c *Config) batchViews() batchview.Config {
	bc := batchview.DefaultConfig(c.Batch.Bucket)
	bc.Timeout = c.Query.Timeout
	return bc
}

func (c *Config) api() api.Config {
	ac := api.DefaultConfig()
	ac.Timeout = c.Query.Timeout
	ac.MaxConcurrent = c.Query.Concurrent
	ac.MaxQueued = c.Query.Concurrent
	return ac
}

func (c *Config) embeddedSQL() chdb.Config {
	cc := chdb.DefaultConfig(filepath.Join(c.DataDir, "clickhouse"))
	cc.Library = c.ClickHouse.Library
	cc.MaxMemory = int64(c.ClickHouse.Memory)
	return cc
}

// JobNames are the jobs there are.
var JobNames = []string{"recompute", "collect", "expire", "audit", "recheck", "score"}

func isURL(s string, schemes ...string) bool {
	if s == Embedded {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}
