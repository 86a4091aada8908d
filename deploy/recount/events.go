package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"recount/deploy/client"
	"recount/schemas/openapi"
	"recount/schemas/query"
)

type eventsCmd struct {
	serverFlag
	Type   string    `arg:"" help:"Name of the event type."`
	From   narrowing `placeholder:"TIME" help:"Only events that happened then or later, such as 2024-05-01 or now-6h."`
	To     narrowing `placeholder:"TIME" help:"Only events that happened before."`
	Where  []string  `short:"w" sep:"none" help:"Conditions on fields, like \"page = / and status >= 500\"."`
	Limit  int       `default:"20" help:"Maximum number of events."`
	Format string    `default:"table" enum:"table,json,ndjson" help:"Output format: ${enum}, which can be sent again."`
}

// Run prints the newest events, page by page.
func (c *eventsCmd) Run(ctx context.Context, std streams) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be at least 1")}
	}
	for _, w := range c.Where {
		if _, err := query.ParseWhere(w); err != nil {
			return usageError{fmt.Errorf("--%w", err)}
		}
	}
	out := newEventWriter(std.out, c.Format)
	v := url.Values{"type": {c.Type}, "where": c.Where}
	for name, text := range map[string]narrowing{"from": c.From, "to": c.To} {
		if text != "" {
			v.Set(name, string(text))
		}
	}
	for remaining := c.Limit; remaining > 0; {
		v.Set("limit", strconv.Itoa(min(remaining, query.MaxEvents)))
		page, err := fetch(c.serverFlag, func(server *client.Client) (openapi.EventPage, error) {
			return server.Events(ctx, v)
		})
		if err != nil {
			return err
		}
		for i := range page.Events {
			if err := out.write(&page.Events[i]); err != nil {
				return err
			}
		}
		for _, missing := range page.Missing {
			fmt.Fprintf(std.err, "not listed: %s\n", escape(missing, ""))
		}
		if page.Cursor == "" {
			break
		}
		if len(page.Events) == 0 && !page.SearchedTo.IsZero() {
			fmt.Fprintf(std.err, "searched what was stored after %s, going on\n", storedText(page.SearchedTo))
		}
		remaining -= len(page.Events)
		v.Set("cursor", page.Cursor)
	}
	return out.table.Flush()
}

// eventWriter prints listed events. A table has its header without events, too.
type eventWriter struct {
	format  string
	encoder *json.Encoder
	table   *tabwriter.Writer
}

func newEventWriter(out io.Writer, format string) *eventWriter {
	w := &eventWriter{format: format, encoder: json.NewEncoder(out), table: tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)}
	w.encoder.SetEscapeHTML(false)
	if format == "table" {
		fmt.Fprintln(w.table, "POSITION\tSTORED\tSTATE\tTIME\tID\tDATA")
	}
	return w
}

func (w *eventWriter) write(x *openapi.StoredEvent) error {
	switch w.format {
	case "json":
		return w.encoder.Encode(x)
	case "ndjson":
		return w.encoder.Encode(x.Event)
	}
	var id, at string
	_ = json.Unmarshal(x.Event["id"], &id) // Both are texts.
	_ = json.Unmarshal(x.Event["time"], &at)
	state := string(x.State)
	if x.Copy {
		state += ", copy"
	}
	_, err := fmt.Fprintf(w.table, "%s\t%s\t%s\t%s\t%s\t%s\n", positionText(x.StoredAt.Position),
		storedText(x.StoredAt.Time), state, at, printable(id), printable(string(x.Event["data"])))
	return err
}

// storedText is empty for a message that the log no longer has.
func storedText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
