package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/deploy/client"
	"recount/schemas/openapi"
)

type changesCmd struct {
	serverFlag
	View            string       `arg:"" help:"Name of the view."`
	FromPublication publication  `required:"" placeholder:"N" help:"Earlier publication, such as one that was billed."`
	ToPublication   *publication `placeholder:"N" help:"Later publication; else the newest."`
	From            narrowing    `placeholder:"TIME" help:"Start of the range, such as 2024-05-01; else all."`
	To              narrowing    `placeholder:"TIME" help:"End of the range, not included; else all."`
	Measures        []string     `short:"m" help:"Measures to compare; else all that both publications have."`
	GroupBy         []string     `short:"g" help:"Dimensions to group by; else all. An empty one means none."`
	Granularity     string       `help:"Width of the windows: all, or like 1h, 1d, 1mo; else the cells of the view."`
	TimeZone        string       `help:"IANA time zone of windows and days; when empty, UTC."`
	Where           []string     `short:"w" sep:"none" help:"Conditions, as in recount query."`
	Limit           int          `default:"1000" help:"Maximum number of changes that are listed."`
	Format          string       `default:"table" enum:"table,csv,json" help:"Output format: table, csv or json."`
}

// Help is the second part of the command's help.
func (c *changesCmd) Help() string {
	return "Both publications must be kept: recount publications pin keeps one for ever."
}

// Run asks the server and prints what changed.
func (c *changesCmd) Run(ctx context.Context, std streams) error {
	if c.Format == "table" {
		answer, err := fetch(c.serverFlag, func(server *client.Client) (openapi.Comparison, error) {
			return server.Changes(ctx, c.parameters())
		})
		if err != nil {
			return err
		}
		if err := printChangedCells(std.out, &answer); err != nil {
			return err
		}
		printComparison(std.err, &answer)
		return nil
	}
	format := client.CSV
	if c.Format == "json" {
		format = client.JSON
	}
	answer, err := fetch(c.serverFlag, func(server *client.Client) (io.ReadCloser, error) {
		return server.ChangesAs(ctx, c.parameters(), format)
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = io.Copy(std.out, answer)
	return err
}

// parameters returns the parameters of GET /v1/changes.
func (c *changesCmd) parameters() url.Values {
	v := url.Values{"view": {c.View}, "limit": {strconv.Itoa(c.Limit)}, "where": c.Where,
		"from_publication": {strconv.FormatUint(uint64(c.FromPublication), 10)}}
	if c.ToPublication != nil {
		v.Set("to_publication", strconv.FormatUint(uint64(*c.ToPublication), 10))
	}
	for name, value := range map[string]string{"from": string(c.From), "to": string(c.To), "time_zone": c.TimeZone,
		"granularity": c.Granularity} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for name, list := range map[string][]string{"measures": c.Measures, "group_by": c.GroupBy} {
		if list != nil {
			v.Set(name, strings.Join(list, ","))
		}
	}
	return v
}

// printChangedCells prints the changes as a table, with both values of a measure in one column.
func printChangedCells(out io.Writer, answer *openapi.Comparison) error {
	t := &answerTable{}
	if len(answer.Changes) == 0 {
		return nil
	}
	isTimed := answer.Changes[0].Time != nil
	dims := slices.Sorted(maps.Keys(answer.Changes[0].Key))
	measures := slices.Sorted(maps.Keys(answer.FromPublication.Totals))
	if isTimed {
		t.header = append(t.header, "time")
	}
	t.header = append(append(append(t.header, dims...), "change"), measures...)
	t.header = append(t.header, "events", "causes")
	for _, c := range answer.Changes {
		var row []answerCell
		if isTimed {
			row = append(row, answerCell{text: c.Time.Format(time.RFC3339)})
		}
		for _, d := range dims {
			row = append(row, jsonCell(c.Key[d]))
		}
		row = append(row, answerCell{text: c.Change})
		for _, m := range measures {
			row = append(row, answerCell{text: fmt.Sprintf("%s -> %s", jsonCell(c.Old[m]), jsonCell(c.New[m]))})
		}
		row = append(row, answerCell{text: fmt.Sprintf("%d -> %d", c.Events.Old, c.Events.New)},
			answerCell{text: strings.Join(c.Causes, " ")})
		t.rows = append(t.rows, row)
	}
	return t.print(out)
}

// jsonCell returns a value of JSON as a cell. A missing value is null.
func jsonCell(raw json.RawMessage) answerCell {
	text := string(raw)
	if text == "" || text == "null" {
		return answerCell{isNull: true}
	}
	var unquoted string
	if json.Unmarshal(raw, &unquoted) == nil {
		return answerCell{text: unquoted}
	}
	return answerCell{text: text}
}

// maxShownDays is how many days are printed.
const maxShownDays = 31

// printComparison prints the totals, and what changed on each day.
func printComparison(out io.Writer, answer *openapi.Comparison) {
	if answer.Truncated {
		fmt.Fprintln(out, "there are more changes; raise --limit to see them")
	}
	for _, p := range []*openapi.ComparedPublication{&answer.FromPublication, &answer.ToPublication} {
		var totals []string
		for _, m := range slices.Sorted(maps.Keys(p.Totals)) {
			totals = append(totals, fmt.Sprintf("%s %s", m, jsonCell(p.Totals[m])))
		}
		fmt.Fprintf(out, "publication %d: %s\n", p.Publication, strings.Join(totals, ", "))
	}
	for i, d := range answer.Days {
		if i == maxShownDays {
			fmt.Fprintf(out, "and %s more\n", count(len(answer.Days)-i, "day"))
			break
		}
		fmt.Fprintf(out, "%s: %d added, %d changed, %d removed, %d -> %d events (%s)\n", d.Day, d.Added, d.Changed,
			d.Removed, d.Events.Old, d.Events.New, strings.Join(d.Causes, ", "))
	}
	if len(answer.Days) == 0 {
		fmt.Fprintln(out, "nothing changed")
	}
}
