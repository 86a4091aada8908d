package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"recount/schemas/query"
)

type queryCmd struct {
	serverFlag
	View        string    `arg:"" help:"Name of the view."`
	From        time.Time `required:"" format:"2006-01-02T15:04:05Z07:00" help:"First instant, RFC 3339."`
	To          time.Time `required:"" format:"2006-01-02T15:04:05Z07:00" help:"End, not included, RFC 3339."`
	Measures    []string  `short:"m" help:"Measures; all when none is named."`
	GroupBy     []string  `short:"g" help:"Dimensions to group by."`
	Granularity string    `default:"all" help:"Width of the windows: all, 1m, 5m, 15m, 1h, 1d, 1w, 1mo."`
	TimeZone    string    `help:"IANA name; UTC when empty."`
	Where       []string  `short:"w" sep:"none" help:"Condition as dimension:op:value, or with in and not_in dimension:in:a,b."`
	OrderBy     []string  `short:"o" help:"Columns to order by, -column for descending."`
	Limit       int       `default:"1000" help:"Most rows."`
	Mode        string    `default:"merged" enum:"merged,exact,live" help:"merged, exact or live."`
	AsOf        *uint64   `help:"Number of a kept publication."`
	Format      string    `default:"table" enum:"table,csv,json" help:"table, csv or json."`
}

// Run asks the server and prints the answer.
func (c *queryCmd) Run(ctx context.Context, std streams) error {
	q, err := c.query()
	if err != nil {
		return usageError{err}
	}
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	accept := map[string]string{"table": "text/csv", "csv": "text/csv", "json": "application/json"}[c.Format]
	resp, err := request(ctx, http.MethodPost, c.Server+"/v1/query", body, accept)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c.Format != "table" {
		_, err := io.Copy(std.out, resp.Body)
		return err
	}
	return printTable(std.out, resp.Body)
}

func (c *queryCmd) query() (*query.Query, error) {
	q := &query.Query{View: c.View, Measures: c.Measures, From: c.From, To: c.To, Granularity: c.Granularity, TimeZone: c.TimeZone,
		GroupBy: c.GroupBy, Limit: c.Limit, Mode: query.Mode(c.Mode), AsOf: c.AsOf}
	for _, o := range c.OrderBy {
		by, desc := strings.CutPrefix(o, "-")
		q.OrderBy = append(q.OrderBy, query.Order{By: by, Desc: desc})
	}
	for _, w := range c.Where {
		parts := strings.SplitN(w, ":", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("--where %q: write dimension:op:value, such as origin:in:ORD,ATL", w)
		}
		q.Where = append(q.Where, condition(parts[0], query.Op(parts[1]), parts[2]))
	}
	return q, nil
}

// condition reads values as JSON where they are numbers, booleans or null, else as strings.
func condition(dimension string, op query.Op, text string) query.Condition {
	value := func(s string) any {
		var v any
		if json.Unmarshal([]byte(s), &v) == nil {
			return v
		}
		return s
	}
	c := query.Condition{Dimension: dimension, Op: op}
	if op != query.In && op != query.NotIn {
		c.Value = value(text)
		return c
	}
	for _, s := range strings.Split(text, ",") {
		c.Values = append(c.Values, value(s))
	}
	return c
}

func printTable(out io.Writer, body io.Reader) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	r := csv.NewReader(body)
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return w.Flush()
		}
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
}
