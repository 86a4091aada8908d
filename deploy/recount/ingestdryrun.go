package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
)

// shownRows is how many rows of each file a dry run shows.
const shownRows = 5

// dryRun shows the first rows of each file as they would count, and reads the rest for what would be refused.
func (r *ingestRun) dryRun(files []input.File) error {
	var errs []error
	for _, f := range files {
		if err := r.dryRunFile(f); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	fmt.Fprintf(r.std.out, "would send %d events and reject %d; nothing was sent\n", r.rows-r.rejected.Load(),
		r.rejected.Load())
	r.printDetails(r.std.out)
	if n := r.rejected.Load(); n > 0 {
		errs = append(errs, fmt.Errorf("%s would be rejected", count(n, "row")))
	}
	return errors.Join(errs...)
}

func (r *ingestRun) dryRunFile(f input.File) error {
	reader, err := r.open(f)
	if err != nil {
		return err
	}
	defer reader.Close()
	defer func() { r.addFile(reader.Tally()) }()
	var first [][]byte
	for !r.tooMany() {
		line, err := reader.Next()
		var refused *eventfile.Refused
		switch {
		case errors.As(err, &refused):
			r.reject(refused.Reason, "would be rejected: "+escapeControls(refused.Error()))
		case errors.Is(err, io.EOF):
			return r.show(f.Name, first)
		case err != nil:
			return errors.Join(r.show(f.Name, first), err)
		case len(first) < shownRows:
			first = append(first, bytes.Clone(line))
		}
	}
	return errors.Join(r.show(f.Name, first), errTooManyRejected)
}

// show prints events as a table. Texts are in quotation marks, so that 7 and "7" differ. A dash is what an event does
// not have, and null is a null.
func (r *ingestRun) show(name string, lines [][]byte) error {
	if len(lines) == 0 {
		return nil
	}
	fmt.Fprintf(r.std.out, "%s begins with\n", name)
	var header []string
	var rows []map[string]string
	for _, line := range lines {
		names, values, err := members(line)
		if err != nil {
			fmt.Fprintf(r.std.out, "%s\n", escapeControls(string(line))) // The server says what is wrong with it.
			continue
		}
		for _, n := range names {
			if !slices.Contains(header, n) {
				header = append(header, n)
			}
		}
		rows = append(rows, values)
	}
	w := tabwriter.NewWriter(r.std.out, 0, 4, 2, ' ', 0)
	if len(rows) > 0 {
		fmt.Fprintln(w, strings.Join(header, "\t"))
	}
	for _, values := range rows {
		cells := make([]string, len(header))
		for i, n := range header {
			if cells[i] = escapeControls(values[n]); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// members returns the attributes and the fields of an event, in their order.
func members(line []byte) (names []string, values map[string]string, err error) {
	values = map[string]string{}
	var attributes struct {
		ID, Time, Source, Subject, Type *string
		Data                            json.RawMessage
	}
	if err := json.Unmarshal(line, &attributes); err != nil {
		return nil, nil, err
	}
	for _, a := range []struct {
		name  string
		value *string
	}{{"type", attributes.Type}, {"time", attributes.Time}, {"source", attributes.Source}, {"id", attributes.ID},
		{"subject", attributes.Subject}} {
		if a.value != nil {
			names = append(names, a.name)
			values[a.name] = shownText(*a.value)
		}
	}
	d := json.NewDecoder(bytes.NewReader(attributes.Data))
	if _, err := d.Token(); err != nil {
		return names, values, nil // An event needs no data.
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
		key := "data." + fmt.Sprint(name)
		names = append(names, key)
		values[key] = string(value)
	}
	return names, values, nil
}
