package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"recount/deploy/client"
)

type sqlCmd struct {
	serverFlag
	Statement string            `arg:"" optional:"" help:"Statement; else standard input has it."`
	Param     map[string]string `short:"p" placeholder:"NAME=VALUE" help:"Value of {NAME:Type} in the statement."`
	Format    string            `default:"table" help:"table, csv, json, ndjson, arrow, parquet, or ClickHouse's."`
}

// Help is the second part of the command's help.
func (c *sqlCmd) Help() string {
	return "Each view V is a table: V has the newest publication, V_live the events since, V_merged both, and " +
		"V_states what distinct counts and averages over several rows need; events_T has the events of the type T " +
		"(serving/SQL.md).\n\n" +
		"Without a statement on a terminal, statements are asked for: each ends with a semicolon, the arrow keys " +
		"bring earlier ones back, and .help lists commands."
}

// maxStatement is how many bytes of a statement are read from standard input.
const maxStatement = 1 << 20

// Run runs one statement, or those that are typed at a terminal.
func (c *sqlCmd) Run(ctx context.Context, std streams) error {
	keyboard, isFile := std.in.(*os.File)
	switch {
	case c.Statement != "":
		return c.run(ctx, std, c.Statement)
	case isFile && term.IsTerminal(int(keyboard.Fd())):
		return c.interact(ctx, std, keyboard)
	}
	raw, err := io.ReadAll(io.LimitReader(std.in, maxStatement+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the statement: %w", err)
	case len(raw) > maxStatement:
		return usageError{fmt.Errorf("the statement has more than %d bytes", maxStatement)}
	case strings.TrimSpace(string(raw)) == "":
		return usageError{errors.New("there is no statement: give one as an argument or on standard input")}
	}
	return c.run(ctx, std, string(raw))
}

// binaryFormats are formats that a terminal cannot show.
var binaryFormats = map[string]bool{"arrow": true, "parquet": true, "arrowstream": true, "native": true,
	"rowbinary": true, "rowbinarywithnames": true, "rowbinarywithnamesandtypes": true}

// run runs a statement and prints its result.
func (c *sqlCmd) run(ctx context.Context, std streams, statement string) error {
	format := c.Format
	if format == "table" {
		format = "JSONCompactEachRowWithNames"
	}
	if _, isTerminal := std.out.(*terminal); isTerminal && binaryFormats[strings.ToLower(format)] {
		return usageError{fmt.Errorf("--format %s is not for a terminal; write it to a file: > result.%s", c.Format,
			strings.ToLower(c.Format))}
	}
	parameters := map[string]any{}
	for name, value := range c.Param {
		parameters[name] = value
	}
	answer, err := fetch(c.serverFlag, func(server *client.Client) (*client.Answer, error) {
		return server.SQL(ctx, client.Statement{Query: statement, Format: format, Parameters: parameters})
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	if c.Format == "table" && answer.Format == format {
		err = printRows(std.out, answer)
	} else { // The statement has a clause FORMAT.
		_, err = io.Copy(std.out, answer)
	}
	if err == nil && answer.Accuracy.Cut != nil {
		printAccuracy(std.err, &answer.Accuracy)
	}
	return err
}

// printRows prints lines of JSON arrays, of which the first has the names of the columns, in aligned columns.
func printRows(out io.Writer, body io.Reader) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	d := json.NewDecoder(body)
	d.UseNumber()
	for first := true; ; first = false {
		var row []any
		switch err := d.Decode(&row); {
		case errors.Is(err, io.EOF):
			return w.Flush()
		case err != nil:
			return fmt.Errorf("read the result: %w", err)
		}
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = shownJSON(v)
			if name, isText := v.(string); first && isText {
				cells[i] = escapeControls(name)
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
}

// shownJSON returns a value of JSON as a table shows it: a dash is null.
func shownJSON(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return shownText(v)
	case json.Number:
		return v.String()
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "?"
	}
	return escapeControls(strings.TrimSuffix(b.String(), "\n"))
}
