package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"recount/deploy/client"
	"recount/deploy/recount/progress"
	"recount/deploy/server"
	"recount/deploy/verify"
)

type verifyCmd struct {
	fileFlag
	settable
	Server string `help:"Address of a running server, which verifies itself; when empty, local data is read."`
	keyFlag
	AckLog  string `name:"ack-log" type:"existingfile" help:"Acknowledgement log, which recount load writes."`
	Scratch string `type:"existingdir" help:"Folder for temporary copies of the log and of ClickHouse."`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

// Help returns the text that --help prints besides the flags.
func (*verifyCmd) Help() string {
	var b strings.Builder
	b.WriteString("Every finding says what is wrong, where, and what to do. The command changes nothing. It reads " +
		"the data of a stopped server, the log and ClickHouse from copies in --scratch. Processes over external " +
		"engines may run meanwhile. With --server and a key with the scope admin, a running server verifies " +
		"itself.\n\n")
	for _, n := range verify.Names {
		fmt.Fprintf(&b, "  %-4s%s\n", n, verify.Title(n))
	}
	b.WriteString("\nV3, V4 and V7 need --ack-log. The exit code is 0 if every check found its rule to be kept, 1 if " +
		"a rule is broken or could not be checked, 2 if the command line is wrong.")
	return b.String()
}

// errNotClean is returned after the report has shown the reason.
var errNotClean = errors.New("the stored data breaks a rule, or could not be checked completely; see the report")

// Run verifies and prints the report.
func (c *verifyCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	if c.Server != "" && (c.ConfigFile != "" || c.Scratch != "") {
		return usageError{errors.New("--server verifies a running server, --config and --scratch a stopped one: " +
			"give one of them")}
	}
	var acks io.Reader
	if c.AckLog != "" {
		f, err := os.Open(c.AckLog)
		if err != nil {
			return err
		}
		defer f.Close()
		acks = f
	}
	bar := progress.New(std.err)
	show := func(p verify.Progress) { bar.Set(p.Done, p.Total, p.Step) }
	report, err := c.verify(ctx, s, acks, show)
	bar.Clear()
	if err != nil {
		return err
	}
	if err := c.print(std.out, report); err != nil {
		return err
	}
	if !report.Clean() {
		return errNotClean
	}
	return nil
}

func (c *verifyCmd) verify(ctx context.Context, s *settingsFlags, acks io.Reader,
	show func(verify.Progress)) (verify.Report, error) {
	if c.Server != "" {
		return c.remote(ctx, acks, show)
	}
	cfg, err := c.load(s)
	if err != nil {
		return verify.Report{}, err
	}
	return server.Verify(ctx, cfg,
		server.VerifyOptions{Options: verify.Options{AckLog: acks, Progress: show}, Scratch: c.Scratch})
}

// remote lets a running server verify itself.
func (c *verifyCmd) remote(ctx context.Context, acks io.Reader, show func(verify.Progress)) (verify.Report, error) {
	return fetch(serverFlag{c.Server, c.keyFlag},
		func(server *client.Client) (verify.Report, error) { return server.Verify(ctx, acks, show) })
}

func (c *verifyCmd) print(out io.Writer, report verify.Report) error {
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(report)
	}
	return printReport(out, report)
}

// printReport prints one line for each check, then every finding with its place and what to do.
func printReport(out io.Writer, report verify.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CHECK\tOUTCOME\tEXAMINED\tMEANING")
	for _, c := range report.Checks {
		examined := "-"
		if c.Unit != "" {
			examined = fmt.Sprintf("%d %s", c.Examined, c.Unit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, outcome(c), examined, c.Title)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	shown := map[verify.Name]int64{}
	for _, f := range report.Findings {
		shown[f.Check]++
		fmt.Fprintf(out, "\n%s  %s\n    where: %s\n    do:    %s\n", f.Check, f.What, f.Where, f.Do)
	}
	for _, c := range report.Checks {
		if more := c.Findings - shown[c.Name]; more > 0 {
			fmt.Fprintf(out, "\n%s  and %d more\n", c.Name, more)
		}
	}
	printFailures(out, report.Checks)
	for _, n := range report.Notes {
		fmt.Fprintf(out, "\nnote: %s\n", n)
	}
	return nil
}

// printFailures prints why checks did not complete. A reason that several checks share is printed once.
func printFailures(out io.Writer, checks []verify.Check) {
	var reasons []string
	names := map[string][]string{}
	for _, c := range checks {
		if c.Failed == "" {
			continue
		}
		if names[c.Failed] == nil {
			reasons = append(reasons, c.Failed)
		}
		names[c.Failed] = append(names[c.Failed], string(c.Name))
	}
	for _, reason := range reasons {
		fmt.Fprintf(out, "\n%s  not checked, or not completely: %s\n", strings.Join(names[reason], ", "), reason)
	}
}

// outcome returns the result of a check in a few words.
func outcome(c verify.Check) string {
	var parts []string
	if c.Findings > 0 {
		parts = append(parts, fmt.Sprintf("%d FOUND", c.Findings))
	}
	if c.Failed != "" {
		parts = append(parts, "NOT CHECKED")
	}
	if c.Skipped != "" {
		parts = append(parts, "skipped: "+c.Skipped)
	}
	switch {
	case len(parts) == 0 && c.Examined == 0:
		return "nothing to check"
	case len(parts) == 0:
		return "ok"
	}
	return strings.Join(parts, ", ")
}
