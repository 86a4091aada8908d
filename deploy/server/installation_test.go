package server

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/batch/landing"
	"recount/deploy/embedded/natsserver"
	"recount/deploy/embedded/s3server"
	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// countedConfig is a configuration with one type and two views, that of testdata/installation0.tar.gz.
func countedConfig(t *testing.T) Config {
	t.Helper()
	cfg := bareConfig(t)
	cfg.Log.Partitions = 2
	cfg.Landing.Interval = time.Second
	cfg.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "page", Type: catalog.String},
		{Name: "user", Type: catalog.String}, {Name: "price", Type: catalog.Float64},
		{Name: "ms", Type: catalog.Int64}}}}
	count := catalog.Measure{Name: "hits", Kind: catalog.Count}
	cfg.Views = map[string]*catalog.View{
		"minutes": {Event: "hit", Cell: time.Minute, Measures: []catalog.Measure{count}},
		"hits": {Event: "hit", Cell: time.Minute, Dimensions: []string{"page"}, Measures: []catalog.Measure{count,
			{Name: "users", Kind: catalog.Distinct, Field: "user"}, {Name: "spent", Kind: catalog.Sum, Field: "price"},
			{Name: "slow", Kind: catalog.Max, Field: "ms"}}},
	}
	return cfg
}

// postSource sends one event of a source.
func postSource(t *testing.T, s *Server, source, id string) {
	t.Helper()
	post(t, s, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":"hit","time":"2024-01-01T10:00:00Z",`+
		`"data":{"page":"/"}}`, id, source))
}

func post(t *testing.T, s *Server, lines string) {
	t.Helper()
	resp, err := http.Post(s.URL()+"/v1/events", "application/x-ndjson", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("events were answered with %s", resp.Status)
	}
}

// TestIdentity sends one id from five sources. New data counts five events, and data that began with the rule
// tenant,id counts one, also after a restart, a recompute and a verification (I1). It is not parallel: a process
// has one embedded ClickHouse.
func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		archive  string
		identity eventbatch.Identity
		before   int
		added    int
	}{{"", eventbatch.TenantSourceID, 0, 5}, {"testdata/installation0.tar.gz", eventbatch.TenantID, 53, 1}} {
		cfg := countedConfig(t)
		if c.archive != "" {
			unpack(t, c.archive, cfg.DataDir)
			cfg.DataDir = filepath.Join(cfg.DataDir, "data")
		}
		for range 2 {
			s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
			if err != nil {
				t.Fatal(err)
			}
			if s.installation.Identity != c.identity {
				t.Errorf("the rule is %q, want %q", s.installation.Identity, c.identity)
			}
			stop := run(t, s)
			for i := range 5 {
				postSource(t, s, fmt.Sprintf("shop%d", i), "same")
				postSource(t, s, fmt.Sprintf("shop%d", i), "same")
			}
			publishAll(t, s, c.before+c.added)
			stop()
		}
		report, err := Verify(t.Context(), cfg, VerifyOptions{})
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("rule %s: verify: %+v, %v", c.identity, report.Findings, err)
		}
	}
}

// TestConflicts sends copies that equal the first event, and copies that do not. All are dropped, and only the
// latter are conflicts: in the publication, in /metrics and in the audit. It is not parallel: a process has one
// embedded ClickHouse.
func TestConflicts(t *testing.T) {
	s, err := Open(t.Context(), countedConfig(t), Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	const line = `{"specversion":"1.0","id":"1","source":"shop","type":"hit","time":"2024-01-01T10:00:00Z",` +
		`"data":{"page":"/"}}`
	for _, copied := range []string{line, line, strings.Replace(line, `"/"`, `"/other"`, 1),
		strings.Replace(line, "10:00:00Z", "10:30:00Z", 1)} {
		post(t, s, copied)
	}
	publishAll(t, s, 1)
	_, body := ask(t, fmt.Sprintf("%s/v1/publications/%d", s.URL(), s.publisher.State().N))
	want := `"tenants":{"default":{"events":4,"duplicates":3,"conflicts":2}}`
	if got := strings.Join(strings.Fields(body), ""); !strings.Contains(got, want) {
		t.Errorf("the publication is %s, want %s", got, want)
	}
	if _, body := ask(t, s.URL()+"/metrics"); !strings.Contains(body,
		`recount_batch_conflicts{tenant="default",type="hit"} 2`) {
		t.Error("/metrics lacks the conflicts")
	}
	if _, err := s.auditor.Job("").Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body = ask(t, s.URL()+"/v1/audit")
	if got := strings.Join(strings.Fields(body), ""); !strings.Contains(got, `"duplicates":3,"conflicts":2`) {
		t.Errorf("the audit is %s", got)
	}
}

// publishHits runs a server, sends events with the ids from first up to, but not including, end, and waits until
// it counts that many hits in total.
func publishHits(t *testing.T, cfg Config, first, end, hits int) {
	t.Helper()
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	defer stop()
	postHits(t, s, first, end)
	publishAll(t, s, hits)
}

func postHits(t *testing.T, s *Server, first, end int) {
	t.Helper()
	var lines strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&lines,
			`{"specversion":"1.0","id":"%d","source":"shop","type":"hit","time":"2024-01-01T10:00:00Z",`+
				`"data":{"page":"/"}}`+"\n", i)
	}
	post(t, s, lines.String())
}

// publishAll recomputes until the server counts that many hits in both modes.
func publishAll(t *testing.T, s *Server, hits int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, mode := range []string{"exact", "merged"} {
		for body := ""; !strings.Contains(body, fmt.Sprintf(`"hits":%d}`, hits)); {
			if time.Now().After(deadline) {
				t.Fatalf("mode %s: got %s, want %d hits", mode, body, hits)
			}
			if _, err := s.publisher.Recompute(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			body = askHits(t, s, mode)
		}
	}
}

// askHits asks the view minutes for all events of 2024.
func askHits(t *testing.T, s *Server, mode string) string {
	t.Helper()
	resp, err := http.Post(s.URL()+"/v1/query", "application/json", strings.NewReader(fmt.Sprintf(
		`{"view":"minutes","measures":["hits"],"from":"2024-01-01T00:00:00Z","to":"2025-01-01T00:00:00Z","mode":%q}`,
		mode)))
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

// replaceDir makes a folder the copy of another one, or removes it.
func replaceDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if from == "" {
		return
	}
	if err := copyTree(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
}

// TestForeignParts pairs a data_dir with the log, lake, ClickHouse and snapshots of another one, and with
// none. It is not parallel: a process has one embedded ClickHouse.
func TestForeignParts(t *testing.T) {
	mine := countedConfig(t)
	publishHits(t, mine, 0, 30, 30)
	other := countedConfig(t)
	publishHits(t, other, 100, 130, 30)
	for _, c := range []struct {
		part, from string
		replace    bool
		refusal    string // empty if the server must start
	}{
		{"log", other.DataDir, false, "belongs to installation"},
		{"log", other.DataDir, true, "belongs to installation"},
		{"log", "", false, "start once with --replace-log"},
		{"log", "", true, ""},
		{"s3", other.DataDir, false, "belongs to installation"},
		{"s3", "", false, "Is object_store.url the right bucket"},
		{"clickhouse", other.DataDir, false, "check clickhouse.url"},
		{"clickhouse", "", false, ""},
		{"speed", other.DataDir, false, "put the right folder back"},
		{"speed", "", false, ""},
		{"s3/objects/recount/installation.json", "", false, "restore that object"},
	} {
		name := fmt.Sprintf("%s from %q, replaced %t", c.part, c.from, c.replace)
		cfg := mine
		cfg.DataDir = t.TempDir()
		replaceDir(t, cfg.DataDir, mine.DataDir)
		if c.from != "" {
			c.from = filepath.Join(c.from, c.part)
		}
		replaceDir(t, filepath.Join(cfg.DataDir, c.part), c.from)
		before := namesOf(t, cfg.DataDir)
		s, err := Open(t.Context(), cfg, Options{Roles: AllRoles, Replace: Replace{Log: c.replace}})
		if c.refusal != "" {
			if d := cmp.Diff(before, namesOf(t, cfg.DataDir)); d != "" {
				t.Errorf("%s: the refused start has left or removed: %s", name, d)
			}
			if err == nil || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("%s: got %v, want an error that says %q", name, err, c.refusal)
			}
			if err == nil {
				err = s.close()
				t.Log(err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stop := run(t, s)
		postHits(t, s, 30, 40)
		publishAll(t, s, 40)
		stop()
		publishHits(t, cfg, 40, 41, 41) // No flag is needed again.
	}
}

// TestForeignSnapshot copies a snapshot of another installation, which ends after the log, into the folder of the
// real-time views. It must not look as if the log had lost its end (L5). It is not parallel: a process has one embedded
// ClickHouse.
func TestForeignSnapshot(t *testing.T) {
	mine := countedConfig(t)
	publishHits(t, mine, 0, 30, 30)
	other := countedConfig(t)
	s, err := Open(t.Context(), other, Options{Roles: AllRoles})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	for i := range 20 {
		postHits(t, s, 10*i, 10*i+10)
	}
	publishAll(t, s, 200)
	stop()
	foreign, err := filepath.Glob(filepath.Join(other.DataDir, "speed", "p*-*"))
	if err != nil || len(foreign) == 0 {
		t.Fatal(foreign, err)
	}
	for _, path := range foreign {
		raw, err := os.ReadFile(path)
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".snap") {
			name = strings.Replace(name, "-0", "-1", 1) // Its number is higher than those of mine.
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(mine.DataDir, "speed", name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open(t.Context(), mine, Options{Roles: AllRoles}); err != nil {
		t.Fatal(err)
	}
	defer run(t, s)()
	for _, chain := range s.chains {
		if chain.Head.Epoch != 1 {
			t.Errorf("partition %d was sealed for the snapshot of another installation", chain.Partition)
		}
	}
	publishAll(t, s, 30)
}

// TestHoleOfAnotherLog gives messages up while the log is missing. Nothing may be recorded: the log that belongs here
// has the messages. It is not parallel: a process has one embedded ClickHouse.
func TestHoleOfAnotherLog(t *testing.T) {
	cfg := countedConfig(t)
	publishHits(t, cfg, 0, 20, 20)
	replaceDir(t, filepath.Join(cfg.DataDir, "log"), "")
	err := GiveUp(t.Context(), cfg, HoleOptions{Partition: 0, Hole: landing.Hole{From: 2, To: 3, Reason: "a test"}})
	if !errors.Is(err, errForeign) {
		t.Errorf("got %v, want errForeign", err)
	}
}

// startStore runs an object store until the test ends.
func startStore(t *testing.T) *s3server.Server {
	t.Helper()
	store, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Start(); err != nil {
		t.Fatal(err)
	}
	return store
}

// overStore is countedConfig over an object store that other servers may use too.
func overStore(t *testing.T, store *s3server.Server, prefix string) Config {
	t.Helper()
	c := countedConfig(t)
	keys := store.Credentials()
	c.ObjectStore.URL = ""
	c.ObjectStore.Endpoint = store.Endpoint()
	c.ObjectStore.Bucket = "shared"
	c.ObjectStore.Prefix = prefix
	c.ObjectStore.PathStyle = true
	c.ObjectStore.CreateBucket = true
	c.ObjectStore.AccessKey = keys.AccessKey
	c.ObjectStore.SecretKey = keys.SecretKey
	return c
}

// TestSplitBrain starts a second server with a log of its own over the object store of the first. It must not
// accept anything. When it replaces the log, the first one ends. The test is not parallel: a process has one
// embedded ClickHouse, so the servers run one after the other.
func TestSplitBrain(t *testing.T) {
	store := startStore(t)
	cfg := func() Config { return overStore(t, store, "") }
	first := cfg()
	publishHits(t, first, 0, 20, 20)
	second := cfg()
	_, err := Open(t.Context(), second, Options{Roles: AllRoles})
	if !errors.Is(err, errForeign) || !strings.Contains(err.Error(), "one object store has one log") {
		t.Fatalf("a second log: got %v, want errForeign", err)
	}
	s, err := Open(t.Context(), second, Options{Roles: AllRoles, Replace: Replace{Log: true}})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	postHits(t, s, 20, 30)
	publishAll(t, s, 30)
	stop()
	for _, replace := range []bool{false, true} {
		_, err := Open(t.Context(), first, Options{Roles: AllRoles, Replace: Replace{Log: replace}})
		if !errors.Is(err, errForeign) || !strings.Contains(err.Error(), "this log was replaced") {
			t.Errorf("the log that was replaced: got %v, want errForeign", err)
		}
	}
}

// TestOverlap starts servers whose prefixes lie below and above that of another installation. It is not parallel: a
// process has one embedded ClickHouse.
func TestOverlap(t *testing.T) {
	store := startStore(t)
	open := func(prefix string) error {
		c := overStore(t, store, prefix)
		s, err := Open(t.Context(), c, Options{Roles: AllRoles})
		if err == nil {
			err = s.close()
		}
		return err
	}
	if err := open("a/data"); err != nil {
		t.Fatal(err)
	}
	if err := open("a"); !errors.Is(err, errForeign) || !strings.Contains(err.Error(), "it holds data/") {
		t.Errorf("a prefix above another one: got %v, want errForeign", err)
	}
	if err := open("a/data/deeper/still"); !errors.Is(err, errForeign) || !strings.Contains(err.Error(), `"a/data/"`) {
		t.Errorf("a prefix below another one: got %v, want errForeign", err)
	}
	if err := open("a/dat"); err != nil {
		t.Errorf("a prefix beside another one: %v", err)
	}
}

// TestOlderData starts on a data_dir that was written by the last program that knew no installations, whose
// log holds events that have not landed. It is not parallel: a process has one embedded ClickHouse.
func TestOlderData(t *testing.T) {
	cfg := countedConfig(t)
	unpack(t, "testdata/installation0.tar.gz", cfg.DataDir)
	cfg.DataDir = filepath.Join(cfg.DataDir, "data")
	for i := range 2 {
		s, err := Open(t.Context(), cfg, Options{Roles: AllRoles, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.installation; !got.Adopted || got.Identity != eventbatch.TenantID || got.Partitions != 2 {
			t.Errorf("got the installation %+v", got)
		}
		stop := run(t, s)
		publishAll(t, s, 53+i)
		postHits(t, s, 1000+i, 1001+i)
		publishAll(t, s, 54+i)
		stop()
	}
	older := countedConfig(t)
	unpack(t, "testdata/installation0.tar.gz", older.DataDir)
	older.DataDir = filepath.Join(older.DataDir, "data")
	replaceDir(t, filepath.Join(older.DataDir, "log"), "")
	if _, err := Open(t.Context(), older, Options{Roles: AllRoles}); !errors.Is(err, errForeign) {
		t.Errorf("older data without its log: got %v, want errForeign", err)
	}
	s, err := Open(t.Context(), older, Options{Roles: AllRoles, Replace: Replace{Log: true}})
	if err != nil {
		t.Fatalf("older data, whose log is lost: %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	replaceDir(t, filepath.Join(cfg.DataDir, "s3"), "")
	if _, err := Open(t.Context(), cfg, Options{Roles: AllRoles}); !errors.Is(err, errForeign) {
		t.Errorf("without its object store: got %v, want errForeign", err)
	}
}

// TestOlderProgramsAreRefused reads what an older program finds in the object store of this one: a record that it
// does not know how to read. Both the check of records and its message are in every version that has installations.
func TestOlderProgramsAreRefused(t *testing.T) {
	t.Parallel()
	raw, err := record.CheckDigest(tombstone().Body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = record.DecodeInstallation(raw)
	const want = `it requires "objects as plain files", which this program does not know; use the version of recount`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestAdoptsItsOwnLogOnly starts on older data whose log was exchanged for another old one: its partitions are
// swapped, so every message is a valid one in the wrong place. The mark in the folder of the real-time views tells, and
// without that folder the messages that have landed do. It is not parallel: a process has one embedded ClickHouse.
func TestAdoptsItsOwnLogOnly(t *testing.T) {
	for _, withMarks := range []bool{true, false} {
		cfg := countedConfig(t)
		unpack(t, "testdata/installation0.tar.gz", cfg.DataDir)
		cfg.DataDir = filepath.Join(cfg.DataDir, "data")
		swapPartitions(t, filepath.Join(cfg.DataDir, "log"))
		want := "remembers another message"
		if !withMarks {
			replaceDir(t, filepath.Join(cfg.DataDir, "speed"), "")
			want = "than those that have landed"
		}
		_, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
		if !errors.Is(err, errForeign) || !strings.Contains(err.Error(), want) {
			t.Errorf("with marks %t: got %v, want errForeign that says %q", withMarks, err, want)
		}
	}
}

// swapPartitions exchanges the messages of partitions 0 and 1 of a log. Each partition keeps its bounds.
func swapPartitions(t *testing.T, dir string) {
	t.Helper()
	open := func(dir string) (*eventlog.Log, func()) {
		nc := natsserver.DefaultConfig(dir)
		nc.MaxStore = 1 << 40
		server, err := natsserver.Open(t.Context(), nc)
		if err != nil {
			t.Fatal(err)
		}
		lc := eventlog.DefaultConfig(server)
		lc.Partitions = 2
		log, err := eventlog.Open(t.Context(), lc)
		if err != nil {
			t.Fatal(err)
		}
		return log, func() {
			log.Close()
			server.Close()
		}
	}
	from, closeFrom := open(dir)
	swapped := filepath.Join(t.TempDir(), "log")
	to, closeTo := open(swapped)
	for p := range 2 {
		first, next, err := from.Bounds(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Advance(t.Context(), p, first); err != nil {
			t.Fatal(err)
		}
		otherFirst, otherNext, err := from.Bounds(t.Context(), 1-p)
		if err != nil {
			t.Fatal(err)
		}
		for seq := first; seq < next; seq++ {
			m, err := from.Get(t.Context(), 1-p, otherFirst+(seq-first)%(otherNext-otherFirst))
			if err == nil {
				_, err = to.Append(t.Context(), p, m.Data, "")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	closeTo()
	closeFrom()
	replaceDir(t, dir, swapped)
}

// unpack writes the files of an archive into a folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o750)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		default:
			var body []byte
			if body, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, body, 0o640)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
