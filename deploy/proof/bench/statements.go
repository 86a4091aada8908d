package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// The systems of the table. The peers hold neither a log nor live views: they are a yardstick.
const (
	recount            = "recount"
	other              = "other" // other is a second recount, to compare two versions
	clickhouse         = "ClickHouse"
	clickhouseUnsynced = "ClickHouse without fsync"
	duckdb             = "DuckDB"
	duckdbMemory       = "DuckDB in memory"
)

// statements are what a peer runs for a shape.
type statements struct {
	create    []string // create makes the table of raw events.
	ingest    []string // ingest reads the NDJSON file into it.
	recompute []string // recompute makes the cells from the Parquet objects of recount's lake.
	hours     string   // hours are the numbers of each hour, from the raw events.
	cells     string   // cells are the sums of the cells.
	states    []string // states makes the cells q with states of distinct counts, as recount's cells have.
	live      []string // live makes the cells live with states, from the NDJSON files of the events and of the tail.
	parquet   []string // parquet writes the lake's columns, and those of the raw events, to the file %s.
}

// statementsOf returns the statements of a peer. The folder has the files ev.ndjson and lake/*.parquet.
func statementsOf(name string, s *shape, folder string) statements {
	if name == duckdb || name == duckdbMemory {
		return duckdbStatements(s, folder)
	}
	return clickhouseStatements(s, folder, name == clickhouse)
}

// names repeats the format for each dimension, with its name in place of NAME.
func (s *shape) names(format string) string {
	var b strings.Builder
	for _, d := range s.dimensions {
		b.WriteString(strings.ReplaceAll(format, "NAME", d))
	}
	return b.String()
}

func clickhouseStatements(s *shape, folder string, synced bool) statements {
	columns := make([]string, len(s.fields))
	stored := make([]string, len(s.fields))
	for i, f := range s.fields {
		kind := map[string]string{"string": "String", "int64": "Int64"}[f.kind()]
		columns[i] = f.name + " " + kind
		stored[i] = columns[i]
		if f.text != "" && f.values <= 50 {
			stored[i] = f.name + " LowCardinality(String)"
		}
	}
	const settings = " settings max_insert_threads = 2, max_memory_usage = 0, date_time_input_format = 'best_effort'"
	table := "fsync_after_insert = 0, fsync_part_directory = 0"
	if synced {
		table = "fsync_after_insert = 1, fsync_part_directory = 1"
	}
	structure := "id String, source String, type String, time DateTime64(3, 'UTC'), data Tuple(" +
		strings.Join(columns, ", ") + ")"
	interval := "toStartOfMinute"
	if s.cell == "1h" {
		interval = "toStartOfHour"
	}
	// deduplicated is one row for each id. The lake keeps times in UTC.
	deduplicated := fmt.Sprintf("(select id, any(assumeNotNull(time)) t%s, any(%s) s, any(%s) d "+
		"from file('%s', Parquet) group by id)", s.names(", any(assumeNotNull(NAME)) as NAME_"), s.sum, s.distinct,
		filepath.Join(folder, "lake", "*.parquet"))
	cells := func(table string, distinct string, settings string) string {
		return fmt.Sprintf("create table %s engine = MergeTree order by (m%s) settings %s as select %s(t) m%s, "+
			"count() n, sum(s) v, %s(assumeNotNull(d)) u from %s group by all settings max_memory_usage = 0", table,
			s.names(", NAME"), settings, interval, s.names(", NAME_ as NAME"), distinct, deduplicated)
	}
	ingest := fmt.Sprintf("insert into raw select * from file('%s', JSONEachRow, '%s')%s",
		filepath.Join(folder, "ev.ndjson"), strings.ReplaceAll(structure, "'", "\\'"), settings)
	return statements{
		create: []string{fmt.Sprintf("create table raw (id String, source LowCardinality(String), type "+
			"LowCardinality(String), time DateTime64(3, 'UTC'), data Tuple(%s)) engine = MergeTree order by time "+
			"settings %s", strings.Join(stored, ", "), table)},
		ingest:    []string{ingest},
		recompute: []string{cells("cells", "uniqExact", table)},
		hours: fmt.Sprintf("select toUnixTimestamp(toStartOfHour(t)) h, count(), sum(s), uniqExact(d) from "+
			"(select id, any(time) t, any(data.%s) s, any(data.%s) d from raw group by id) group by h order by h "+
			"settings max_memory_usage = 0", s.sum, s.distinct),
		cells:  "select count(), sum(n), sum(v), sum(u) from cells",
		states: []string{cells("q", "uniqExactState", table), "optimize table q final"},
		live: []string{strings.Replace(ingest, "ev.ndjson", "tail.ndjson", 1),
			strings.Replace(cells("live", "uniqExactState", table), deduplicated, fmt.Sprintf("(select id, "+
				"any(time) t%s, any(data.%s) s, any(data.%s) d from raw group by id)",
				s.names(", any(data.NAME) as NAME_"), s.sum, s.distinct), 1)},
		parquet: []string{
			fmt.Sprintf("insert into function file('%%s', Parquet) select * from file('%s', Parquet) settings "+
				"output_format_parquet_compression_method = 'zstd'", filepath.Join(folder, "lake", "*.parquet")),
			"insert into function file('%s', Parquet) select id, source, type, time, untuple(data) from raw settings " +
				"output_format_parquet_compression_method = 'zstd'"},
	}
}

func duckdbStatements(s *shape, folder string) statements {
	columns := make([]string, len(s.fields))
	for i, f := range s.fields {
		columns[i] = fmt.Sprintf(`"%s" %s`, f.name, map[string]string{"string": "VARCHAR", "int64": "BIGINT"}[f.kind()])
	}
	interval := "minute"
	if s.cell == "1h" {
		interval = "hour"
	}
	cells := func(table, distinct string) string {
		return fmt.Sprintf(`create or replace table %s as select date_trunc('%s', time at time zone 'UTC') m%s, `+
			`count(*) n, sum("%s")::BIGINT v, %s u from (select distinct on (id) * from read_parquet('%s')) `+
			`group by all`, table, interval, s.names(`, "NAME"`), s.sum, fmt.Sprintf(distinct, s.distinct),
			filepath.Join(folder, "lake", "*.parquet"))
	}
	return statements{
		create: []string{"set TimeZone = 'UTC'"},
		ingest: []string{fmt.Sprintf(`create table raw as select * from read_json('%s', format = 'newline_delimited', `+
			`columns = {id: 'VARCHAR', source: 'VARCHAR', type: 'VARCHAR', time: 'TIMESTAMP', data: 'STRUCT(%s)'})`,
			filepath.Join(folder, "ev.ndjson"), strings.Join(columns, ", ")), "checkpoint"},
		recompute: []string{cells("cells", `count(distinct "%s")`), "checkpoint"},
		hours: fmt.Sprintf(`select epoch(date_trunc('hour', time))::BIGINT h, count(*), sum(data."%s")::BIGINT, `+
			`count(distinct data."%s") from (select distinct on (id) * from raw) group by h order by h`, s.sum,
			s.distinct),
		cells:  "select count(*), sum(n)::BIGINT, sum(v)::BIGINT, sum(u)::BIGINT from cells",
		states: []string{cells("q", `list(distinct "%s")`), "checkpoint"},
		parquet: []string{
			fmt.Sprintf(`copy (select * from read_parquet('%s')) to '%%s' (format parquet, compression zstd)`,
				filepath.Join(folder, "lake", "*.parquet")),
			`copy (select id, source, type, time, unnest(data) from raw) to '%s' (format parquet, compression zstd)`},
	}
}
