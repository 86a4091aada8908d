package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"text/tabwriter"
	"time"

	"recount/deploy/client"
	"recount/deploy/server"
)

type doctorCmd struct {
	settable
	fileFlag
	serverFlag
	formatFlag
}

// Help is the second part of the command's help.
func (c *doctorCmd) Help() string {
	return "Looks at the disk, clocks, limits, ports, versions and stores that a configuration needs, and at the " +
		"running server. It writes nothing. The exit code is 1 if a line says fail."
}

var errUnfit = errors.New("something fails; each line says what to do")

// Run prints one line for each check.
func (c *doctorCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	findings := []server.Finding{{Level: server.Fine, Check: "version", Result: versionLine()}}
	cfg, err := c.load(s)
	if err != nil {
		findings = append(findings, server.Finding{Level: server.Failure, Check: "configuration", Result: err.Error(),
			Fix: "repair it; recount config reference lists the keys"})
	} else {
		findings = append(findings, server.Diagnose(ctx, cfg)...)
	}
	findings = append(findings, c.askServer(ctx)...)
	if err == nil && cfg.ObjectStore.URL != server.Embedded {
		findings = append(findings, storeClock(ctx, cfg.ObjectStore.Endpoint)...)
	}
	if c.Format == "json" {
		err = printJSON(std.out, findings)
	} else {
		w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
		for _, f := range findings {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Check, escapeControls(f.Result))
			if f.Fix != "" {
				fmt.Fprintf(w, "\t\tto do: %s\n", escapeControls(f.Fix))
			}
		}
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == server.Failure {
			return errUnfit
		}
	}
	return nil
}

// askServer asks whether a server answers, whether it is ready, and what its clock says.
func (c *doctorCmd) askServer(ctx context.Context) []server.Finding {
	skew := clockFinding(ctx, "clock of the server", c.Server+"/healthz")
	if skew == nil {
		return []server.Finding{{Level: server.Warning, Check: "server", Result: "nothing answers at " + c.Server,
			Fix: "recount up, or --server URL if it is elsewhere"}}
	}
	_, err := fetch(c.serverFlag, func(s *client.Client) (any, error) { return nil, s.Ready(ctx) })
	ready := server.Finding{Level: server.Fine, Check: "server", Result: c.Server + " is ready"}
	if err != nil {
		ready = server.Finding{Level: server.Failure, Check: "server", Result: err.Error(),
			Fix: "wait if it has just started; else see OPERATIONS.md for the reason"}
	}
	return []server.Finding{ready, c.askVersion(ctx), *skew}
}

// maxMetrics is how many bytes of the server's metrics are read.
const maxMetrics = 16 << 20

var buildInfo = regexp.MustCompile(`(?m)^` + server.BuildInfo + `\{version="([^"]*)"\} 1$`)

// askVersion compares the version of the server with that of this program.
func (c *doctorCmd) askVersion(ctx context.Context) server.Finding {
	const check = "version of the server"
	text, err := c.metrics(ctx)
	if err != nil {
		return server.Finding{Level: server.Fine, Check: check, Result: "it is not known: " + err.Error()}
	}
	found := buildInfo.FindSubmatch(text)
	switch {
	case found == nil:
		return server.Finding{Level: server.Warning, Check: check, Result: "it does not say, so it is an older one",
			Fix: "let the server and this program have one version"}
	case string(found[1]) != server.Version():
		return server.Finding{Level: server.Warning, Check: check, Result: fmt.Sprintf("%s, and this program is %s",
			found[1], server.Version()), Fix: "let the server and this program have one version"}
	}
	return server.Finding{Level: server.Fine, Check: check, Result: "recount " + string(found[1])}
}

func (c *doctorCmd) metrics(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, clockWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Server+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /metrics answers %s; it needs a key with the scope admin, and the address of "+
			"admin.listen where there is one", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
}

// storeClock compares the clock of an object store, whose requests are signed with the time.
func storeClock(ctx context.Context, endpoint string) []server.Finding {
	if endpoint == "" {
		return nil // It is that of a cloud, whose clock is right.
	}
	if u, err := url.Parse(endpoint); err != nil || u.Scheme == "" {
		endpoint = "https://" + endpoint
	}
	f := clockFinding(ctx, "clock of the store", endpoint)
	if f == nil {
		f = &server.Finding{Level: server.Warning, Check: "clock of the store",
			Result: "nothing answers at " + endpoint}
	}
	return []server.Finding{*f}
}

// How much clocks may differ. A header Date has whole seconds.
const (
	clockWait    = 3 * time.Second
	clockWarning = 3 * time.Second
	clockFailure = time.Minute
)

// clockFinding compares this machine's clock with the header Date of an answer. It is nil if nothing answers.
func clockFinding(ctx context.Context, check, address string) *server.Finding {
	ctx, cancel := context.WithTimeout(ctx, clockWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return &server.Finding{Level: server.Warning, Check: check, Result: "the answer has no header Date"}
	}
	took := time.Since(began)
	skew := date.Sub(began.Add(took / 2)).Round(time.Second)
	f := &server.Finding{Level: server.Fine, Check: check, Result: fmt.Sprintf("differs by %s", skew.Abs())}
	const fix = "let both machines follow the same time servers (chrony, systemd-timesyncd)"
	switch {
	case skew.Abs() > clockFailure+took:
		f.Level = server.Failure
		f.Fix = fix
	case skew.Abs() > clockWarning+took:
		f.Level = server.Warning
		f.Fix = fix
	}
	return f
}
