package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// groups are the parts of recount --help, in the order in which a newcomer needs them. The tag group of a command names
// one.
var groups = []kong.Group{
	{Key: "begin", Title: "Begin"},
	{Key: "ask", Title: "Ask"},
	{Key: "declare", Title: "Say what is counted"},
	{Key: "operate", Title: "Operate"},
}

// printHelp prints the help of a command as kong does. The help of recount itself is a table of groups, which has no
// empty lines between them and no flags, so that it fits on a screen.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	for _, step := range ctx.Path { // A command that has only others below it is not selected.
		if step.Command != nil {
			return kong.DefaultHelpPrinter(options, ctx)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Usage: recount COMMAND [flags]\n%s\n\n", ctx.Model.Help)
	for _, g := range groups {
		fmt.Fprintln(&out, g.Title)
		for _, command := range ctx.Model.Children {
			if command.Group != nil && command.Group.Key == g.Key && !command.Hidden {
				fmt.Fprintf(&out, "  %-13s %s\n", command.Name, command.Help)
			}
		}
	}
	fmt.Fprintln(&out, "\nrecount COMMAND --help says more; recount --version prints the version.")
	_, err := fmt.Fprint(ctx.Stdout, out.String())
	return err
}

// allGroups are the groups of commands and of flags.
func allGroups() []kong.Group {
	return append(slices.Clone(groups), kong.Group{Key: "settings",
		Title: "Settings of the configuration (also as environment variables):"})
}
