package e2e

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	queries "recount/schemas/query"
)

// goClient is a client of the server's public address, or of the admin address.
func (g *guardedServer) goClient(address, key string, change func(*client.Config)) *client.Client {
	g.t.Helper()
	cfg := client.Config{URL: address, Key: key, Transport: g.client.Transport}
	if change != nil {
		change(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

var firstOfMay = time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)

// mayViews asks for the views of the events of TestGoClient.
var mayViews = &queries.Query{View: "page_views", From: firstOfMay, To: firstOfMay.AddDate(0, 0, 1),
	GroupBy: []string{"page"}}

// TestGoClient makes every call of the Go client to a real server with keys and TLS.
func TestGoClient(t *testing.T) {
	t.Parallel()
	g := newGuardedServer(t)
	acme := g.goClient(g.url, g.acme, nil)
	ops := g.goClient(g.admin, g.ops, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	if err := errors.Join(acme.Health(ctx), acme.Ready(ctx), ops.Ready(ctx)); err != nil {
		t.Fatal(err)
	}
	var p *client.Problem
	if _, err := ops.Scores(ctx); !errors.As(err, &p) || p.Code != problem.NoScores || p.RequestID == "" {
		t.Errorf("scores before a publication: %v", err)
	}
	sent := g.sendEncoded(ctx)
	g.readEvents(ctx, acme, sent)
	g.readDeadLetters(ctx, acme)
	g.operate(ctx, acme, ops)
	g.stop(t)
}

// sendEncoded sends events in every encoding through batchers, and returns how many were accepted
// of each page.
func (g *guardedServer) sendEncoded(ctx context.Context) map[string]int64 {
	g.t.Helper()
	const each = 2500
	sent := map[string]int64{}
	for _, encoding := range []client.Encoding{client.Identity, client.Gzip, client.Zstd} {
		c := g.goClient(g.url, g.acme, func(cfg *client.Config) { cfg.Encoding = encoding })
		var accepted, rejected atomic.Int64
		b := c.NewBatcher(client.BatcherConfig{Done: func(o client.Outcome) {
			switch {
			case o.Err != nil:
				g.t.Errorf("%s: %v", encoding, o.Err)
			case o.Rejection != nil:
				rejected.Add(1)
			default:
				accepted.Add(1)
			}
		}})
		page := "/" + string(encoding)
		for i := range each {
			e := client.Event{Source: string(encoding), Type: "page.viewed", Time: firstOfMay.Add(time.Hour),
				Data: map[string]any{"page": page, "user": fmt.Sprint("u", i%10)}}
			if i%100 == 0 {
				e.Type = "page.unknown"
			}
			if err := b.Add(ctx, e); err != nil {
				g.t.Fatal(err)
			}
		}
		if err := b.Close(ctx); err != nil || accepted.Load() != each-each/100 || rejected.Load() != each/100 {
			g.t.Errorf("%q: %d accepted, %d rejected, %v", encoding, accepted.Load(), rejected.Load(), err)
		}
		sent[page] = accepted.Load()
	}
	return sent
}

// readEvents asks for what was sent in every format, and for the view.
func (g *guardedServer) readEvents(ctx context.Context, c *client.Client, sent map[string]int64) {
	g.t.Helper()
	err := eventually(ctx, func() error {
		var rows []struct {
			Page         string
			Views, Users int64
		}
		accuracy, err := c.Query(ctx, mayViews, &rows)
		if err != nil || len(rows) != len(sent) || !accuracy.Complete {
			return fmt.Errorf("%+v, %+v: %w", rows, accuracy, err)
		}
		for _, r := range rows {
			if r.Views != sent[r.Page] || r.Users != 10 {
				return fmt.Errorf("%+v, want %v", rows, sent)
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	table, err := c.QueryAs(ctx, mayViews, client.CSV)
	if err != nil {
		g.t.Fatal(err)
	}
	rows, err := csv.NewReader(table).ReadAll()
	if err := errors.Join(err, table.Close()); err != nil || len(rows) != 1+len(sent) || !table.Accuracy.Complete {
		g.t.Errorf("CSV: %v, %+v, %v", rows, table.Accuracy, err)
	}
	day, err := url.Parse(dayQuery)
	if err != nil {
		g.t.Fatal(err)
	}
	arrow, err := c.QueryParameters(ctx, day.Query(), client.Arrow)
	if err != nil {
		g.t.Fatal(err)
	}
	raw, err := io.ReadAll(arrow)
	if err := errors.Join(err, arrow.Close()); err != nil || !strings.Contains(string(raw), "/zstd") {
		g.t.Errorf("Arrow: %d bytes, %v", len(raw), err)
	}
	views, err := c.Views(ctx)
	if err != nil || len(views) != 1 {
		g.t.Fatalf("%+v, %v", views, err)
	}
	if view, err := c.View(ctx, "page_views"); err != nil || view.Digest != views[0].Digest {
		g.t.Errorf("%+v, %v", view, err)
	}
}

// readDeadLetters lists the rejected events by pages, shows one and replays it.
func (g *guardedServer) readDeadLetters(ctx context.Context, c *client.Client) {
	g.t.Helper()
	f := deadletter.Filter{Code: string(problem.UnknownType), From: time.Now().Add(-time.Hour), Limit: 30}
	var names []string
	err := eventually(ctx, func() error {
		names = nil
		f.Cursor = ""
		for more := true; more; more = f.Cursor != "" {
			page, err := c.DeadLetters(ctx, f)
			if err != nil {
				return err
			}
			for _, l := range page.Letters {
				names = append(names, l.Name)
			}
			f.Cursor = page.Cursor
		}
		if len(names) != 75 {
			return fmt.Errorf("%d dead letters, want 75", len(names))
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if l, err := c.DeadLetter(ctx, names[0]); err != nil || l.Raw == nil || !strings.Contains(*l.Raw, "page.unknown") {
		g.t.Errorf("%+v, %v", l, err)
	}
	r, err := c.ReplayDeadLetters(ctx, deadletter.Filter{Name: names[0]}, true)
	if err != nil || r.Replayed != 1 || len(r.Failed) != 1 {
		g.t.Errorf("%+v, %v", r, err)
	}
}

// operate publishes, and reads what operators read.
func (g *guardedServer) operate(ctx context.Context, acme, ops *client.Client) {
	g.t.Helper()
	err := eventually(ctx, func() error {
		if run, err := ops.RunJob(ctx, "recompute"); err != nil || run.Job != "recompute" {
			return fmt.Errorf("%+v: %w", run, err)
		}
		var rows []map[string]any
		if a, err := acme.Query(ctx, mayViews, &rows); err != nil || !a.Exact || len(rows) != 3 {
			return fmt.Errorf("%+v, %+v: %w", rows, a, err)
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	var p *client.Problem
	if _, err := ops.RunJob(ctx, "nothing"); !errors.As(err, &p) || p.Code != problem.UnknownJob {
		g.t.Error(err)
	}
	jobs, err := ops.Jobs(ctx)
	if err != nil || len(jobs) < 3 {
		g.t.Errorf("%+v, %v", jobs, err)
	}
	publications, err := ops.Publications(ctx)
	if err != nil || len(publications) == 0 {
		g.t.Fatalf("%+v, %v", publications, err)
	}
	n := publications[0].N
	if pinned, err := ops.PinPublication(ctx, n); err != nil || !pinned.Pinned {
		g.t.Errorf("%+v, %v", pinned, err)
	}
	one, err := ops.Publication(ctx, n, true)
	if err != nil || !one.Pinned || len(one.Views["page_views"].List) == 0 {
		g.t.Errorf("%+v, %v", one, err)
	}
	if _, err := ops.RunJob(ctx, "audit"); err != nil {
		g.t.Error(err)
	}
	if a, err := ops.Audit(ctx, "acme"); err != nil || a.Tenant != "acme" || a.Residue != 0 || a.Alarm {
		g.t.Errorf("%+v, %v", a, err)
	}
	if _, err := acme.Audit(ctx, "rival"); !errors.As(err, &p) || p.Code != problem.Forbidden {
		g.t.Error(err)
	}
	steps := 0
	report, err := ops.Verify(ctx, nil, func(openapi.VerifyProgress) { steps++ })
	if err != nil || !report.Clean() || steps == 0 {
		g.t.Errorf("%d steps, %+v, %v", steps, report, err)
	}
}
