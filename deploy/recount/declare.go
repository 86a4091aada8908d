package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"recount/deploy/client"
	"recount/deploy/server"
	"recount/schemas/declaration"
	"recount/schemas/openapi"
)

// declaredFile is a configuration file, and where what it declares is compared and applied: by a running server, or in
// the stored data of one that is stopped.
type declaredFile struct {
	settable
	keyFlag
	File   string `arg:"" type:"path" help:"Configuration file (YAML)."`
	Server string `env:"RECOUNT_SERVER" help:"Address of a running server; without it, the stored data is used."`
}

// apply applies the file, or only says what it would change.
func (f *declaredFile) apply(ctx context.Context, s *settingsFlags, dry bool) (openapi.Changes, error) {
	cfg, err := fileFlag{f.File}.load(s)
	if err != nil {
		return openapi.Changes{}, err
	}
	if f.Server == "" {
		return server.ApplyStored(ctx, cfg, dry)
	}
	c, err := cfg.Catalog()
	if err != nil {
		return openapi.Changes{}, err
	}
	form := declaration.JSON(declaration.OfCatalog(c))
	return fetch(serverFlag{f.Server, f.keyFlag},
		func(server *client.Client) (openapi.Changes, error) { return server.PutCatalog(ctx, form, dry) })
}

type configDiffCmd struct{ declaredFile }

// errDiffers makes the exit code 1, as that of diff.
var errDiffers = errors.New("the file would change what is declared")

// troubleError makes the exit code 2, as that of diff, because 1 says that something differs.
type troubleError struct{ error }

// Run prints what the file would change, line by line.
func (c *configDiffCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	changes, err := c.apply(ctx, s, true)
	if err != nil {
		return troubleError{err}
	}
	if err := printChanges(std.out, changes); err != nil {
		return troubleError{err}
	}
	if len(changes.Changes) > 0 {
		return errDiffers
	}
	return nil
}

type configApplyCmd struct {
	declaredFile
	DryRun bool `help:"Change nothing, and say what would be changed."`
}

// Run applies the file and prints what was changed.
func (c *configApplyCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	changes, err := c.apply(ctx, s, c.DryRun)
	if err != nil {
		return err
	}
	if err := printChanges(std.out, changes); err != nil {
		return err
	}
	if !c.DryRun {
		fmt.Fprintf(std.out, "the catalog has generation %d\n", changes.Generation)
	}
	return nil
}

// printChanges prints a line for each change with its parts below it, then what requests have changed.
func printChanges(out io.Writer, c openapi.Changes) error {
	w := &lineWriter{out: out}
	for _, x := range c.Changes {
		w.printf("%s %s.%s", x.Action, x.Kind, x.Name)
		for _, e := range x.Edits {
			w.printf("  %s: %s → %s", e.Path, shown(e.Before), shown(e.After))
		}
		for _, effect := range x.Effects {
			w.printf("  %s", effect)
		}
	}
	for _, p := range c.Previews {
		w.printf("preview of views.%s: %s", p.View, describePreview(p))
	}
	if c.PreviewError != "" {
		w.printf("no preview: %s", c.PreviewError)
	}
	for _, x := range c.Conflicts {
		w.printf("conflict %s.%s: the file and requests have both changed it; the file wins", x.Kind, x.Name)
		w.printf("  the file before: %s", shown(x.Applied))
		w.printf("  the file now:    %s", shown(x.File))
		w.printf("  declared now:    %s", shown(x.Stored))
	}
	for _, x := range c.Kept {
		w.printf("kept %s.%s: only requests have changed it; it stays as it is", x.Kind, x.Name)
	}
	if len(c.Changes) == 0 {
		w.printf("nothing differs")
	}
	return w.err
}

// lineWriter prints lines until one cannot be printed.
type lineWriter struct {
	out io.Writer
	err error
}

func (w *lineWriter) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.out, escape(fmt.Sprintf(format, args...), "\t"))
	}
}

// shown returns a part of a declaration, or a dash if it is missing.
func shown(raw []byte) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "-"
	}
	return string(raw)
}

func describePreview(p openapi.Preview) string {
	if p.From == nil {
		return "there are no events yet"
	}
	text := fmt.Sprintf("%s from %s to %s make %s", count(p.Events, "event"), stamp(*p.From), stamp(*p.To),
		count(int64(p.Groups), "row"))
	if p.Copies > 0 {
		text += fmt.Sprintf(", without %d copies", p.Copies)
	}
	if p.Unconverted > 0 {
		text += fmt.Sprintf("; %d have values of another type", p.Unconverted)
	}
	if p.Partial {
		text += "; there are more events, of which these are the newest"
	}
	return text
}
