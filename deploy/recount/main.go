// Command recount is all of recount in one program: the server in every role, the demonstration, and the client
// commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is the command line.
type cli struct {
	Up           upCmd           `cmd:"" help:"Run everything in one process with embedded engines."`
	Serve        serveCmd        `cmd:"" help:"Run some roles, with engines here or elsewhere."`
	Demo         demoCmd         `cmd:"" help:"Replay three million flights and compare live, exact and true counts."`
	Ingest       ingestCmd       `cmd:"" help:"Send the events of files (NDJSON, CSV, Parquet) to a server."`
	Query        queryCmd        `cmd:"" help:"Ask a server for counts."`
	Load         loadCmd         `cmd:"" help:"Send a steady load, whatever the server does, and report how it went."`
	Jobs         jobsCmd         `cmd:"" help:"List and run scheduled jobs."`
	Publications publicationsCmd `cmd:"" help:"List publications, and keep one for ever."`
	Letters      deadLettersCmd  `cmd:"" name:"dead-letters" help:"List, show and replay rejected events."`
	Keys         keysCmd         `cmd:"" help:"Make, list and revoke API keys."`
	Verify       verifyCmd       `cmd:"" help:"Check what is stored against the promises of the protocol (V1 to V10)."`
	Config       configCmd       `cmd:"" help:"Check a configuration file, or list its keys."`
	Version      versionCmd      `cmd:"" help:"Print the version."`
}

// usageError is a mistake in the command line that kong cannot see.
type usageError struct{ error }

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	settings := newSettingsFlags()
	exited := -1
	set := settings.settable()
	parser, err := kong.New(&cli{
		Up: upCmd{settable: set}, Serve: serveCmd{settable: set}, Demo: demoCmd{settable: set},
		Verify: verifyCmd{settable: set}, Config: configCmd{Check: configCheckCmd{settable: set}},
	},
		kong.Name("recount"),
		kong.Description("Counts you can watch now and bill on later."),
		kong.Writers(out, errw),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups([]kong.Group{{Key: "settings", Title: "Settings of the configuration (also as " +
			"environment variables):"}}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{in, out, errw}, settings),
	)
	if err != nil {
		fmt.Fprintln(errw, "recount:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help has printed its text.
	}
	if err != nil {
		fmt.Fprintf(errw, "recount: %v\n%s", err, usageOf(err))
		return exitUsage
	}
	return exitCode(errw, k.Run())
}

// usageOf says how the command is used whose command line is wrong, as far as the command is known.
func usageOf(err error) string {
	name := "recount"
	usage := ""
	wrong := (*kong.ParseError)(nil)
	if errors.As(err, &wrong) {
		for _, step := range wrong.Context.Path {
			if step.Command != nil {
				name += " " + step.Command.Name
				usage = "Usage: recount " + step.Command.Summary() + "\n"
			}
		}
	}
	return usage + "Try: " + name + " --help\n"
}

func exitCode(errw io.Writer, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(errw, "recount: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(errw, "recount: %s\n", strings.TrimSpace(err.Error()))
	return exitFailed
}
