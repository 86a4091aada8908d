package sql

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/serving/sql/guard"
)

// Run runs a statement of a tenant. The caller must close the answer.
//
// The errors are *guard.Refusal, *Failure, those of reader.Reader.Answer, and ErrChanging of batchview.
func (s *Statements) Run(ctx context.Context, tenant string, r Request) (*Answer, error) {
	st, err := guard.Parse(r.SQL, Database)
	if err != nil {
		return nil, err
	}
	if r.Format, err = formatOf(st.Format, r.Format); err != nil {
		return nil, err
	}
	r.settings = map[string]string{}
	for _, settings := range []map[string]string{r.Settings, st.Settings} { // Those of the statement come last.
		maps.Copy(r.settings, settings)
	}
	if err := checkSettings(r.settings); err != nil {
		return nil, err
	}
	for _, value := range r.Parameters { // One may be the type that a function takes.
		if err := guard.CheckText(value); err != nil {
			return nil, err
		}
	}
	limits := s.cfg.Limits.tightened(r.settings)
	if limits.Timeout < s.cfg.Limits.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limits.Timeout)
		defer cancel()
	}
	r.catalog = s.cfg.Catalog.Catalog()
	if names := namesOf(r.catalog); st.Described != "" && !names[st.Described] {
		return nil, guard.NoTable(st.Described)
	}
	r.tenant = tenant
	written := r.SQL
	r.SQL = st.Text
	r.eventsFrom, r.eventsTo = timesOf(r.settings)
	key := decisionKey(&r)
	known := false
	if r.decision, known = s.decided.find(r.catalog, key); !known {
		if r.decision, err = s.decide(ctx, &r); err == nil {
			s.decided.add(key, &r)
		}
	}
	if err != nil {
		return nil, moved(limits.failure(ctx, err), st, written, len(explain))
	}
	a, err := s.run(ctx, tenant, r)
	if err != nil {
		return nil, limits.failure(ctx, err)
	}
	a.Format = r.Format
	return a, nil
}

// decide returns what a statement reads, or why it may not run. The engine parses it for that, and does nothing else.
func (s *Statements) decide(ctx context.Context, r *Request) (decision, error) {
	var tree []byte
	err := s.cfg.Engine(ctx, r.tenant, func(session Session) error {
		if err := session.Exec("USE "+EmptyDatabase, nil); err != nil {
			return err
		}
		if err := setChosen(session, r.settings); err != nil { // Some say how to read the statement.
			return err
		}
		settings := s.cfg.Limits.settings(ctx)
		settings["max_memory_usage"] = parseMemory
		if err := session.Set(settings); err != nil {
			return err
		}
		text, err := session.Query(explain+r.SQL, r.Parameters, "TSVRaw", 0)
		tree = text
		return err
	})
	if err != nil {
		return decision{}, err
	}
	text := strings.TrimSuffix(string(tree), "\n")
	reads, err := guard.Decide(text, namesOf(r.catalog), func(table string) []string {
		return columnNames(r.catalog, table)
	})
	return decision{reads, guard.TakesLimit(text)}, err
}

// explain asks for the tree of a statement before its analysis.
const explain = "EXPLAIN QUERY TREE run_passes = 0 "

// parseMemory is how much memory the engine may use to parse a statement.
const parseMemory = "268435456"

// namesOf returns the names of all tables that a statement may read.
func namesOf(c *catalog.Catalog) guard.Names {
	names := guard.Names{}
	for _, name := range systemNames {
		names[name] = true
	}
	for name := range tablesOf(c) {
		names[name] = true
	}
	return names
}

// columnNames returns the names of the columns of a table. Of those of the tables about tables, it returns the only one
// that guard.Decide needs.
func columnNames(c *catalog.Catalog, name string) (out []string) {
	if name == systemTables || name == systemColumns {
		return []string{"database"}
	}
	if t, isRows := tablesOf(c)[name]; isRows {
		for _, column := range t.columns(c, false) {
			out = append(out, column.Name)
		}
	}
	return out
}

// DefaultFormat is the format of a result that nobody chose another one for.
const DefaultFormat = "JSON"

// mediaTypes are the formats in which a result may be asked for. Others read files of the server, or say how many rows
// were read to make the result, which are also those of other tenants.
var mediaTypes = map[string]string{
	"JSON": "application/json", "JSONCompact": "application/json", "JSONStrings": "application/json",
	"JSONEachRow": "application/x-ndjson", "JSONCompactEachRow": "application/x-ndjson",
	"JSONCompactEachRowWithNames":         "application/x-ndjson",
	"JSONCompactEachRowWithNamesAndTypes": "application/x-ndjson",
	"JSONStringsEachRow":                  "application/x-ndjson",
	"CSV":                                 "text/csv", "CSVWithNames": "text/csv", "CSVWithNamesAndTypes": "text/csv",
	"TabSeparated": "text/tab-separated-values", "TabSeparatedWithNames": "text/tab-separated-values",
	"TabSeparatedWithNamesAndTypes": "text/tab-separated-values", "TabSeparatedRaw": "text/tab-separated-values",
	"TSV": "text/tab-separated-values", "TSVWithNames": "text/tab-separated-values",
	"TSVWithNamesAndTypes": "text/tab-separated-values", "TSVRaw": "text/tab-separated-values",
	"Arrow": "application/vnd.apache.arrow.file", "ArrowStream": "application/vnd.apache.arrow.stream",
	"Parquet": "application/vnd.apache.parquet",
	"Native":  "application/octet-stream", "RowBinary": "application/octet-stream",
	"RowBinaryWithNames": "application/octet-stream", "RowBinaryWithNamesAndTypes": "application/octet-stream",
	"Values": "text/plain", "Vertical": "text/plain", "Markdown": "text/markdown",
	"Pretty": "text/plain", "PrettyCompact": "text/plain", "PrettySpace": "text/plain", "Null": "text/plain",
}

// shortNames are names of formats as people write them.
var shortNames = map[string]string{
	"json": "JSON", "csv": "CSVWithNames", "ndjson": "JSONEachRow", "jsonl": "JSONEachRow", "tsv": "TSVWithNames",
	"arrow": "ArrowStream", "parquet": "Parquet", "text/csv": "CSVWithNames", "application/json": "JSON",
	"application/x-ndjson": "JSONEachRow", "text/tab-separated-values": "TSVWithNames",
	"application/vnd.apache.arrow.stream": "ArrowStream", "application/vnd.apache.arrow.file": "Arrow",
	"application/vnd.apache.parquet": "Parquet",
}

// MediaTypes returns the media types that the format of a request may be, in order of preference.
func MediaTypes() []string {
	return []string{"application/json", "text/csv", "application/x-ndjson", "text/tab-separated-values",
		"application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file", "application/vnd.apache.parquet"}
}

// MediaType returns the media type of a format.
func MediaType(format string) string { return mediaTypes[format] }

// formatOf returns the format that the clause of a statement or else the request names, by ClickHouse's name.
func formatOf(clause, asked string) (string, error) {
	name := clause
	if name == "" {
		name = asked
		if long := shortNames[name]; long != "" {
			name = long
		}
	}
	if name == "" {
		return DefaultFormat, nil
	}
	for known := range mediaTypes {
		if strings.EqualFold(known, name) {
			return known, nil
		}
	}
	return "", &Failure{Kind: BadFormat, Text: "the format " + quoted(name) + " is not allowed; use one of json, " +
		"csv, ndjson, tsv, arrow, parquet, or ClickHouse's " + strings.Join(slices.Sorted(maps.Keys(mediaTypes)), ", ")}
}

// isRefusal reports whether an error says why a statement may not run.
func isRefusal(err error) bool {
	var r *guard.Refusal
	return errors.As(err, &r)
}
