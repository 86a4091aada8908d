package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"recount/deploy/client"
	"recount/schemas/openapi"
	"recount/schemas/problem"
)

type typesCmd struct {
	List   typesListCmd   `cmd:"" help:"List the event types, and the views that count them."`
	Show   typesShowCmd   `cmd:"" help:"Show the fields of an event type."`
	Create typesCreateCmd `cmd:"" help:"Declare an event type, from flags or a file."`
	Delete typesDeleteCmd `cmd:"" help:"Remove an event type that no view counts."`
}

type typesListCmd struct {
	serverFlag
	formatFlag
}

// Run prints one line for each event type.
func (c *typesListCmd) Run(ctx context.Context, std streams) error {
	types, err := fetch(c.serverFlag,
		func(server *client.Client) ([]openapi.EventType, error) { return server.EventTypes(ctx) })
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(std.out, types)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT TYPE\tFIELDS\tVIEWS\tDISCOVERED")
	for _, t := range types {
		fields, err := declaredFields(t)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%t\n", t.Name, listed(slices.Sorted(maps.Keys(fields))), listed(t.Views),
			t.Discovered)
	}
	return w.Flush()
}

// declaredFields returns the declared fields of an event type: a text for a plain type, or an object.
func declaredFields(t openapi.EventType) (map[string]any, error) {
	var declared struct {
		Fields map[string]any `json:"fields"`
	}
	if err := json.Unmarshal(t.Declaration, &declared); err != nil {
		return nil, fmt.Errorf("read the declaration of %s: %w", t.Name, err)
	}
	return declared.Fields, nil
}

type typesShowCmd struct {
	serverFlag
	formatFlag
	Name string `arg:"" help:"Name of the event type."`
}

// Run prints an event type.
func (c *typesShowCmd) Run(ctx context.Context, std streams) error {
	t, err := fetch(c.serverFlag,
		func(server *client.Client) (openapi.EventType, error) { return server.EventType(ctx, c.Name) })
	if err != nil {
		return withTypes(ctx, c.serverFlag, err)
	}
	if c.Format == "json" {
		return printJSON(std.out, t)
	}
	fields, err := declaredFields(t)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "event type\t%s\nviews\t%s\ndiscovered\t%t\n\n", t.Name, listed(t.Views), t.Discovered)
	fmt.Fprintln(w, "FIELD\tTYPE\tPATH\tNULL VALUES\tEXPRESSION\tCOERCE")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, isObject := fields[name].(map[string]any)
		if !isObject {
			field = map[string]any{"type": fields[name]}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, shownValue(field["type"]), shownValue(field["path"]),
			shownValue(field["null_values"]), shownValue(field["expression"]), shownValue(field["coerce"]))
	}
	return w.Flush()
}

type typesCreateCmd struct {
	createFlags
	Field []string `sep:"none" placeholder:"NAME:TYPE" help:"string, int64, float64, decimal(18,2), bool or timestamp."`
}

// Help is the second part of the command's help.
func (c *typesCreateCmd) Help() string {
	return "For example: recount types create page_view --field country:string,price:float64,user:string\n\n" +
		"Fields with a path, null values, an expression or coerce need --file."
}

// Run declares the event type.
func (c *typesCreateCmd) Run(ctx context.Context, std streams) error {
	declared, err := c.declaration()
	if err != nil {
		return usageError{err}
	}
	form, err := c.form(std.in, declared)
	if err != nil {
		return err
	}
	return c.change(std.out, func(server *client.Client) (client.Declared, error) {
		return server.PutEventType(ctx, c.Name, form, c.options())
	})
}

// declaration returns what the flags declare, or nil without any. The server knows which types there are.
func (c *typesCreateCmd) declaration() (map[string]any, error) {
	if len(c.Field) == 0 {
		if c.File == "" {
			return nil, errors.New("give the fields with --field, or the whole event type with --file")
		}
		return nil, nil
	}
	fields := map[string]any{}
	for _, text := range separateFields(c.Field) {
		at := strings.LastIndexByte(text, ':')
		if at < 1 || at == len(text)-1 {
			return nil, fmt.Errorf("--field %q: write NAME:TYPE, such as price:float64", text)
		}
		if fields[text[:at]] != nil {
			return nil, fmt.Errorf("--field %s is given twice", text[:at])
		}
		fields[text[:at]] = text[at+1:]
	}
	return map[string]any{"fields": fields}, nil
}

// separateFields cuts lists of fields at the commas between fields, not at that of decimal(18,2).
func separateFields(lists []string) (fields []string) {
	for _, list := range lists {
		depth := 0
		fields = append(fields, strings.FieldsFunc(list, func(r rune) bool {
			switch r {
			case '(':
				depth++
			case ')':
				depth--
			}
			return r == ',' && depth <= 0
		})...)
	}
	return fields
}

type typesDeleteCmd struct{ editFlags }

// Run removes the event type.
func (c *typesDeleteCmd) Run(ctx context.Context, std streams) error {
	err := c.change(std.out, func(server *client.Client) (client.Declared, error) {
		return server.DeleteEventType(ctx, c.Name, client.EditOptions{DryRun: c.DryRun})
	})
	if err != nil {
		return withTypes(ctx, c.serverFlag, err)
	}
	return nil
}

// withTypes adds the names of the event types to an error about one that there is not.
func withTypes(ctx context.Context, f serverFlag, err error) error {
	if !strings.Contains(err.Error(), string(problem.UnknownEventType)) {
		return err
	}
	types, listErr := fetch(f,
		func(server *client.Client) ([]openapi.EventType, error) { return server.EventTypes(ctx) })
	if listErr != nil {
		return err
	}
	var names []string
	for _, t := range types {
		names = append(names, t.Name)
	}
	return fmt.Errorf("%w; there are: %s", err, listed(names))
}
