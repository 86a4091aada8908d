// Command bench measures the whole path beside other engines, on the same events in the same run: from HTTP to the
// fsynced acknowledgement, from the lake to published cells, and the answers. make bench runs it. The shapes and
// queries compare results before a time counts. The parts alone, bytes and requests compare none. With -growth it
// measures what one quantity after the other adds to time, memory and files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// benchFolder is the folder of this program in the checkout. The results are below it.
const benchFolder = "deploy/proof/bench"

func main() {
	if len(os.Args) == 3 && os.Args[1] == peerArgument {
		exit(runClickHouse(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(mainCommand(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is one run of the program.
type run struct {
	ctx      context.Context
	root     string // root is the checkout.
	dir      string // dir is the folder of everything that the run makes.
	programs []program
	events   int
	rounds   int
	report   *report
	out      io.Writer // out gets a line for each step.
}

// program is a recount that is measured.
type program struct{ system, path string }

// mainCommand parses the arguments, measures and prints the table.
func mainCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	events := flags.Int("events", 500_000,
		"events of each shape; larger ones get a part of it, flights three and queries four times as many")
	rounds := flags.Int("rounds", 3, "rounds, in which the systems alternate")
	binary := flags.String("program", "", "recount program to measure; empty builds this checkout")
	versus := flags.String("versus", "", "second recount program to measure beside it")
	file := flags.String("json", "",
		"file of the results; by default a full run writes "+benchFolder+"/results/bench.json")
	growth := flags.Bool("growth", false, "measure how time, memory and files grow; the arguments are axes")
	limit := flags.Int("limit", 0, "largest value of an axis of growth; 0 measures all")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "bench [flags] [row…]\nThe rows are %s.\nThe axes of -growth are %s.\n",
			strings.Join(rowNames(), ", "), strings.Join(axisNames(), ", "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	names := rowNames()
	if *growth {
		names = axisNames()
	}
	for _, name := range flags.Args() {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown argument %q; use %s", name, strings.Join(names, ", "))
		}
	}
	if *events < 1000 || *rounds < 1 {
		return errors.New("-events: use at least 1000; -rounds: use at least 1")
	}
	r := &run{ctx: ctx, events: *events, rounds: *rounds, out: out}
	defer func() { _ = os.RemoveAll(r.dir) }() // prepare may fail after it made the folder.
	if err := r.prepare(*binary, *versus); err != nil {
		return err
	}
	chosen := flags.Args()
	if len(chosen) == 0 {
		chosen = names
		if *file == "" && !*growth {
			*file = filepath.Join(r.root, benchFolder, "results", "bench.json")
		}
	}
	if *growth {
		return r.growth(chosen, *limit)
	}
	return r.table(chosen, *file)
}

// prepare finds the checkout, makes the folder of the run, and builds the program.
func (r *run) prepare(binary, versus string) (err error) {
	if r.root, err = checkout(); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "recount-bench-"); err != nil {
		return err
	}
	if binary == "" {
		if binary, err = build(r.ctx, r.root, r.dir); err != nil {
			return err
		}
	}
	for system, path := range map[string]string{recount: binary, other: versus} {
		if path == "" {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		r.programs = append(r.programs, program{system, path})
	}
	slices.SortFunc(r.programs, func(a, b program) int { return -strings.Compare(a.system, b.system) })
	r.report = &report{Time: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(),
		Versions: map[string]string{}, Events: r.events, Rounds: r.rounds}
	for _, p := range r.programs {
		text, err := command(r.ctx, r.root, p.path, "version").Output()
		if err != nil {
			return err
		}
		r.report.Versions[p.system] = strings.Join(strings.Fields(string(text)), " ")
	}
	if commit, err := command(r.ctx, r.root, "git", "describe", "--always", "--dirty").Output(); err == nil {
		r.report.Versions["checkout"] = strings.TrimSpace(string(commit))
	}
	return nil
}

// checkout returns the folder of the checkout that holds the working directory.
func checkout() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, benchFolder)); err == nil {
			return dir, nil
		}
	}
	return "", errors.Join(errors.New("run bench in the checkout"), err)
}

// build builds recount as make build does.
func build(ctx context.Context, root, dir string) (string, error) {
	path := filepath.Join(dir, "recount")
	cmd := command(ctx, root, "go", "build", "-trimpath", "-o", path, "./deploy/recount")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build recount: %w: %s", err, out)
	}
	return path, nil
}

// rows are the parts of the table beside the shapes.
var rows = []struct {
	name string
	run  func(*run) error
}{
	{"alone", (*run).ingestAlone},
	{"bytes", (*run).bytes},
	{"queries", (*run).queries},
	{"requests", (*run).requests},
}

// rowNames are what a caller may choose.
func rowNames() (out []string) {
	for _, s := range shapes() {
		out = append(out, s.name)
	}
	for _, row := range rows {
		out = append(out, row.name)
	}
	return out
}

// table measures the chosen rows, prints the table and writes it to the file.
func (r *run) table(chosen []string, file string) error {
	for _, s := range shapes() {
		if !slices.Contains(chosen, s.name) {
			continue
		}
		if err := r.pipeline(&s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for _, row := range rows {
		if !slices.Contains(chosen, row.name) {
			continue
		}
		if err := row.run(r); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	if err := r.report.print(r.out); err != nil || file == "" {
		return err
	}
	return r.report.write(file)
}

// say prints a line about a step.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05")}, args...)...)
}

// folder makes an empty folder of the run. remove removes it with all it holds then.
func (r *run) folder() (path string, remove func(), err error) {
	path, err = os.MkdirTemp(r.dir, "")
	return path, func() { _ = os.RemoveAll(path) }, err
}
