package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"

	"recount/deploy/client"
	"recount/schemas/openapi"
	"recount/schemas/problem"
)

// maxDeclaration is how many bytes of a file with one declaration are read at most.
const maxDeclaration = 4 << 20

// editFlags say how one declaration is changed.
type editFlags struct {
	serverFlag
	Name   string `arg:"" help:"Its name."`
	DryRun bool   `help:"Change nothing; say what would change, with a preview of the numbers."`
}

// createFlags are those of both create commands.
type createFlags struct {
	editFlags
	File    string `short:"f" placeholder:"FILE" help:"YAML or JSON, as below its name in a configuration; - is stdin."`
	Replace bool   `help:"Also change what is declared under this name already."`
}

// form returns the declaration as JSON: that of the file, or the one that flags have made, which may be nil.
func (f *createFlags) form(in io.Reader, fromFlags map[string]any) ([]byte, error) {
	switch {
	case f.File != "" && fromFlags != nil:
		return nil, usageError{errors.New("--file has the whole declaration; give it or the other flags")}
	case f.File == "":
		return json.Marshal(fromFlags)
	case f.File != "-":
		file, err := os.Open(f.File)
		if err != nil {
			return nil, usageError{fmt.Errorf("--file: %w", err)}
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxDeclaration))
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	var declared map[string]any
	if err = yaml.Unmarshal(raw, &declared); err == nil && declared == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--file %s is no object of YAML or JSON such as {event: page.viewed, "+
			"measures: {views: {count: {}}}}: %w", f.File, err)}
	}
	form, err := json.Marshal(declared)
	if err != nil { // YAML has keys that are no texts.
		return nil, usageError{fmt.Errorf("--file %s: %w", f.File, err)}
	}
	return form, nil
}

// options are the conditions of the change.
func (f *createFlags) options() client.EditOptions {
	return client.EditOptions{DryRun: f.DryRun, Create: !f.Replace && !f.DryRun}
}

// edit is a call that changes a declaration.
type edit func(server *client.Client) (client.Declared, error)

// change changes a declaration and prints what became of it.
func (f *editFlags) change(out io.Writer, change edit) error {
	done, err := fetch(f.serverFlag, func(server *client.Client) (client.Declared, error) {
		done, err := change(server)
		var p *client.Problem
		if errors.As(err, &p) && p.Code == problem.PreconditionFailed {
			err = fmt.Errorf("%s is declared already; --replace changes it, and --dry-run says how", f.Name)
		}
		return done, err
	})
	if err != nil {
		return err
	}
	if len(done.Changes.Changes) == 0 && done.ETag == "" && !f.DryRun { // The answer to DELETE is empty.
		_, err = fmt.Fprintln(out, "removed", f.Name)
		return err
	}
	if err := printChanges(out, done.Changes); err != nil {
		return err
	}
	for _, p := range done.Previews {
		if err := printPreview(out, p); err != nil {
			return err
		}
	}
	if f.DryRun {
		_, err = fmt.Fprintln(out, "nothing was changed")
	}
	return err
}

// printPreview prints the rows of a preview in aligned columns: the time, then the other names in their order.
func printPreview(out io.Writer, p openapi.Preview) error {
	if len(p.Rows) == 0 {
		return nil
	}
	columns := []string{"time"}
	names := map[string]bool{}
	for _, row := range p.Rows {
		for name := range row {
			names[name] = true
		}
	}
	delete(names, "time")
	columns = append(columns, slices.Sorted(maps.Keys(names))...)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, row := range p.Rows {
		var cells []string
		for _, name := range columns {
			cells = append(cells, shownValue(row[name]))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// shownValue returns a value of JSON, as a table shows it.
func shownValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return shownText(v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// printJSON prints a value for programs.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
