package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"recount/deploy/client"
	"recount/schemas/deadletter"
)

type deadLettersCmd struct {
	List   deadLettersListCmd   `cmd:"" help:"List rejected events, newest first."`
	Show   deadLettersShowCmd   `cmd:"" help:"Show why an event was rejected, and its content."`
	Replay deadLettersReplayCmd `cmd:"" help:"Send rejected events to ingest again. Repeated replays count once."`
}

// deadLetterFilter chooses dead letters.
type deadLetterFilter struct {
	serverFlag
	Code narrowing `placeholder:"CODE" help:"Only events that were rejected with this code."`
	Type narrowing `placeholder:"TYPE" help:"Only events that name this event type."`
	From timeFlag  `placeholder:"TIME" help:"Only events received at or after this time, RFC 3339."`
	To   timeFlag  `placeholder:"TIME" help:"Only events received before this time, RFC 3339."`
}

// filter returns the filter for one page.
func (f *deadLetterFilter) filter(cursor string, limit int) deadletter.Filter {
	return deadletter.Filter{Code: string(f.Code), Type: string(f.Type), From: f.From.Time, To: f.To.Time,
		Cursor: cursor, Limit: limit}
}

// hint explains what a code is when nothing was found, because the code may be misspelled.
func (f *deadLetterFilter) hint(out io.Writer, found int) {
	if f.Code != "" && found == 0 {
		fmt.Fprintf(out, "nothing was rejected for the code %q; recount dead-letters list shows the codes of all "+
			"dead letters, such as unknown_type or invalid_field\n", f.Code)
	}
}

// rfc3339 formats a time in full. It returns the empty string for a missing time.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

type deadLettersListCmd struct {
	deadLetterFilter
	Limit  int    `default:"100" help:"Maximum number of rows."`
	Format string `default:"table" enum:"table,csv,json" help:"Output format: table, csv or json (one object a line)."`
}

// Run prints dead letters page by page.
func (c *deadLettersListCmd) Run(ctx context.Context, std streams) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be at least 1")}
	}
	out := c.writer(std.out)
	remaining := c.Limit
	cursor := ""
	for {
		page, err := fetch(c.serverFlag, func(server *client.Client) (deadletter.Page, error) {
			return server.DeadLetters(ctx, c.filter(cursor, min(remaining, deadletter.MaxLimit)))
		})
		if err != nil {
			return err
		}
		for i := range page.Letters {
			if err := out.write(&page.Letters[i]); err != nil {
				return err
			}
		}
		remaining -= len(page.Letters)
		cursor = page.Cursor
		if cursor == "" || remaining <= 0 {
			break
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	c.hint(std.err, c.Limit-remaining)
	if cursor != "" {
		fmt.Fprintln(std.err, "there may be more; raise --limit, or narrow --from and --to, to see them")
	}
	printLands(std.err)
	return nil
}

// printLands says why a dead letter may not be found yet.
func printLands(out io.Writer) {
	fmt.Fprintln(out, "an event that was rejected a moment ago is listed once it has landed (landing.cut_interval)")
}

// deadLetterWriter prints dead letters one by one.
type deadLetterWriter struct {
	write func(*deadletter.Letter) error
	flush func() error
}

var deadLetterColumns = []string{"NAME", "RECEIVED", "CODE", "TYPE", "ID", "BYTES", "MESSAGE"}

// writer returns a writer in the chosen format, which has printed the header.
func (c *deadLettersListCmd) writer(out io.Writer) deadLetterWriter {
	switch c.Format {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return deadLetterWriter{
			write: func(l *deadletter.Letter) error { return encoder.Encode(l) },
			flush: func() error { return nil },
		}
	case "csv":
		w := csv.NewWriter(out)
		header := []string{"name", "received", "code", "event_type", "event_id", "bytes", "message"}
		_ = w.Write(header) // The error is returned by flush.
		return deadLetterWriter{func(l *deadletter.Letter) error {
			return w.Write([]string{l.Name, rfc3339(l.Received), l.Code, l.EventType, l.EventID,
				strconv.FormatInt(l.Bytes, 10), l.Message})
		}, func() error {
			w.Flush()
			return w.Error()
		}}
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(cells ...string) error {
		for i, cell := range cells {
			separator := "\t"
			if i == len(cells)-1 {
				separator = "\n"
			}
			if _, err := fmt.Fprint(w, letterText(cell), separator); err != nil {
				return err
			}
		}
		return nil
	}
	_ = row(deadLetterColumns...) // The error is returned by flush.
	return deadLetterWriter{func(l *deadletter.Letter) error {
		return row(l.Name, stamp(l.Received), l.Code, l.EventType, l.EventID, strconv.FormatInt(l.Bytes, 10), l.Message)
	}, w.Flush}
}

// printable returns text of an event for one line of a terminal: without control characters, cut when it is long, and
// a dash when it is empty.
func printable(s string) string {
	const limit = 100
	r := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s))
	switch {
	case len(r) == 0:
		return "-"
	case len(r) > limit:
		return string(r[:limit]) + "…"
	}
	return string(r)
}

// letterText returns a text of a dead letter, as the tables of answers show it. The text of an event that lacks it and
// the empty one are both a dash: records of dead letters do not tell them apart, but recount dead-letters show has the
// event.
func letterText(s string) string {
	if s == "" {
		return "-"
	}
	return shownText(printable(s))
}

type deadLettersShowCmd struct {
	serverFlag
	Name string `arg:"" help:"Name of the dead letter, from the rejection or the list."`
}

// Run prints a dead letter. The event's bytes come last, unchanged if they are text.
func (c *deadLettersShowCmd) Run(ctx context.Context, std streams) error {
	l, err := fetch(c.serverFlag,
		func(server *client.Client) (deadletter.Letter, error) { return server.DeadLetter(ctx, c.Name) })
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	for _, f := range [][2]string{{"name", l.Name}, {"received", rfc3339(l.Received)}, {"code", l.Code},
		{"message", l.Message},
		{"type", l.EventType}, {"source", l.Source}, {"id", l.EventID}, {"time", l.EventTime}, {"place", placeOf(&l)},
		{"bytes", bytesOf(&l)}} {
		fmt.Fprintf(w, "%s\t%s\n", f[0], letterText(f[1]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if l.Raw != nil {
		_, err := fmt.Fprintf(std.out, "\n%s\n", *l.Raw)
		return err
	}
	_, err = fmt.Fprintf(std.out, "\nthe event is not UTF-8; in base64 it is:\n%s\n", *l.RawBase64)
	return err
}

func placeOf(l *deadletter.Letter) string {
	if l.Index == nil {
		return "a whole request, which is not JSON"
	}
	return fmt.Sprintf("event %d of its request", *l.Index)
}

func bytesOf(l *deadletter.Letter) string {
	if l.Truncated {
		return fmt.Sprintf("%d, of which only the first are kept", l.Bytes)
	}
	return strconv.FormatInt(l.Bytes, 10)
}

type deadLettersReplayCmd struct {
	deadLetterFilter
	Name   narrowing `aliases:"id" placeholder:"NAME" help:"Only the dead letter with this name."`
	DryRun bool      `help:"Only report what would be accepted."`
}

// Run replays page by page. It fails if an event is still rejected.
func (c *deadLettersReplayCmd) Run(ctx context.Context, std streams) error {
	replayed := 0
	accepted := 0
	failed := 0
	cursor := ""
	for more := true; more; more = cursor != "" {
		filter := c.filter(cursor, deadletter.MaxLimit)
		filter.Name = string(c.Name)
		page, err := fetch(c.serverFlag, func(server *client.Client) (deadletter.Replay, error) {
			return server.ReplayDeadLetters(ctx, filter, c.DryRun)
		})
		if err != nil {
			return fmt.Errorf("after %d replayed dead letters: %w", replayed, err)
		}
		for _, f := range page.Failed {
			if failed++; failed <= maxShown {
				fmt.Fprintf(std.err, "%s (id %q) is still rejected: %s: %s\n", f.Name, f.EventID, f.Code,
					escapeControls(f.Message))
			}
		}
		replayed += page.Replayed
		accepted += page.Accepted
		cursor = page.Cursor
	}
	verb := "accepted"
	if c.DryRun {
		verb = "would accept"
	}
	fmt.Fprintf(std.out, "replayed %d, %s %d, failed %d\n", replayed, verb, accepted, failed)
	c.hint(std.err, replayed)
	if replayed == 0 {
		printLands(std.err)
	}
	if failed > 0 {
		return fmt.Errorf("still rejected: %s", count(failed, "event"))
	}
	return nil
}
