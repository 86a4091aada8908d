package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"recount/deploy/client"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
)

type explainCmd struct {
	serverFlag
	ID      string   `arg:"" optional:"" help:"Id of the event."`
	Source  string   `help:"Source of the event; when empty, events that were sent without one."`
	Time    timeFlag `placeholder:"TIME" help:"About when it happened, RFC 3339; makes the search faster."`
	Receipt string   `help:"Receipt of a request, instead of an id: how far have its events come?"`
	Format  string   `default:"text" enum:"text,json" help:"Output format: text or json."`
}

// Run prints what became of an event or of the events of a receipt. It fails if nothing is known of the event.
func (c *explainCmd) Run(ctx context.Context, std streams) error {
	if (c.ID == "") == (c.Receipt == "") {
		return usageError{errors.New("name an event by its id, or a request with --receipt")}
	}
	if c.Receipt != "" {
		return c.printReceipt(ctx, std.out)
	}
	e, err := fetch(c.serverFlag, func(server *client.Client) (openapi.Explanation, error) {
		return server.Explain(ctx, c.Source, c.ID, c.Time.Time)
	})
	if err != nil {
		return err
	}
	if c.Format == "json" {
		err = writeIndented(std.out, e)
	} else {
		err = printExplanation(std.out, &e)
	}
	if err == nil && len(e.Events) == 0 && len(e.DeadLetters) == 0 {
		err = errors.New(unknownEvent(&e))
	}
	return err
}

func (c *explainCmd) printReceipt(ctx context.Context, out io.Writer) error {
	r, err := fetch(c.serverFlag, func(server *client.Client) (openapi.Receipt, error) {
		return server.Receipt(ctx, c.Receipt)
	})
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return writeIndented(out, r)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "POSITION\tEVENTS\tSTATE\tLANDED")
	for _, p := range r.Places {
		state := string(p.State)
		if p.State == openapi.ReceiptPublished {
			state = fmt.Sprintf("published, now in publication %d", r.Publication)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", positionText(p.Position), p.Count, state, stamp(p.Landed))
	}
	return w.Flush()
}

func writeIndented(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// unknownEvent says that nothing was found, and what may be the reason.
func unknownEvent(e *openapi.Explanation) string {
	text := "no event with this id and source was accepted or rejected"
	if e.Source == "" {
		text += "; if it was sent with a source, name it with --source"
	}
	if !e.Search.Complete {
		text += "; not searched: " + strings.Join(e.Search.Missing, ", ")
	}
	if len(e.Search.GivenUp) > 0 {
		text += "; it may have been in messages that an operator gave up"
	}
	return text
}

func positionText(p openapi.Position) string {
	return fmt.Sprintf("%d-%d-%d", p.Partition, p.Sequence, p.Index)
}

// printExplanation prints a paragraph for each event and for each rejection.
func printExplanation(out io.Writer, e *openapi.Explanation) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for i := range e.Events {
		printEvent(w, &e.Events[i])
	}
	for i := range e.DeadLetters {
		printRejection(w, &e.DeadLetters[i])
	}
	if e.More > 0 {
		fmt.Fprintf(w, "and %d more copies at higher positions\n", e.More)
	}
	if !e.Search.Complete {
		fmt.Fprintf(w, "not searched: %s\n", strings.Join(e.Search.Missing, ", "))
	}
	fmt.Fprintf(w, "searched %d rows of %d objects and %d messages in %.0f ms\n", e.Search.Rows, e.Search.Objects,
		e.Search.Messages, e.Search.Milliseconds)
	return w.Flush()
}

func printEvent(w io.Writer, x *openapi.ExplainedEvent) {
	status := strings.ReplaceAll(string(x.Status), "_", " ")
	if x.CopyOf != nil {
		status = "copy of " + positionText(*x.CopyOf)
		if x.Conflict {
			status += ", with another payload"
		}
	}
	fmt.Fprintf(w, "%s\t%s\n", positionText(x.Position), status)
	given := ""
	if x.TimeAssigned {
		given = " (given by the server)"
	}
	fmt.Fprintf(w, "  event\t%s at %s%s\n", printable(x.Type), rfc3339(x.Time), given)
	if !x.Accepted.IsZero() {
		fmt.Fprintf(w, "  accepted\t%s\n", rfc3339(x.Accepted))
	}
	if x.Generation > 0 {
		fmt.Fprintf(w, "  decoded\tby generation %d of the catalog\n", x.Generation)
	}
	if x.Object == "" {
		fmt.Fprintf(w, "  landed\tnot yet; it is in the log\n")
	} else {
		fmt.Fprintf(w, "  landed\t%s in %s\n", rfc3339(x.Landed), x.Object)
	}
	for i := range x.Views {
		fmt.Fprintf(w, "  view %s\t%s\n", x.Views[i].View, viewText(&x.Views[i]))
	}
	if len(x.Views) == 0 && x.CopyOf == nil {
		fmt.Fprintf(w, "  views\tno view counts this type\n")
	}
}

// viewText says in one line what a view makes of an event.
func viewText(v *openapi.ExplainedView) string {
	if v.Status == openapi.EventNotCounted {
		var conditions []string
		for _, f := range v.ExcludedBy {
			conditions = append(conditions, fmt.Sprintf("%s %s %s", f.Field, f.Op, valuesText(f.Values)))
		}
		return "excluded by " + strings.Join(conditions, " and ") + lostText(v)
	}
	text := "as of the next publication, and live until then"
	switch {
	case v.Status == openapi.EventCounted:
		text = fmt.Sprintf("in publication %d", v.Publication)
	case !v.FilledFrom.IsZero():
		text = "as of a later publication, because the view is filled from " + rfc3339(v.FilledFrom) + " on"
	}
	text += ", cell " + rfc3339(v.Cell)
	for _, name := range slices.Sorted(maps.Keys(v.Dimensions)) {
		text += fmt.Sprintf(", %s %s", name, valuesText([]any{v.Dimensions[name]}))
		if slices.Contains(v.Overflowed, name) {
			text += " (as ~overflow)"
		}
	}
	if v.OverflowUnknown {
		text += "; one of these may be counted as ~overflow"
	}
	return text + lostText(v)
}

func lostText(v *openapi.ExplainedView) string {
	if len(v.Lost) == 0 {
		return ""
	}
	return "; does not fit its type: " + strings.Join(v.Lost, ", ")
}

func valuesText(values []any) string {
	var texts []string
	for _, v := range values {
		raw, err := json.Marshal(v)
		if err != nil {
			raw = []byte("?")
		}
		texts = append(texts, printable(string(raw)))
	}
	return strings.Join(texts, ",")
}

func printRejection(w io.Writer, l *deadletter.Letter) {
	fmt.Fprintf(w, "%s\trejected: %s: %s\n", l.Name, l.Code, printable(l.Message))
	fmt.Fprintf(w, "  received\t%s; recount dead-letters show %s\n", rfc3339(l.Received), l.Name)
}
