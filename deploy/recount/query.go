package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"recount/deploy/client"
	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/window"
)

type queryCmd struct {
	serverFlag
	View        string       `arg:"" help:"Name of the view."`
	From        narrowing    `placeholder:"TIME" help:"Start, like 2024-05-01 or now-6h; else of data."`
	To          narrowing    `placeholder:"TIME" help:"End, not included; else the end of the data."`
	Last        narrowing    `placeholder:"LENGTH" help:"Range that ends now, such as 24h, 7d or 1mo."`
	Measures    []string     `short:"m" help:"Measures to return; else all of the view."`
	Derived     []string     `short:"d" sep:"none" help:"Like \"ratio = clicks / views\", from measures."`
	GroupBy     []string     `short:"g" help:"Dimensions to group by."`
	Granularity string       `default:"all" help:"Width of windows: all, or like 15m, 1h, 1mo."`
	TimeZone    string       `help:"IANA time zone of the windows; when empty, UTC."`
	Where       []string     `short:"w" sep:"none" help:"Conditions, like \"page = / and status < 500\"."`
	Having      []string     `sep:"none" help:"Conditions on measures, like \"views > 10\"."`
	OrderBy     []string     `short:"o" help:"Columns to order by, like name or name:desc."`
	Limit       int          `default:"1000" help:"Maximum number of rows."`
	PerWindow   int          `name:"limit-per-window" placeholder:"N" help:"Maximum number of rows of each window."`
	Mode        string       `default:"merged" enum:"merged,exact,live" help:"Which events: ${enum}."`
	Cursor      string       `placeholder:"NEXT" help:"Page after the one that printed NEXT."`
	AsOf        *publication `help:"Publication to read, with --mode exact."`
	MinThrough  []string     `placeholder:"R" help:"Wait until the events of receipts are counted."`
	MaxStale    string       `name:"max-staleness" placeholder:"AGE" help:"Oldest age of the answer, such as 10s."`
	Patience    string       `name:"longest-wait" placeholder:"LENGTH" help:"Longest wait for these two."`
	Fill        bool         `help:"Print windows without events too."`
	Compare     string       `placeholder:"RANGE" help:"Also previous_period or previous_year."`
	Cumulative  bool         `help:"Add up the windows before each one."`
	Rolling     string       `placeholder:"LENGTH" help:"Trailing length of each window, such as 7d."`
	Totals      bool         `help:"Also print the measures of all groups together."`
	Others      bool         `help:"Also print what no row has, by window."`
	Explain     bool         `help:"Say how it was answered, with --format json."`
	Format      string       `default:"table" enum:"table,csv,json,ndjson" help:"Output format: ${enum}."`
	Plot        bool         `help:"Draw the first measure: bars, or lines."`
}

// Run asks the server and prints the answer.
func (c *queryCmd) Run(ctx context.Context, std streams) error {
	values, err := c.parameters()
	if err != nil {
		return usageError{err}
	}
	answer, err := fetchAloud(c.serverFlag, std.err, func(server *client.Client) (*client.Answer, error) {
		return server.QueryParameters(ctx, values, c.accept())
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	err = c.print(std.out, newCanvas(std.out), answer)
	if err == nil && c.Format != "json" { // The JSON answer contains its accuracy.
		if len(answer.Totals) > 0 {
			fmt.Fprintf(std.err, "totals %s\n", answer.Totals)
		}
		printAccuracy(std.err, &answer.Accuracy)
		if answer.Next != "" {
			fmt.Fprintf(std.err, "next page: --cursor=%s\n", answer.Next)
		}
	}
	return err
}

// accept is the format that the server is asked for.
func (c *queryCmd) accept() client.Format {
	switch c.Format {
	case "json":
		return client.JSON
	case "ndjson":
		return client.NDJSON
	}
	return client.CSV
}

// print prints an answer, or draws it with the signs and the width of the canvas.
func (c *queryCmd) print(out io.Writer, on *canvas, answer *client.Answer) error {
	switch {
	case c.Plot:
		drawn := *on
		drawn.out = unguarded(out) // What is drawn has escaped texts, and perhaps escapes of colours.
		return c.plot(&drawn, answer)
	case c.Format == "table":
		return printTable(out, answer)
	}
	_, err := io.Copy(out, answer)
	return err
}

// parameters returns the parameters of GET /v1/query. That form is used because there the server converts the values of
// conditions to the types of their dimensions, which this command does not know.
func (c *queryCmd) parameters() (url.Values, error) {
	from, to, err := c.timeRange()
	if err != nil {
		return nil, err
	}
	v := url.Values{
		"view":        {c.View},
		"granularity": {c.Granularity}, "limit": {strconv.Itoa(c.Limit)}, "mode": {c.Mode},
		"fill":  {strconv.FormatBool(c.Fill || c.Plot && c.Granularity != "all")},
		"where": c.Where, "having": c.Having, "derived": c.Derived, "explain": {strconv.FormatBool(c.Explain)},
		"totals": {strconv.FormatBool(c.Totals)}, "others": {strconv.FormatBool(c.Others)},
		"cumulative": {strconv.FormatBool(c.Cumulative)},
	}
	for name, list := range map[string][]string{"measures": c.Measures, "group_by": c.GroupBy, "order_by": c.OrderBy} {
		if len(list) > 0 {
			v.Set(name, strings.Join(list, ","))
		}
	}
	for name, value := range map[string]string{"from": from, "to": to, "time_zone": c.TimeZone,
		"compare": c.Compare, "rolling": c.Rolling, "cursor": c.Cursor,
		"max_staleness": c.MaxStale, "wait": c.Patience, "min_through": strings.Join(c.MinThrough, ",")} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if c.PerWindow != 0 {
		v.Set("limit_per_window", strconv.Itoa(c.PerWindow))
	}
	if c.AsOf != nil {
		v.Set("as_of", strconv.FormatUint(uint64(*c.AsOf), 10))
	}
	if c.Plot && c.Format != "table" {
		return nil, errors.New("--plot is instead of --format; give one of the two")
	}
	if c.Plot && c.Granularity != "all" && len(c.GroupBy) > 0 && len(c.OrderBy) > 0 {
		return nil, errors.New("--plot draws the windows of a group by time; leave --order-by out")
	}
	if c.Plot && c.PerWindow > 0 {
		return nil, errors.New("--plot draws all windows of a group; leave --limit-per-window out")
	}
	if c.Explain && c.Format != "json" {
		return nil, errors.New("--explain needs --format json, because a table has no place for it")
	}
	for _, d := range c.Derived {
		if _, err := query.ParseDerived(d); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
	}
	if err := c.checkFreshness(); err != nil {
		return nil, err
	}
	for _, w := range c.Where {
		if _, err := query.ParseWhere(w); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
	}
	for _, h := range c.Having {
		if _, err := query.ParseHaving(h); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
	}
	return v, nil
}

// checkFreshness refuses what the server would refuse.
func (c *queryCmd) checkFreshness() (err error) {
	q := query.Query{MaxStaleness: c.MaxStale, Wait: c.Patience}
	if len(c.MinThrough) > 0 {
		q.MinThrough, err = query.ParseMinThrough(c.MinThrough)
	}
	if err == nil {
		_, _, err = q.StalenessLimit()
	}
	if err == nil {
		_, err = q.Patience(math.MaxInt64)
	}
	if wrong := (*query.Error)(nil); errors.As(err, &wrong) {
		flag := strings.Replace(strings.ReplaceAll(wrong.Field, "_", "-"), "wait", "longest-wait", 1)
		return fmt.Errorf("--%s: %s", flag, wrong.Msg)
	}
	return err
}

// timeRange returns from and to, either of which may be empty. It refuses what the server would refuse, which reads the
// times by its own clock.
func (c *queryCmd) timeRange() (from, to string, err error) {
	loc, err := (&query.Query{TimeZone: c.TimeZone}).Location()
	if wrong := (*query.Error)(nil); errors.As(err, &wrong) {
		return "", "", errors.New("--time-zone: " + wrong.Msg)
	}
	if c.Last != "" {
		if c.From != "" || c.To != "" {
			return "", "", errors.New("--last is instead of --from and --to; give one of the two")
		}
		from = "now-" + string(c.Last)
		if _, err := window.ParseMoment(from, loc, time.Now()); err != nil {
			return "", "", fmt.Errorf("--last %q is no length: write a number of s, m, h, d, w, mo or y, such as 24h",
				c.Last)
		}
		return from, "now", nil
	}
	for _, end := range [][2]string{{"--from", string(c.From)}, {"--to", string(c.To)}} {
		if end[1] == "" {
			continue // It is the beginning or the end of the data.
		}
		if _, err := window.ParseMoment(end[1], loc, time.Now()); err != nil {
			return "", "", fmt.Errorf("%s: %q %w", end[0], end[1], err)
		}
	}
	return string(c.From), string(c.To), nil
}

// plot draws one measure of the answer. A range that is cut off is a wrong picture, but the top of a list is none.
func (c *queryCmd) plot(on *canvas, answer *client.Answer) error {
	t, err := readAnswer(answer)
	if err != nil {
		return err
	}
	windowed := t.column("time") == 0
	if windowed && answer.Accuracy.Truncated {
		return usageError{errors.New("--plot: there are more rows than --limit, so the plot would end too early; " +
			"raise --limit, or use a coarser --granularity")}
	}
	first := len(c.GroupBy)
	if windowed {
		first++
	}
	p, err := newPlotted(t, t.header[first], len(c.GroupBy))
	if err != nil {
		return err
	}
	return p.draw(on, len(c.GroupBy))
}

// printAccuracy prints what the answer covers and how exact it is.
func printAccuracy(out io.Writer, a *query.Accuracy) {
	if a.Truncated {
		fmt.Fprintln(out, "there are more rows; raise --limit to see them")
	}
	line := fmt.Sprintf("publication %d", a.Publication)
	if a.PendingEvents > 0 {
		line += fmt.Sprintf(" and %s since", count(a.PendingEvents, "event"))
	}
	if a.Exact {
		line += ", exact"
	}
	if a.FilledFrom != nil {
		line += fmt.Sprintf("; INCOMPLETE: the view is filled from %s on, and earlier events are missing",
			a.FilledFrom.Format(time.RFC3339))
	}
	switch {
	case len(a.StalePartitions) > 0:
		line += fmt.Sprintf("; INCOMPLETE: newer events of partitions %v are missing", a.StalePartitions)
	case !a.Complete && a.FilledFrom == nil:
		line += "; INCOMPLETE: the newest events are not counted yet"
	}
	fmt.Fprintln(out, line)
	if r := a.Range; r != nil {
		fmt.Fprintf(out, "from %s to %s\n", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	for _, h := range a.Holes {
		fmt.Fprintf(out, "the log lost messages [%d, %d) of partition %d, which were given up\n", h.From, h.To,
			h.Partition)
	}
	if o := a.Overflow; o != nil {
		fmt.Fprintf(out, "counted as %s, because a dimension has too many values: %s, of which %d in no row, but may "+
			"belong to one\n", catalog.Overflow, count(o.Events, "event"), o.LeftOut)
	}
	if a.Unconverted > 0 {
		fmt.Fprintf(out, "without a value, because it was sent while its field had another type and does not fit the "+
			"present one: %s\n", count(a.Unconverted, "event"))
	}
	if a.Retired > 0 {
		fmt.Fprintf(out, "missing, because retention had removed them, or others of their buckets, when the view was "+
			"computed: up to %s\n", count(a.Retired, "event"))
	}
	printOutOfRange(out, a)
}

// printOutOfRange says which values are missing because their type cannot hold them.
func printOutOfRange(out io.Writer, a *query.Accuracy) {
	for _, o := range a.OutOfRange {
		fmt.Fprintf(out, "%s is missing in %s, because its value there does not fit its type\n", o.Measure,
			count(o.Count, "row"))
	}
}
