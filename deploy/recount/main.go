// Command recount is the whole of recount in one program: the server in every role, the demonstration and the client
// commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// The exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// Without it, a reader of the output that leaves, such as head, would end a command before it has cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, guardTerminal(os.Stdout), os.Stderr)
	stop()
	os.Exit(code)
}

// streams are the standard streams of a command.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// cli is the command line.
type cli struct {
	Count  countCmd  `cmd:"" group:"begin" help:"Count the rows of files, without a server or a configuration."`
	Demo   demoCmd   `cmd:"" group:"begin" help:"Replay flights, and compare live, exact and true counts."`
	Up     upCmd     `cmd:"" group:"begin" help:"Run the whole server in one process with embedded engines."`
	Ingest ingestCmd `cmd:"" group:"begin" help:"Send the events of files (CSV, JSON, Parquet) to a server."`

	Query        queryCmd        `cmd:"" group:"ask" help:"Ask a server for counts."`
	SQL          sqlCmd          `cmd:"" name:"sql" group:"ask" help:"Run a read-only SQL statement over the views."`
	Watch        watchCmd        `cmd:"" group:"ask" help:"Ask again and again, and show each answer."`
	Changes      changesCmd      `cmd:"" group:"ask" help:"Say what changed between two publications, and why."`
	Events       eventsCmd       `cmd:"" group:"ask" help:"List the newest events, and how far they have come."`
	Explain      explainCmd      `cmd:"" group:"ask" help:"Say what became of an event, and why."`
	Publications publicationsCmd `cmd:"" group:"ask" help:"List publications, and keep one for ever."`

	Views  viewsCmd  `cmd:"" group:"declare" help:"List, show, create and delete views."`
	Types  typesCmd  `cmd:"" group:"declare" help:"List, show, create and delete event types."`
	Config configCmd `cmd:"" group:"declare" help:"Check a configuration file, apply it, or list all keys."`

	Serve       serveCmd       `cmd:"" group:"operate" help:"Run some roles of the server, with any engines."`
	Jobs        jobsCmd        `cmd:"" group:"operate" help:"List and run scheduled jobs."`
	DeadLetters deadLettersCmd `cmd:"" group:"operate" help:"List, show and replay rejected events."`
	Keys        keysCmd        `cmd:"" group:"operate" help:"Create, list and revoke API keys."`
	Doctor      doctorCmd      `cmd:"" group:"operate" help:"Check disk, clocks, limits, ports, versions and stores."`
	Verify      verifyCmd      `cmd:"" group:"operate" help:"Check stored data against the rules of the protocol."`
	Hole        holeCmd        `cmd:"" group:"operate" help:"Give up messages that the log has lost."`
	Health      healthCmd      `cmd:"" hidden:"" help:"Ask whether a server is alive, for health checks."`
	Load        loadCmd        `cmd:"" group:"operate" help:"Send events at a steady rate, and report the results."`
	Completion  completionCmd  `cmd:"" group:"operate" help:"Print a script that lets a shell complete commands."`

	Complete    completeCmd `cmd:"" hidden:""`
	Version     versionCmd  `cmd:"" hidden:"" help:"Print the version."`
	ShowVersion versionFlag `name:"version" hidden:"" help:"Print the version."`
}

// usageError is a mistake in the command line that kong does not detect.
type usageError struct{ error }

// run runs the command that args name and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	settings := newSettingsFlags()
	exited := -1
	flags := settings.settable()
	parser, err := kong.New(&cli{
		Up: upCmd{settable: flags}, Serve: serveCmd{settable: flags}, Demo: demoCmd{settable: flags},
		Verify: verifyCmd{settable: flags}, Hole: holeCmd{settable: flags}, Doctor: doctorCmd{settable: flags},
		Config: configCmd{Check: configCheckCmd{settable: flags},
			Diff:  configDiffCmd{declaredFile: declaredFile{settable: flags}},
			Apply: configApplyCmd{declaredFile: declaredFile{settable: flags}}},
	},
		kong.Name("recount"),
		kong.Description("Counts you can watch now and bill on later."),
		kong.Writers(out, errw),
		kong.Vars{"time_formats": timeFormats, "default_server": defaultAddress},
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups(allGroups()),
		kong.Help(printHelp),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{in, out, errw}, settings),
	)
	if err != nil {
		fmt.Fprintln(errw, "recount:", err)
		return exitFailed
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case slices.ContainsFunc(args, isNotUTF8): // kong would replace the bytes, and ask for another value.
		fmt.Fprintf(errw, "recount: the argument %q is not valid UTF-8\n", args[slices.IndexFunc(args, isNotUTF8)])
		return exitUsage
	case args[0] == "help": // As people ask other programs.
		args = append(slices.Clone(args[1:]), "--help")
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // Parse has printed the help.
	}
	if readerLeft(err) {
		return exitFailed
	}
	if err != nil {
		fmt.Fprintf(errw, "recount: %v\n%s", err, usageOf(err))
		return exitUsage
	}
	return exitCode(errw, command.Run())
}

func isNotUTF8(arg string) bool { return !utf8.ValidString(arg) }

// usageOf returns the usage of the command whose arguments are wrong. Without a known command it only names the help.
func usageOf(err error) string {
	name := "recount"
	usage := ""
	var problem *kong.ParseError
	if errors.As(err, &problem) {
		for _, step := range problem.Context.Path {
			if step.Command != nil {
				name += " " + step.Command.Name
				usage = "Usage: recount " + step.Command.Summary() + "\n"
			}
		}
	}
	return usage + "Try: " + name + " --help\n"
}

// exitCode prints an error and returns the exit code that it stands for.
func exitCode(errw io.Writer, err error) int {
	var usage usageError
	var trouble troubleError
	switch {
	case errors.Is(err, errDiffers):
		return exitFailed // What differs is printed already.
	case readerLeft(err):
		return exitFailed
	case errors.As(err, &trouble):
		_ = exitCode(errw, trouble.error)
		return exitUsage
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(errw, "recount: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(errw, "recount: %s\n", escape(strings.TrimSpace(err.Error()), "\n\t"))
	return exitFailed
}

// readerLeft reports whether who read the output has left, and so needs no word. Connections have errors of another
// type.
func readerLeft(err error) bool {
	var output *fs.PathError
	return errors.As(err, &output) && errors.Is(output, syscall.EPIPE)
}
