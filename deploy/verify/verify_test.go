package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/client/acklog"
	"recount/deploy/embedded/chdb"
	"recount/deploy/server"
	"recount/deploy/verify"
	"recount/jobs"
	"recount/schemas/catalog"
	"recount/schemas/query"
)

// world is a data_dir that a real server has written, and the acknowledgement log of its client. It has
// duplicates, late events, several publications, and events that have not landed. Each case plants its
// fault in a copy.
type world struct {
	cfg  server.Config
	dir  string
	acks []byte

	logRemoved bool // the server may go on with a new log
}

var shared *world // made by TestMain; tests only read it

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "verify-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		shared, err = build(ctx, dir)
		var missing *chdb.ErrNoLibrary
		if err != nil && !errors.As(err, &missing) {
			fmt.Fprintln(os.Stderr, "build the data_dir:", err)
			return 1
		}
		return m.Run()
	}())
}

func config(dir string) server.Config {
	cfg := server.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = dir
	cfg.Log.Partitions = 2
	cfg.Landing.Interval = 100 * time.Millisecond
	cfg.Ingest.Values = 4 // The fifth page overflows.
	cfg.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "page", Type: catalog.String},
		{Name: "user", Type: catalog.String}, {Name: "ms", Type: catalog.Int64},
		{Name: "cost", Type: catalog.Float64}}}}
	cfg.Views = map[string]*catalog.View{"hits": {Event: "hit", Dimensions: []string{"page"},
		Measures: []catalog.Measure{
			{Name: "cost", Kind: catalog.Sum, Field: "cost"}, {Name: "mean", Kind: catalog.Avg, Field: "cost"},
			{Name: "hits", Kind: catalog.Count}, {Name: "ms", Kind: catalog.Sum, Field: "ms"},
			{Name: "users", Kind: catalog.Distinct, Field: "user"},
			{Name: "prices", Kind: catalog.Quantile, Field: "cost"},
			{Name: "waits", Kind: catalog.Quantile, Field: "ms"},
			{Name: "worst", Kind: catalog.Max, Field: "ms"}}}}
	cfg.Jobs = jobs.Config{} // Jobs run on request only.
	return cfg
}

// build runs a server over dir and a client that keeps an acknowledgement log.
func build(ctx context.Context, dir string) (*world, error) {
	w := &world{cfg: config(filepath.Join(dir, "data")), dir: dir}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := server.Open(ctx, w.cfg, server.Options{Roles: server.AllRoles})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var file bytes.Buffer
	c, err := newAckClient(s.URL(), &file)
	if err == nil {
		err = errors.Join(c.run(ctx), c.log.Flush())
	}
	stop()
	w.acks = file.Bytes()
	return w, errors.Join(err, <-ended)
}

// ackClient sends events and records the answers.
type ackClient struct {
	*client.Client
	log *acklog.Writer
}

func newAckClient(url string, log io.Writer) (*ackClient, error) {
	c, err := client.New(client.Config{URL: url})
	return &ackClient{c, acklog.NewWriter(log)}, err
}

const start = "2024-01-01T10:00:00Z"

func (c *ackClient) run(ctx context.Context) error {
	return errors.Join(
		c.events(ctx, "r", 0, 300), c.refused(ctx), c.publish(ctx), c.ask(ctx),
		c.events(ctx, "r", 250, 150), // 50 duplicates of landed events
		c.publish(ctx), c.ask(ctx),
		c.events(ctx, "late", 0, 50), c.publish(ctx), c.ask(ctx),
		c.events(ctx, "tail", 0, 40), c.ask(ctx))
}

// events sends count events, from number first on. Their times are in three buckets.
func (c *ackClient) events(ctx context.Context, run string, first, count int64) error {
	var body bytes.Buffer
	at, _ := time.Parse(time.RFC3339, start)
	for i := first; i < first+count; i++ {
		fmt.Fprintf(&body, `{"specversion":"1.0","id":%q,"source":"test","type":"hit","time":%q,`+
			`"data":{"page":"/p%d","user":"u%d","ms":%d,"cost":%g}}`+"\n",
			acklog.ID(run, i), at.Add(time.Duration(i%3)*time.Hour+time.Duration(i)*time.Second).Format(time.RFC3339),
			i%5, i%37, i, costs(i))
	}
	answer, err := c.SendLines(ctx, body.Bytes())
	if err != nil || len(answer.Rejected) > 0 {
		return fmt.Errorf("send: %w %v", err, answer.Rejected)
	}
	return c.log.Write(acklog.Line{Kind: acklog.Acked, Run: run, First: first, Count: count, Receipt: answer.Receipt})
}

// costs returns numbers that float64 would add to another sum in another order. Those of page 1 are so large
// that their sum is beyond the range of float64.
func costs(i int64) float64 {
	if i%5 == 1 {
		return 1e308
	}
	return []float64{1e16, 1, -1e16, 0.1, 12.34, 1e-300, -0.07}[i%7]
}

// refused sends an event that is refused for good and kept as a dead letter.
func (c *ackClient) refused(ctx context.Context) error {
	answer, err := c.SendLines(ctx,
		[]byte(`{"specversion":"1.0","id":"bad-0","source":"test","type":"miss","time":"`+start+`"}`+"\n"))
	if err != nil || len(answer.Rejected) != 1 {
		return fmt.Errorf("send an event of an unknown type: %w, answer %+v", err, answer)
	}
	return c.log.Write(acklog.Line{Kind: acklog.Rejected, Run: "bad", Count: 1})
}

// publish waits until all sent events have landed and are published.
func (c *ackClient) publish(ctx context.Context) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := c.RunJob(ctx, "recompute"); err != nil {
			return err
		}
		var rows []map[string]any
		accuracy, err := c.Query(ctx, parseQuery(question), &rows)
		if err != nil || accuracy.PendingEvents == 0 {
			return err
		}
	}
	return errors.New("events stay pending")
}

const question = `{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z",` +
	`"granularity":"1h","group_by":["page"]}`

// filtered is a query whose answer leaves out the values that overflowed, and says so.
const filtered = `{"view":"hits","from":"2024-01-01T00:00:00Z","to":"2024-01-02T00:00:00Z",` +
	`"where":[{"dimension":"page","op":"in","values":["/p1","/p4"]}]}`

func (c *ackClient) ask(ctx context.Context) error {
	for _, q := range []string{filtered, question} {
		answer, err := c.QueryAs(ctx, parseQuery(q), client.JSON)
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(answer)
		if err := errors.Join(err, answer.Close()); err != nil {
			return err
		}
		if !bytes.Contains(raw, []byte(`"overflow":{`)) {
			return fmt.Errorf("the answer does not say that values overflowed: %s", raw)
		}
		if err := c.log.Write(acklog.Line{Kind: acklog.Answer, Query: json.RawMessage(q),
			Response: raw}); err != nil {
			return err
		}
	}
	return nil
}

// parseQuery reads a query of a test.
func parseQuery(text string) *query.Query {
	q, err := query.Parse([]byte(text), time.Time{})
	if err != nil {
		panic(err)
	}
	return q
}

// copied returns the world in a folder of its own.
func (w *world) copied(t *testing.T) *world {
	t.Helper()
	if w == nil {
		t.Skip("the ClickHouse library is not installed: make setup")
	}
	out := *w
	out.dir = t.TempDir()
	out.cfg.DataDir = filepath.Join(out.dir, "data")
	if err := errors.Join(os.CopyFS(out.cfg.DataDir, os.DirFS(w.cfg.DataDir)),
		copyTimes(w.cfg.DataDir, out.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	return &out
}

// copyTimes gives the files of a copy the times of the original ones, as the copy of a backup has them.
func copyTimes(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(to, strings.TrimPrefix(path, from)), time.Time{}, info.ModTime())
	})
}

func (w *world) verify(t *testing.T) verify.Report {
	t.Helper()
	report, err := server.Verify(t.Context(), w.cfg,
		server.VerifyOptions{Options: verify.Options{AckLog: bytes.NewReader(w.acks)}, Scratch: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestFewEventsAtOnce finds copies among a few events at a time, as if memory had no room for all. Right
// answers over duplicates give no finding, and a wrong answer gives one.
func TestFewEventsAtOnce(t *testing.T) {
	w := shared.copied(t)
	verified := func() verify.Report {
		t.Helper()
		report, err := server.Verify(t.Context(), w.cfg,
			server.VerifyOptions{Options: verify.Options{AckLog: bytes.NewReader(w.acks), EventsAtOnce: 37},
				Scratch: w.dir})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := verified(); !report.Clean() || report.Check(verify.V7).Examined == 0 {
		t.Fatalf("not clean: %s", dump(report))
	}
	w.answered(t, `"hits":`, `"hits":1`)
	if report := verified(); report.Check(verify.V7).Findings != 1 {
		t.Errorf("the wrong answer was not found: %s", dump(report))
	}
}

func dump(r verify.Report) string {
	raw, _ := json.MarshalIndent(r, "", " ")
	return string(raw)
}

// TestClean verifies a world without faults: every check examines something and finds nothing, and no
// file is changed.
func TestClean(t *testing.T) {
	w := shared.copied(t)
	before := fingerprint(t, w.cfg.DataDir)
	report := w.verify(t)
	if !report.Clean() {
		t.Fatalf("not clean: %s", dump(report))
	}
	for _, c := range report.Checks {
		if c.Examined == 0 || c.Skipped != "" {
			t.Errorf("%s examined nothing: %+v", c.Name, c)
		}
	}
	if after := fingerprint(t, w.cfg.DataDir); after != before {
		t.Errorf("the data_dir was changed:\nbefore\n%s\nafter\n%s", before, after)
	}
}

// fingerprint names every file with its size, time and content.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s %d %s", path, info.Mode(), info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sum(raw))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sum(raw []byte) [32]byte { return sha256.Sum256(raw) }
