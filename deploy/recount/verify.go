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
	Server string `help:"Address of a running server, which then verifies itself; without it the stopped server's data is read."`
	keyFlag
	AckLog  string `name:"ack-log" type:"existingfile" help:"What a load client kept of the server's acknowledgements and answers."`
	Scratch string `type:"existingdir" help:"Folder for temporary copies of the log and of ClickHouse."`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

// Help is what --help says beside the flags.
func (*verifyCmd) Help() string {
	var b strings.Builder
	b.WriteString("Every finding says what is wrong, where, and what to do. Nothing is changed: a stopped server's " +
		"data is read, the log and " +
		"ClickHouse from copies in --scratch; a running server (--server, a key with the scope admin) looks at " +
		"itself.\n\n")
	for _, n := range verify.Names {
		fmt.Fprintf(&b, "  %-4s%s\n", n, verify.Title(n))
	}
	b.WriteString("\nV3, V4 and V7 need --ack-log, which recount load writes. Exit codes: 0 all is as promised; 1 " +
		"it is not, or something could not be checked; 2 usage.")
	return b.String()
}

// errNotClean ends the command with a failure after the report has said why.
var errNotClean = errors.New("what is stored is not as promised, or could not be checked to its end")

// Run verifies and prints what it found.
func (c *verifyCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	if c.Server != "" && (c.ConfigFile != "" || c.Scratch != "") {
		return usageError{errors.New("--server verifies a running server, --config a stopped one: give one of them")}
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
	tell := func(p verify.Progress) { bar.Set(p.Done, p.Total, p.Step) }
	report, err := c.verify(ctx, s, acks, tell)
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
	tell func(verify.Progress)) (verify.Report, error) {
	if c.Server != "" {
		return c.remote(ctx, acks, tell)
	}
	cfg, err := c.load(s)
	if err != nil {
		return verify.Report{}, err
	}
	return server.Verify(ctx, cfg,
		server.VerifyOptions{Options: verify.Options{AckLog: acks, Progress: tell}, Scratch: c.Scratch})
}

// remote has a running server verify itself.
func (c *verifyCmd) remote(ctx context.Context, acks io.Reader, tell func(verify.Progress)) (verify.Report, error) {
	return fetch(serverFlag{c.Server, c.keyFlag},
		func(server *client.Client) (verify.Report, error) { return server.Verify(ctx, acks, tell) })
}

func (c *verifyCmd) print(out io.Writer, report verify.Report) error {
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return printReport(out, report)
}

// printReport prints a line a check, then every finding with its place and what to do.
func printReport(out io.Writer, report verify.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CHECK\tOUTCOME\tLOOKED AT\tMEANING")
	for _, c := range report.Checks {
		looked := "-"
		if c.Unit != "" {
			looked = fmt.Sprintf("%d %s", c.Examined, c.Unit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, outcome(c), looked, c.Title)
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

// printFailures prints why checks did not come to their end: a reason of several once.
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
		fmt.Fprintf(out, "\n%s  not checked, or not to its end: %s\n", strings.Join(names[reason], ", "), reason)
	}
}

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
