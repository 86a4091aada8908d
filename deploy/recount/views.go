package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"recount/deploy/client"
	"recount/schemas/catalog"
	"recount/schemas/openapi"
	"recount/schemas/problem"
)

type viewsCmd struct {
	List   viewsListCmd   `cmd:"" help:"List the views, and how far their history is filled."`
	Show   viewsShowCmd   `cmd:"" help:"Show the dimensions, measures and conditions of a view."`
	Create viewsCreateCmd `cmd:"" help:"Declare a view, from flags or a file. It counts the history too."`
	Delete viewsDeleteCmd `cmd:"" help:"Remove a view. Its events stay."`
}

// formatFlag chooses between text for people and JSON for programs.
type formatFlag struct {
	Format string `default:"table" enum:"table,json" help:"Output format: table or json."`
}

type viewsListCmd struct {
	serverFlag
	formatFlag
}

// Run prints one line for each view.
func (c *viewsListCmd) Run(ctx context.Context, std streams) error {
	views, err := fetch(c.serverFlag, func(server *client.Client) ([]openapi.View, error) { return server.Views(ctx) })
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(std.out, views)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "VIEW\tEVENT\tCELL\tDIMENSIONS\tMEASURES\tHISTORY")
	for i := range views {
		v := &views[i]
		var dimensions []string
		for _, d := range v.Dimensions {
			dimensions = append(dimensions, d.Name)
		}
		var measures []string
		for _, m := range v.Measures {
			measures = append(measures, m.Name)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, v.Event, v.Cell, listed(dimensions), listed(measures),
			historyOf(v))
	}
	return w.Flush()
}

// listed joins names, or is a dash without any.
func listed(names []string) string { return cmp.Or(strings.Join(names, ","), "-") }

// historyOf says how much of a view's history is in the newest publication.
func historyOf(v *openapi.View) string {
	switch {
	case v.Published == nil:
		return "not published yet, live only"
	case v.Fill != nil:
		return fmt.Sprintf("filled from %s on; %s with %s left", stamp(v.Fill.FilledFrom),
			count(v.Fill.BucketsLeft, "bucket"), count(v.Fill.EventsLeft, "event"))
	}
	return fmt.Sprintf("complete in publication %d", *v.Published)
}

type viewsShowCmd struct {
	serverFlag
	formatFlag
	Name string `arg:"" help:"Name of the view."`
}

// Run prints a view.
func (c *viewsShowCmd) Run(ctx context.Context, std streams) error {
	v, err := fetch(c.serverFlag, func(server *client.Client) (openapi.View, error) { return server.View(ctx, c.Name) })
	if err != nil {
		return withViews(ctx, c.serverFlag, err)
	}
	if c.Format == "json" {
		return printJSON(std.out, v)
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "view\t%s\nevent\t%s\ncell\t%s\nhistory\t%s\ndigest\t%s\n", v.Name, v.Event, v.Cell, historyOf(&v),
		v.Digest)
	for _, f := range v.Where {
		fmt.Fprintf(w, "where\t%s %s %s\n", f.Field, f.Op, escapeControls(fmt.Sprint(f.Values)))
	}
	fmt.Fprintln(w, "\nDIMENSION\tTYPE\tVALUES TODAY")
	for _, d := range v.Dimensions {
		values := "-"
		if d.Cap != nil {
			values = fmt.Sprintf("%d of %d", d.Cap.Values, d.Cap.Limit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Name, d.Type, values)
	}
	fmt.Fprintln(w, "\nMEASURE\tKIND\tFIELD\tTYPE")
	for _, m := range v.Measures {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, m.Kind, cmp.Or(m.Field, "-"), cmp.Or(string(m.Type), "-"))
	}
	return w.Flush()
}

type viewsCreateCmd struct {
	createFlags
	Type     string   `placeholder:"TYPE" help:"Event type whose events it counts."`
	By       []string `short:"b" placeholder:"FIELD" help:"Fields to group by, the dimensions."`
	Cell     string   `placeholder:"WIDTH" help:"Smallest window that can be asked for, such as 1m (the default)."`
	Count    bool     `help:"Count events, as the measure count. Without any measure this is the one."`
	Sum      []string `placeholder:"FIELD" help:"Fields to add up, as sum_FIELD, or NAME=FIELD."`
	Avg      []string `placeholder:"FIELD" help:"Fields to average, likewise."`
	Min      []string `placeholder:"FIELD" help:"Fields of which to find the least, likewise."`
	Max      []string `placeholder:"FIELD" help:"Fields of which to find the greatest, likewise."`
	Distinct []string `placeholder:"FIELD" help:"Fields of which to count the different values, likewise."`
	Quantile []string `placeholder:"FIELD" help:"Fields of which to find the median, p99 and the like, likewise."`
}

// Help is the second part of the command's help.
func (c *viewsCreateCmd) Help() string {
	return "For example: recount views create visits --type page_view --by country --count --sum price " +
		"--distinct user\n\n" +
		"A view with conditions (where) needs --file."
}

// Run declares the view.
func (c *viewsCreateCmd) Run(ctx context.Context, std streams) error {
	declared, err := c.declaration()
	if err != nil {
		return usageError{err}
	}
	form, err := c.form(std.in, declared)
	if err != nil {
		return err
	}
	return c.change(std.out, func(server *client.Client) (client.Declared, error) {
		return server.PutView(ctx, c.Name, form, c.options())
	})
}

// declaration returns what the flags declare, or nil without any.
func (c *viewsCreateCmd) declaration() (map[string]any, error) {
	measures, err := c.measures()
	switch {
	case err != nil:
		return nil, err
	case c.Type == "" && len(c.By) == 0 && c.Cell == "" && len(measures) == 0 && c.File != "":
		return nil, nil
	case c.Type == "" && c.File == "":
		return nil, errors.New("give the event type with --type, or the whole view with --file")
	}
	if len(measures) == 0 {
		measures["count"] = map[string]any{"count": map[string]any{}}
	}
	view := map[string]any{"event": c.Type, "measures": measures}
	if len(c.By) > 0 {
		view["dimensions"] = c.By
	}
	if c.Cell != "" {
		view["cell"] = c.Cell
	}
	return view, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func (c *viewsCreateCmd) measures() (map[string]any, error) {
	measures := map[string]any{}
	if c.Count {
		measures["count"] = map[string]any{string(catalog.Count): map[string]any{}}
	}
	for _, m := range []struct {
		kind   catalog.MeasureKind
		fields []string
	}{{catalog.Sum, c.Sum}, {catalog.Avg, c.Avg}, {catalog.Min, c.Min}, {catalog.Max, c.Max},
		{catalog.Distinct, c.Distinct}, {catalog.Quantile, c.Quantile}} {
		for _, text := range m.fields {
			name, field, named := strings.Cut(text, "=")
			if !named {
				field = text
				name = string(m.kind) + "_" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(text), "_"), "_")
			}
			if measures[name] != nil {
				return nil, fmt.Errorf("two measures are called %s; name one with --%s NAME=%s", name, m.kind, field)
			}
			measures[name] = map[string]any{string(m.kind): field}
		}
	}
	return measures, nil
}

type viewsDeleteCmd struct{ editFlags }

// Run removes the view.
func (c *viewsDeleteCmd) Run(ctx context.Context, std streams) error {
	err := c.change(std.out, func(server *client.Client) (client.Declared, error) {
		return server.DeleteView(ctx, c.Name, client.EditOptions{DryRun: c.DryRun})
	})
	if err != nil {
		return withViews(ctx, c.serverFlag, err)
	}
	return nil
}

// withViews adds the names of the views to an error about one that there is not.
func withViews(ctx context.Context, f serverFlag, err error) error {
	if !strings.Contains(err.Error(), string(problem.UnknownView)) {
		return err
	}
	views, listErr := fetch(f, func(server *client.Client) ([]openapi.View, error) { return server.Views(ctx) })
	if listErr != nil {
		return err
	}
	var names []string
	for _, v := range views {
		names = append(names, v.Name)
	}
	return fmt.Errorf("%w; there are: %s", err, listed(names))
}
