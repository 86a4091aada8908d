package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
)

// tableFlags say how files of rows are read. What they do not say is found out.
type tableFlags struct {
	ID          []string          `placeholder:"COLUMN" help:"Columns of the id; else made of file name and row."`
	Time        narrowing         `placeholder:"COLUMN" help:"Column of the event time; else the server's time."`
	TimeFormat  string            `placeholder:"FORMAT" help:"${time_formats}"`
	TimeZone    string            `placeholder:"ZONE" help:"IANA zone of times without one, such as Europe/Berlin."`
	MissingTime string            `default:"refuse" enum:"refuse,now" help:"A row without its time: ${enum}."`
	Null        []string          `sep:"none" placeholder:"TEXT" help:"Text that means a missing value, such as NA."`
	Rename      map[string]string `mapsep:"none" placeholder:"OLD=NEW" help:"New name of a column."`
	Ignore      []string          `placeholder:"COLUMN" help:"Columns of the file that are not sent."`
	Columns     []string          `placeholder:"NAME" help:"Names of columns, for CSV without a line of names."`
	Format      string            `default:"" enum:",csv,tsv,json,parquet" help:"What files hold; else found out."`
	Separator   string            `placeholder:"SIGN" help:"Between values of CSV, or tab; else found out."`
	Encoding    string            `default:"" enum:",utf-8,latin-1,utf-16" help:"Encoding of text; else found out."`
}

// timeFormats is the help of --time-format.
const timeFormats = "rfc3339, date, unix, unix-ms, unix-us, unix-ns, or 2 January 2006, 15:04:05, as written there."

// mapping returns what the flags say.
func (f *tableFlags) mapping() (m eventfile.Mapping, err error) {
	m = eventfile.Mapping{ID: f.ID, Time: string(f.Time), Rename: f.Rename, Ignore: f.Ignore, Nulls: f.Null,
		AssignTimes: f.MissingTime == "now"}
	m.Table = table.Options{Columns: f.Columns, Encoding: table.Encoding(f.Encoding)}
	if m.Table.Separator, err = f.separator(); err != nil {
		return m, err
	}
	m.Table.Format = table.Format(f.Format)
	if f.Format == "tsv" {
		m.Table.Format = table.CSV
	}
	if m.Times, err = timeformat.New(f.TimeFormat, f.TimeZone); err != nil {
		return m, fmt.Errorf("--time-format, --time-zone: %w", err)
	}
	targets := slices.Sorted(maps.Values(f.Rename))
	for i, name := range targets {
		if name == "" || i > 0 && targets[i-1] == name {
			return m, fmt.Errorf("--rename gives two columns the name %q, or none", name)
		}
	}
	return m, nil
}

func (f *tableFlags) separator() (rune, error) {
	text := f.Separator
	switch {
	case text == "" && f.Format == "tsv" || text == "tab" || text == `\t`:
		return '\t', nil
	case text == "":
		return 0, nil
	}
	runes := []rune(text)
	if len(runes) != 1 || strings.ContainsRune("\"\r\n\ufffd", runes[0]) {
		return 0, fmt.Errorf("--separator %s: use one character, or tab", strconv.Quote(text))
	}
	return runes[0], nil
}

// given reports whether a flag says how rows become events.
func (f *tableFlags) given() bool {
	return len(f.ID) > 0 || f.Time != "" || len(f.Null) > 0 || len(f.Rename) > 0 || len(f.Ignore) > 0 ||
		len(f.Columns) > 0
}

// findInputs returns the files that arguments name: paths, - for the standard input, and s3:// URLs.
func findInputs(ctx context.Context, args []string, format table.Format, in io.Reader) ([]input.File, error) {
	var files []input.File
	wanted := func(name string) bool { return format != "" || table.Known(name) }
	standard := 0
	for _, arg := range args {
		switch {
		case arg == "-":
			standard++
			files = append(files, input.Standard(in))
			continue
		case strings.HasPrefix(arg, "s3://"):
			found, err := input.Bucket(ctx, arg, wanted)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", arg, err)
			}
			files = append(files, found...)
			continue
		}
		if _, err := os.Stat(arg); err != nil {
			return nil, usageError{err}
		}
		if info, err := os.Stat(arg); err == nil && !info.IsDir() && !wanted(arg) {
			return nil, usageError{fmt.Errorf("%s: unknown kind of file; use .csv, .tsv, .ndjson, .jsonl, .json or "+
				".parquet, each also with .gz, .zst or .bz2, or say --format", arg)}
		}
		files = append(files, input.Local(arg))
	}
	if standard > 1 {
		return nil, usageError{errors.New("the standard input can be read once only")}
	}
	return files, nil
}
