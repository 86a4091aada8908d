package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
	"recount/schemas/problem"
)

// declareTimeout is how long the server may take to say what is declared, or to declare more.
const declareTimeout = 10 * time.Second

// learnFields asks the server for the fields of the event type, unless a configuration has declared them. With
// --declare it adds the columns of the files. Without it, the fields stay unknown, and the user is told, if the key may
// not ask or the server takes events only. A dry run needs no server.
func (c *ingestCmd) learnFields(ctx context.Context, std streams, m *eventfile.Mapping, files []input.File) error {
	if m.Fields != nil || m.Type == "" {
		return nil
	}
	server, err := c.connect(client.Config{OnRetry: impatient})
	if err != nil {
		return err
	}
	defer server.Close()
	asking, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()
	declared, err := server.EventType(asking, m.Type)
	conditions := client.EditOptions{DryRun: c.DryRun}
	var network *net.OpError
	var refused *client.Problem
	switch {
	case errors.As(err, &network) && (!c.DryRun || c.Declare):
		return noServer(err)
	case errors.As(err, &refused) && refused.Code == problem.UnknownEventType && c.Declare:
		m.Fields = &catalog.EventType{Name: m.Type}
		conditions.Create = true
	case errors.As(err, &refused) && refused.Code == problem.UnknownEventType:
		fmt.Fprintf(std.err, "the server has no event type %s; it rejects its rows, unless it declares what arrives "+
			"(events.discover); --declare declares it from the whole file\n", m.Type)
		return nil
	case err != nil && c.Declare:
		return explain(err)
	case err != nil:
		fmt.Fprintf(std.err, "columns are not compared with the fields of %s, because the server does not say them: "+
			"%v; give --config to compare them\n", m.Type, explain(err))
		return nil
	default:
		if m.Fields, conditions.IfMatch, err = fieldsOf(declared); err != nil {
			return err
		}
		if c.Extra == "" && declared.Discovered { // Its first rows had columns that are no field, too.
			m.Extra = eventfile.KeepExtra
		}
	}
	if !c.Declare {
		return nil
	}
	return c.declare(ctx, std, server, m, files, conditions)
}

// fieldsOf reads the declaration of an event type as a server answers it, and returns its entity tag too.
func fieldsOf(e openapi.EventType) (t *catalog.EventType, tag string, err error) {
	form, err := declaration.ParseJSON(e.Declaration)
	if err != nil {
		return nil, "", fmt.Errorf("read the event type %s: %w", e.Name, err)
	}
	t, err = declaration.ReadEventType(e.Name, form)
	return t, `"` + declaration.Tag(form) + `"`, err
}

// declare adds the columns that are no field to the event type, with the types that hold all their values. In a dry
// run, the server only says what would change. It refuses if somebody has changed the type since it was read, whose
// change this one would take back.
func (c *ingestCmd) declare(ctx context.Context, std streams, server *client.Client, m *eventfile.Mapping,
	files []input.File, conditions client.EditOptions) error {
	survey, err := surveyAll(files, *m)
	if err == nil {
		err = c.checkTime(*m, survey)
	}
	if err != nil {
		return err
	}
	wanted := &catalog.EventType{Name: m.Type, Fields: slices.Clone(m.Fields.Fields)}
	added, err := c.addColumns(wanted, *m, survey)
	if err != nil || len(added) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()
	form := declaration.JSON(declaration.OfEventType(wanted))
	if _, err := server.PutEventType(ctx, m.Type, form, conditions); err != nil {
		return explain(err)
	}
	verb := "declared"
	if c.DryRun {
		verb = "would declare"
	}
	fmt.Fprintf(std.err, "%s in %s: %s\n", verb, m.Type, strings.Join(added, ", "))
	m.Fields = wanted
	return nil
}

// checkTime refuses times without a zone before anything is declared, because no row could be sent.
func (c *ingestCmd) checkTime(m eventfile.Mapping, s *eventfile.Survey) error {
	for _, column := range s.Columns {
		isTime := m.Time != "" && (m.Time == column.Name || m.Time == m.NameOf(column.Name))
		if isTime && c.TimeFormat == "" && column.NeedsZone() && !m.Times.HasZone() {
			return fmt.Errorf("the time in column %s %w; nothing was declared", column.Name, timeformat.ErrZone)
		}
	}
	return nil
}

// addColumns adds the columns that are no field to the event type, and returns them with their types.
func (c *ingestCmd) addColumns(e *catalog.EventType, m eventfile.Mapping, s *eventfile.Survey) (added []string,
	err error) {
	for _, column := range s.Columns {
		name := m.NameOf(column.Name)
		_, known := e.Column(name)
		if known || m.IsAttribute(name) || m.Ignores(column.Name) || column.Values() == 0 {
			continue
		}
		t, wrong := column.FieldType()
		switch {
		case wrong != nil:
		case !catalog.FieldName(name) || strings.Contains(name, "__"):
			wrong = fmt.Errorf("column %q cannot be a field: a name begins with a letter, has letters, digits and "+
				"single underscores, and is no attribute; say --rename %q or --ignore %q", column.Name,
				column.Name+"=NAME", column.Name)
		case t == catalog.Timestamp && (c.TimeFormat != "" || column.NeedsZone() && !m.Times.HasZone()):
			t = catalog.String // Without a zone it is no instant, and --time-format is about the event time.
		}
		err = errors.Join(err, wrong)
		e.Fields = append(e.Fields, catalog.Field{Name: name, Type: t})
		text := fmt.Sprintf("%s %s", name, t)
		if column.Rounds() {
			text += " (which rounds its decimals: they have more digits than the 18 of a decimal field)"
		}
		added = append(added, text)
	}
	slices.SortFunc(e.Fields, func(a, b catalog.Field) int { return strings.Compare(a.Name, b.Name) })
	return added, err
}

// printUncounted says what to type next if no view counts the event type. The rows were sent, so an error of this
// question is none of the command.
func (c *ingestCmd) printUncounted(ctx context.Context, out io.Writer, server *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()
	views, err := server.Views(ctx)
	if err != nil || slices.ContainsFunc(views, func(v openapi.View) bool { return v.Event == c.Type }) {
		return
	}
	fmt.Fprintf(out, "no view counts %s yet; next:\n  recount views create NAME --type %[1]s --count --by FIELD%s\n",
		c.Type, c.differs())
}
