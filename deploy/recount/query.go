package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"recount/deploy/client"
	"recount/schemas/catalog"
	"recount/schemas/query"
)

type queryCmd struct {
	serverFlag
	View        string   `arg:"" help:"Name of the view."`
	From        instant  `required:"" placeholder:"TIME" help:"First instant, RFC 3339."`
	To          instant  `required:"" placeholder:"TIME" help:"End, not included, RFC 3339."`
	Measures    []string `short:"m" help:"Measures; all when none is named."`
	GroupBy     []string `short:"g" help:"Dimensions to group by."`
	Granularity string   `default:"all" help:"Width of the windows: all, 1m, 5m, 15m, 1h, 1d, 1w, 1mo."`
	TimeZone    string   `help:"IANA name; UTC when empty."`
	Where       []string `short:"w" sep:"none" help:"Condition as dimension:op:value, or with in and not_in dimension:in:a,b."`
	OrderBy     []string `short:"o" help:"Columns to order by, column:desc for descending."`
	Limit       int      `default:"1000" help:"Most rows."`
	Mode        string   `default:"merged" enum:"merged,exact,live" help:"merged, exact or live."`
	AsOf        *uint64  `help:"Number of a kept publication."`
	Fill        bool     `help:"Also print windows without events."`
	Format      string   `default:"table" enum:"table,csv,json" help:"table, csv or json."`
}

// Run asks the server and prints the answer.
func (c *queryCmd) Run(ctx context.Context, std streams) error {
	values, err := c.parameters()
	if err != nil {
		return usageError{err}
	}
	accept := map[string]client.Format{"table": client.CSV, "csv": client.CSV, "json": client.JSON}[c.Format]
	answer, err := fetch(c.serverFlag, func(server *client.Client) (*client.Answer, error) {
		return server.QueryParameters(ctx, values, accept)
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	if c.Format == "table" {
		err = printTable(std.out, answer)
	} else {
		_, err = io.Copy(std.out, answer)
	}
	if err == nil && c.Format != "json" { // JSON holds its accuracy.
		printAccuracy(std.err, &answer.Accuracy)
	}
	return err
}

// parameters are those of GET /v1/query, where the server gives the values of
// conditions the types of their dimensions: only it knows that a flight is named "7".
func (c *queryCmd) parameters() (url.Values, error) {
	v := url.Values{
		"view": {c.View}, "from": {c.From.Format(time.RFC3339Nano)}, "to": {c.To.Format(time.RFC3339Nano)},
		"granularity": {c.Granularity}, "limit": {strconv.Itoa(c.Limit)}, "mode": {c.Mode},
		"fill": {strconv.FormatBool(c.Fill)}, "where": c.Where,
	}
	for name, list := range map[string][]string{"measures": c.Measures, "group_by": c.GroupBy, "order_by": c.OrderBy} {
		if len(list) > 0 {
			v.Set(name, strings.Join(list, ","))
		}
	}
	if c.TimeZone != "" {
		v.Set("time_zone", c.TimeZone)
	}
	if c.AsOf != nil {
		v.Set("as_of", strconv.FormatUint(*c.AsOf, 10))
	}
	for _, w := range c.Where {
		if strings.Count(w, ":") < 2 {
			return nil, fmt.Errorf("--where %q: write dimension:op:value, such as origin:in:ORD,ATL", w)
		}
	}
	return v, nil
}

// printTable prints CSV in aligned columns. Columns of live parts and bounds that no
// row fills are left out; a missing value is a dash.
func printTable(out io.Writer, body io.Reader) error {
	rows, err := csv.NewReader(body).ReadAll()
	if err == nil && len(rows) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	var columns []int
	for i, name := range rows[0] {
		filled := slices.ContainsFunc(rows[1:], func(row []string) bool { return row[i] != "" })
		if filled || !strings.Contains(name, "__") {
			columns = append(columns, i)
		}
	}
	for _, row := range rows {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = cmp.Or(row[c], "-")
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printAccuracy says what the answer rests on.
func printAccuracy(out io.Writer, a *query.Accuracy) {
	if a.Truncated {
		fmt.Fprintln(out, "there are more rows; raise --limit to see them")
	}
	line := fmt.Sprintf("publication %d", a.Publication)
	if a.PendingEvents > 0 {
		line += fmt.Sprintf(" and %d events since", a.PendingEvents)
	}
	if a.Exact {
		line += ", exact"
	}
	if !a.Complete {
		line += fmt.Sprintf("; INCOMPLETE: nothing newer of partitions %v", a.StalePartitions)
	}
	fmt.Fprintln(out, line)
	if o := a.Overflow; o != nil {
		fmt.Fprintf(out, "%d events had one value too many (%s): %d of them are in no row, and may belong to one\n",
			o.Events, catalog.Overflow, o.LeftOut)
	}
}
