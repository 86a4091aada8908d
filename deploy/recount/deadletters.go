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
	List   lettersListCmd   `cmd:"" help:"List rejected events, newest first."`
	Show   lettersShowCmd   `cmd:"" help:"Show why an event was rejected, and its bytes."`
	Replay lettersReplayCmd `cmd:"" help:"Send rejected events through ingest again; each counts once however often it is replayed."`
}

// letterFilter chooses dead letters.
type letterFilter struct {
	serverFlag
	Code string  `help:"Only those rejected for this code."`
	Type string  `help:"Only those whose event said it was of this type."`
	From instant `placeholder:"TIME" help:"Received then or later, RFC 3339."`
	To   instant `placeholder:"TIME" help:"Received before, RFC 3339."`
}

// filter returns the filter of one page.
func (f *letterFilter) filter(cursor string, limit int) deadletter.Filter {
	return deadletter.Filter{Code: f.Code, Type: f.Type, From: f.From.Time, To: f.To.Time, Cursor: cursor, Limit: limit}
}

// hint says what a code is where none was found: one that is misspelled finds nothing either.
func (f *letterFilter) hint(out io.Writer, found int) {
	if f.Code != "" && found == 0 {
		fmt.Fprintf(out, "nothing was rejected for the code %q; codes are such as unknown_type or invalid_field, "+
			"and dead-letters list shows those there are\n", f.Code)
	}
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

type lettersListCmd struct {
	letterFilter
	Limit  int    `default:"100" help:"Most rows."`
	Format string `default:"table" enum:"table,csv,json" help:"table, csv or json (one object a line)."`
}

// Run prints what the server has, page by page.
func (c *lettersListCmd) Run(ctx context.Context, std streams) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be at least 1")}
	}
	out := c.writer(std.out)
	left := c.Limit
	cursor := ""
	for {
		page, err := fetch(c.serverFlag, func(server *client.Client) (deadletter.Page, error) {
			return server.DeadLetters(ctx, c.filter(cursor, min(left, deadletter.MaxLimit)))
		})
		if err != nil {
			return err
		}
		for i := range page.Letters {
			if err := out.write(&page.Letters[i]); err != nil {
				return err
			}
		}
		left = left - len(page.Letters)
		cursor = page.Cursor
		if cursor == "" || left <= 0 {
			break
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	c.hint(std.err, c.Limit-left)
	if cursor != "" {
		fmt.Fprintln(std.err, "there may be more; raise --limit or narrow --from and --to to see them")
	}
	fmt.Fprintln(std.err, "an event that was rejected a moment ago is listed once it has landed (landing.cut_interval)")
	return nil
}

// letterWriter prints letters one by one.
type letterWriter struct {
	write func(*deadletter.Letter) error
	flush func() error
}

var letterColumns = []string{"NAME", "RECEIVED", "CODE", "TYPE", "ID", "BYTES", "MESSAGE"}

func (c *lettersListCmd) writer(out io.Writer) letterWriter {
	switch c.Format {
	case "json":
		enc := json.NewEncoder(out)
		return letterWriter{func(l *deadletter.Letter) error { return enc.Encode(l) }, func() error { return nil }}
	case "csv":
		w := csv.NewWriter(out)
		// Flush returns its error.
		_ = w.Write([]string{"name", "received", "code", "event_type", "event_id", "bytes", "message"})
		return letterWriter{func(l *deadletter.Letter) error {
			return w.Write([]string{l.Name, when(l.Received), l.Code, l.EventType, l.EventID,
				strconv.FormatInt(l.Bytes, 10), l.Message})
		}, func() error {
			w.Flush()
			return w.Error()
		}}
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(cells ...string) error {
		for i, cell := range cells {
			sep := "\t"
			if i == len(cells)-1 {
				sep = "\n"
			}
			if _, err := fmt.Fprint(w, shown(cell), sep); err != nil {
				return err
			}
		}
		return nil
	}
	_ = row(letterColumns...) // Flush returns its error.
	return letterWriter{func(l *deadletter.Letter) error {
		return row(l.Name, stamp(l.Received), l.Code, l.EventType, l.EventID, strconv.FormatInt(l.Bytes, 10), l.Message)
	}, w.Flush}
}

// shown is text of strangers on one line, without control characters, short, and a dash for nothing.
func shown(s string) string {
	const most = 100
	r := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s))
	switch {
	case len(r) == 0:
		return "-"
	case len(r) > most:
		return string(r[:most]) + "…"
	}
	return string(r)
}

type lettersShowCmd struct {
	serverFlag
	Name string `arg:"" help:"Name of the dead letter, as the rejection or the list gives it."`
}

// Run prints what was kept. Bytes that are text come last and as they are.
func (c *lettersShowCmd) Run(ctx context.Context, std streams) error {
	l, err := fetch(c.serverFlag,
		func(server *client.Client) (deadletter.Letter, error) { return server.DeadLetter(ctx, c.Name) })
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	for _, f := range [][2]string{{"name", l.Name}, {"received", when(l.Received)}, {"code", l.Code},
		{"message", l.Message},
		{"type", l.EventType}, {"source", l.Source}, {"id", l.EventID}, {"time", l.EventTime}, {"place", placeOf(&l)},
		{"bytes", bytesOf(&l)}} {
		fmt.Fprintf(w, "%s\t%s\n", f[0], shown(f[1]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if l.Raw != nil {
		_, err := fmt.Fprintf(std.out, "\n%s\n", *l.Raw)
		return err
	}
	_, err = fmt.Fprintf(std.out, "\nnot UTF-8, in base64:\n%s\n", *l.RawBase64)
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

type lettersReplayCmd struct {
	letterFilter
	Name   string `aliases:"id" help:"Only the dead letter of this name."`
	DryRun bool   `help:"Only say what would be accepted."`
}

// Run replays page by page and fails if an event is still refused.
func (c *lettersReplayCmd) Run(ctx context.Context, std streams) error {
	replayed := 0
	accepted := 0
	failed := 0
	cursor := ""
	for more := true; more; more = cursor != "" {
		filter := c.filter(cursor, deadletter.MaxLimit)
		filter.Name = c.Name
		page, err := fetch(c.serverFlag, func(server *client.Client) (deadletter.Replay, error) {
			return server.ReplayDeadLetters(ctx, filter, c.DryRun)
		})
		if err != nil {
			return fmt.Errorf("after %d of them: %w", replayed, err)
		}
		for _, f := range page.Failed {
			if failed++; failed <= maxShown {
				fmt.Fprintf(std.err, "%s (id %q) is still refused: %s: %s\n", f.Name, f.EventID, f.Code, f.Message)
			}
		}
		replayed = replayed + page.Replayed
		accepted = accepted + page.Accepted
		cursor = page.Cursor
	}
	verb := "accepted"
	if c.DryRun {
		verb = "would accept"
	}
	fmt.Fprintf(std.out, "replayed %d, %s %d, failed %d\n", replayed, verb, accepted, failed)
	c.hint(std.err, replayed)
	if failed > 0 {
		return fmt.Errorf("%d dead letters are still refused", failed)
	}
	return nil
}
