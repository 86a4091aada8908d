package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/deploy/client"
	"recount/deploy/server"
	"recount/deploy/verify"
	"recount/jobs/conservation"
	"recount/schemas/problem"
	"recount/schemas/record"
)

// serve runs a server over the world until the test ends and returns its address.
func (w *world) serve(t *testing.T) string {
	t.Helper()
	url, stop := w.start(t)
	t.Cleanup(stop)
	return url
}

func (w *world) start(t *testing.T) (url string, end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s, err := server.Open(ctx, w.cfg, server.Options{Roles: server.AllRoles,
		Replace: server.Replace{Log: w.logRemoved}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s.URL(), func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// connect returns a client of a running server.
func connect(t *testing.T, url string) *ackClient {
	t.Helper()
	c, err := newAckClient(url, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// verify makes the server verify itself. It returns the number of progress lines and the status.
func (c *ackClient) verify(ctx context.Context, acks []byte) (status, steps int, report verify.Report, err error) {
	report, err = c.Verify(ctx, bytes.NewReader(acks), func(verify.Progress) { steps++ })
	return statusOf(err), steps, report, err
}

// statusOf returns the status of an answer by the error of its call.
func statusOf(err error) int {
	var p *client.Problem
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &p):
		return p.Status
	}
	return 0
}

// TestRunningServer verifies a server while it receives events and publishes.
func TestRunningServer(t *testing.T) {
	w := shared.copied(t)
	c := connect(t, w.serve(t))
	ctx, stop := context.WithCancel(t.Context())
	moved := make(chan error, 1)
	go func() {
		var err error
		for n := int64(0); err == nil && ctx.Err() == nil; n++ {
			err = errors.Join(c.events(ctx, "more", 10*n, 20), c.publish(ctx))
		}
		moved <- err
	}()
	for range 3 {
		status, steps, report, err := c.verify(t.Context(), w.acks)
		if err != nil || status != http.StatusOK || steps == 0 || !report.Clean() {
			t.Errorf("status %d, %d steps, %v: %s", status, steps, err, dump(report))
		}
	}
	stop()
	if err := <-moved; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if status, _, report, _ := c.verify(t.Context(),
		[]byte(`{"kind":"acked","run":"r","first":400,"count":1}`+"\n")); status != http.StatusOK ||
		report.Check(verify.V3).Findings != 1 {
		t.Errorf("status %d: %s", status, dump(report))
	}
	if status, _, _, _ := c.verify(t.Context(), []byte("nonsense\n")); status != http.StatusBadRequest {
		t.Errorf("an invalid acknowledgement log: status %d, want 400", status)
	}
}

// TestRunningServerFindsFaults removes an object of a running server, changes a byte of another object,
// and adds a copy. The server's own verification reports all three.
func TestRunningServerFindsFaults(t *testing.T) {
	w := shared.copied(t)
	c := connect(t, w.serve(t))
	objects := w.files(t, "data/type=hit/*/*")
	rewrite(t, objects[1], objects[1], func(raw []byte) []byte {
		raw[len(raw)/2] ^= 1
		return raw
	})
	rewrite(t, objects[0], objects[0]+".bak", func(raw []byte) []byte { return raw })
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	status, _, report, err := c.verify(t.Context(), nil)
	if err != nil || status != http.StatusOK || report.Check(verify.V2).Findings != 2 ||
		report.Check(verify.V10).Findings != 1 {
		t.Errorf("status %d, %v: %s", status, err, dump(report))
	}
}

// TestOneVerificationAtATime keeps a verification running by an unfinished body. Further requests have an
// invalid log: each is answered 400, or 409 while a verification is running.
func TestOneVerificationAtATime(t *testing.T) {
	w := shared.copied(t)
	c := connect(t, w.serve(t))
	for range 20 { // The first request may arrive while a further one is answered, and get 409 itself.
		body, finish := io.Pipe()
		first := make(chan int, 1)
		go func() {
			_, err := c.Verify(t.Context(), body, nil)
			first <- statusOf(err)
		}()
		second := http.StatusBadRequest
		for n := 0; n < 50 && second == http.StatusBadRequest; n++ {
			time.Sleep(20 * time.Millisecond)
			second, _, _, _ = c.verify(t.Context(), []byte("nonsense\n"))
		}
		finish.Close()
		if got := <-first; got == http.StatusOK && second == http.StatusConflict {
			return
		}
	}
	t.Error("no request was answered that a verification is running")
}

// metrics returns the metrics of a server as text.
func metrics(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// audit runs the job and returns what it came to.
func (c *ackClient) audit(t *testing.T) (conservation.AuditRun, error) {
	t.Helper()
	_, failure := c.RunJob(t.Context(), "audit")
	a, err := c.Audit(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return a, failure
}

// TestAudit compares the number of the world's events at each of the four tiers.
func TestAudit(t *testing.T) {
	w := shared.copied(t)
	url := w.serve(t)
	c := connect(t, url)
	var p *client.Problem
	if _, err := c.Audit(t.Context(), ""); !errors.As(err, &p) || p.Code != problem.NoAudit {
		t.Errorf("before the first audit: %v", err)
	}
	if err := c.events(t.Context(), "fresh", 0, 7); err != nil {
		t.Fatal(err)
	}
	a, err := c.audit(t)
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged, logged, landed, waiting, published int64
	for _, p := range a.Partitions {
		acknowledged = acknowledged + *p.Acknowledged
		logged = logged + p.Logged
		for _, r := range p.Ranges {
			landed = landed + r.Landed
			waiting = waiting + r.Waiting
			published = published + r.Published
		}
	}
	newest := a.Publications[len(a.Publications)-1]
	const sent = 300 + 1 + 150 + 50 + 40 + 7
	got := []int64{acknowledged, logged, landed + waiting, published, newest.Counted, newest.Duplicates,
		newest.Rejected, a.Residue}
	if want := []int64{sent, sent, sent, 501, 450, 50, 1, 0}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("acknowledged, logged, landed or waiting, published, counted, duplicates, rejected, residue: got "+
			"%v, want %v: %+v", got, want, a)
	}
	if !strings.Contains(metrics(t, url), `recount_audit_residue_events{tier="landed"} 0`) {
		t.Error("no metric of the residue")
	}
}

// TestAuditAlarm removes one event at a tier. The job's run fails, and the audit and the metrics name the
// tenant, the place and the tier. The server stays ready.
func TestAuditAlarm(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(*testing.T, *world) conservation.Residue
	}{
		"landed": {func(t *testing.T, w *world) conservation.Residue {
			chain := w.chain(t, 0)
			last := chain.Segments[len(chain.Segments)-1]
			last.Events--
			last.Tenants["default"]--
			last.Objects[0].Rows--
			last.Objects[0].Tenants["default"]--
			last.Objects[0].Buckets[0].Rows--
			w.overwrite(t, record.CommitKey(last.Epoch, 0, last.Start), last)
			return conservation.Residue{Tenant: "default", Partition: new(int), To: last.End, Tier: conservation.Landed,
				Events: 1}
		}},
		"published": {func(t *testing.T, w *world) conservation.Residue {
			newest := w.publication(t, 0)
			newest.Ledgers["hit"].Tenants["default"][0].Rows--
			w.overwrite(t, record.PublicationKey(newest.N), newest)
			return conservation.Residue{Tenant: "default", Partition: new(int), To: newest.H[0].Seq,
				Publication: newest.N, Tier: conservation.Published, Events: 1}
		}},
		"counted": {func(t *testing.T, w *world) conservation.Residue {
			v := w.version(t, 0)
			w.sql(t, fmt.Sprintf("ALTER TABLE %s UPDATE _events = _events - 1 WHERE _ver = %d AND "+
				"toUnixTimestamp64Micro(_bucket) = %d AND page = '/p1' SETTINGS mutations_sync = 2",
				w.table(), v.Ver, v.Bucket))
			return conservation.Residue{Tenant: "default", View: "hits", Tier: conservation.Counted}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := shared.copied(t)
			want := c.plant(t, w)
			url := w.serve(t)
			client := connect(t, url)
			a, err := client.audit(t)
			if err == nil || !strings.Contains(err.Error(), "GET /v1/audit says where") {
				t.Fatalf("the run: %v", err)
			}
			if !slices.ContainsFunc(a.Residues, func(r conservation.Residue) bool {
				return r.Tenant == want.Tenant && r.Tier == want.Tier && r.View == want.View &&
					(want.To == 0 || r.To == want.To && *r.Partition == *want.Partition && r.Events == want.Events) &&
					r.Do != ""
			}) {
				t.Errorf("got %+v, want %+v", a.Residues, want)
			}
			own, err := client.Audit(t.Context(), "default")
			if err != nil || own.Tenant != "default" || own.Residue == 0 {
				t.Errorf("the tenant's own audit: %+v", own)
			}
			text := metrics(t, url)
			for _, line := range []string{fmt.Sprintf(`recount_audit_residue_events{tier=%q} `, want.Tier),
				`recount_audit_tenant_residue_events{tenant="default"} `} {
				if !strings.Contains(text, line) || strings.Contains(text, line+"0") {
					t.Errorf("the metric %s does not show the residue", line)
				}
			}
			// Landing stops at a replaced record as soon as it sees it (C10), and the process is then not ready.
			if err := client.Ready(t.Context()); err != nil && want.Tier != conservation.Landed {
				t.Error(err)
			}
		})
	}
}

// TestRecheck lets ClickHouse compute the published buckets from the objects (A4). It finds an edited row,
// which no count of events shows.
func TestRecheck(t *testing.T) {
	w := shared.copied(t)
	url, end := w.start(t)
	if _, err := connect(t, url).RunJob(t.Context(), "recheck"); err != nil {
		t.Fatal(err)
	}
	end()
	v := w.version(t, 0)
	w.sql(t, fmt.Sprintf("ALTER TABLE %s UPDATE ms__sum = ms__sum + 5 WHERE _ver = %d AND "+
		"toUnixTimestamp64Micro(_bucket) = %d AND page = '/p1' SETTINGS mutations_sync = 2", w.table(), v.Ver,
		v.Bucket))
	url = w.serve(t)
	c := connect(t, url)
	if _, err := c.RunJob(t.Context(), "recheck"); err == nil ||
		!strings.Contains(err.Error(), "GET /v1/audit names them") {
		t.Fatalf("the run: %v", err)
	}
	a, err := c.audit(t)
	if err != nil || a.Residue != 0 || !a.Alarm || a.Recheck == nil || len(a.Recheck.Differences) == 0 {
		t.Fatalf("got %+v, %v", a, err)
	}
	for _, d := range a.Recheck.Differences {
		if d.View != "hits" || d.Bucket.UnixMicro() != v.Bucket || d.Version != v.Ver || d.Tenant != "default" ||
			!strings.Contains(d.Dimensions, "/p1") || d.Published == d.Computed {
			t.Errorf("difference %+v", d)
		}
	}
	if text := metrics(t, url); strings.Contains(text, "recount_recheck_differing_rows 0") ||
		!strings.Contains(text, "recount_recheck_differing_rows ") {
		t.Error("the metric does not show the difference")
	}
}

// TestAuditLostLog removes the log. Acknowledged events are lost with it, and the seal of the next start
// gives up as many.
func TestAuditLostLog(t *testing.T) {
	w := shared.copied(t)
	w.cfg.Landing.Interval = time.Hour // The events that are sent now stay in the log.
	url, end := w.start(t)
	if err := connect(t, url).events(t.Context(), "lost", 0, 60); err != nil {
		t.Fatal(err)
	}
	end()
	w.removeLog(t)
	url = w.serve(t)
	a, err := connect(t, url).audit(t)
	if err != nil {
		t.Fatal(err)
	}
	var voided, lost, landed int64
	for _, p := range a.Partitions {
		voided = voided + p.Voided
		lost = lost + p.Lost
		landed = landed + p.Logged
	}
	if sent := int64(300 + 1 + 150 + 50 + 40 + 60); voided+landed != sent || voided < 60 || lost != 0 {
		t.Errorf("%d voided, %d landed and %d lost of %d events: %+v", voided, landed, lost, sent, a)
	}
	if want := fmt.Sprintf("recount_audit_voided_events %d\n", voided); !strings.Contains(metrics(t, url), want) {
		t.Errorf("/metrics lacks %q", want)
	}
}
