package iceberg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro/ocf"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"recount/batch/lake"
	"recount/deploy/embedded/s3server"
	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitions = 2
	bucket     = time.Hour
)

// world is what is committed, and writers of its tables over a real S3 server.
type world struct {
	tb      rapid.TB
	cfg     lake.Config
	store   *lake.Store // without faults
	faults  *crashes
	writers []*Writer

	chains   []*record.Chain
	states   []*record.State
	pinned   map[uint64]bool
	horizons record.Horizons
	deleted  map[string]bool
	now      time.Time
	stored   map[string]*catalog.EventType // by type and id
	schemas  map[string]string             // the columns that each schema of a table has had, by type and id
}

// serve starts an S3 server for all worlds of a test.
func serve(t testing.TB) lake.Config {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cfg := lake.DefaultConfig("")
	cfg.Endpoint = server.Endpoint()
	cfg.Bucket = "recount"
	cfg.CreateBucket = true
	cfg.PathStyle = true
	cfg.AccessKey = server.Credentials().AccessKey
	cfg.SecretKey = server.Credentials().SecretKey
	cfg.Attempts = 1
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.Transport = transport
	return cfg
}

// newWorld returns a world of its own below a prefix.
func newWorld(tb rapid.TB, cfg lake.Config, name string) *world {
	tb.Helper()
	cfg.Prefix = name + "/"
	w := &world{tb: tb, faults: &crashes{next: cfg.Transport}, pinned: map[uint64]bool{}, horizons: record.Horizons{},
		deleted: map[string]bool{}, now: time.Now().Truncate(time.Second), stored: map[string]*catalog.EventType{},
		schemas: map[string]string{}}
	w.cfg = cfg
	w.store = open(tb, cfg)
	faulty := cfg
	faulty.Transport = w.faults
	w.cfg = faulty
	for p := range partitions {
		w.chains = append(w.chains, &record.Chain{Partition: p, Bucket: bucket,
			Head: position.Offset{Epoch: 1, Seq: position.First}})
	}
	w.restart()
	return w
}

func open(tb rapid.TB, cfg lake.Config) *lake.Store {
	tb.Helper()
	s, err := lake.Open(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// restart begins two processes that remember nothing.
func (w *world) restart() {
	w.faults.heal()
	w.writers = nil
	for range 2 {
		store := open(w.tb, w.cfg)
		writer, err := New(Config{Store: store, Records: lake.NewCommitLog(store), Installation: "i",
			Now: func() time.Time { return w.now }, Newest: func() uint64 { return uint64(len(w.states)) },
			Kept: func(context.Context) (*Kept, error) {
				return &Kept{States: w.kept(), Chains: w.chains, Horizons: w.horizons}, nil
			}})
		if err != nil {
			w.tb.Fatal(err)
		}
		writer.fanOut = 2
		writer.manifestFiles = 3
		w.writers = append(w.writers, writer)
	}
}

// kept returns the publications that may be read: the newest three and the pinned ones.
func (w *world) kept() (kept []*record.State) {
	for i, s := range w.states {
		if w.pinned[s.N] || i >= len(w.states)-3 {
			kept = append(kept, s)
		}
	}
	return kept
}

// land appends a segment with an object of each schema.
func (w *world) land(p int, schemas ...*catalog.EventType) {
	c := w.chains[p]
	segment := &record.Commit{Kind: record.Segment, Epoch: 1, Partition: p, Start: c.Head.Seq, End: c.Head.Seq + 3,
		Created: w.now}
	w.now = w.now.Add(time.Second)
	for i, e := range schemas {
		w.storeSchema(e)
		first := int64(i) * bucket.Microseconds()
		last := first + 2*bucket.Microseconds()
		rows := []record.BucketRows{{Bucket: first, Rows: 5}, {Bucket: last, Rows: int64(p + 1)}}
		segment.Objects = append(segment.Objects, record.Object{Type: e.Name, Schema: e.SchemaID(), Rows: int64(p + 6),
			Size: int64(100 + segment.Start), Buckets: rows,
			Key: fmt.Sprintf("data/type=%s/landed=x/e1-p%d-%d-%d.parquet", e.Name, p, segment.Start, i)})
	}
	c.Segments = append(c.Segments, segment)
	c.Head.Seq = segment.End
}

// storeSchema stores the fields of an object, as landing does.
func (w *world) storeSchema(e *catalog.EventType) {
	key := fmt.Sprintf("schema/type=%s/%s.json", e.Name, e.SchemaID())
	if w.stored[key] != nil {
		return
	}
	w.stored[key] = e
	raw, err := json.Marshal(struct {
		record.Header
		*catalog.EventType
	}{record.NewHeader(), e})
	if err == nil {
		_, _, err = lake.NewCommitLog(w.store).Create(context.Background(), key, raw)
	}
	if err != nil {
		w.tb.Fatal(err)
	}
}

// publish makes a publication of the segments that have landed, but for the last few of each partition.
func (w *world) publish(without int) {
	h := make([]position.Offset, partitions)
	for p, c := range w.chains {
		h[p] = position.Offset{Epoch: 1, Seq: position.First}
		if n := len(c.Segments) - without; n > 0 {
			h[p].Seq = c.Segments[n-1].End
		}
		if n := len(w.states); n > 0 {
			h[p].Seq = max(h[p].Seq, w.states[n-1].H[p].Seq)
		}
	}
	n := uint64(len(w.states) + 1)
	w.states = append(w.states, &record.State{N: n, H: h, Digest: fmt.Sprint("digest ", n),
		Publication: &record.Publication{Created: w.now}})
}

// storePublication stores a record of the newest publication that differs from all others of the number.
func (w *world) storePublication() {
	w.tb.Helper()
	s := w.states[len(w.states)-1]
	raw := fmt.Appendf(nil, `{"stored":%d}`, s.N)
	s.Digest = record.Digest(raw)
	_, _, err := lake.NewCommitLog(w.store).Create(context.Background(), record.PublicationKey(s.N), raw)
	if err != nil {
		w.tb.Fatal(err)
	}
}

// want returns the objects that a publication counts, by path. It reads all history.
func (w *world) want(s *record.State, eventType string) map[string]*record.Object {
	out := map[string]*record.Object{}
	for _, o := range record.CommittedObjects(w.chains, s.H, w.horizons, eventType) {
		out[w.store.URL(o.Key)] = o
	}
	return out
}

// crashes is a transport over which a process ends: from the n-th PUT on, no request is answered any more.
type crashes struct {
	next http.RoundTripper

	beforeVersion func() // is called once, before a version of a table is created
	beforeHint    func() // is called once, before a hint is written
	requests      atomic.Int64

	mu      sync.Mutex
	armed   bool
	left    int  // PUTs until the end
	writes  bool // the last PUT is executed, and its reply is lost
	ended   bool
	refused string // requests with it in their path fail
}

var errEnded = errors.New("the process has ended")

func (c *crashes) after(puts int, writes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
	c.left = puts
	c.writes = writes
}

func (c *crashes) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = false
	c.ended = false
}

func (c *crashes) refuse(part string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = part
}

// RoundTrip implements http.RoundTripper.
func (c *crashes) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	if f := c.beforeVersion; f != nil && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".metadata.json") {
		c.beforeVersion = nil
		f()
	}
	if f := c.beforeHint; f != nil && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, hintName) {
		c.beforeHint = nil
		f()
	}
	c.mu.Lock()
	ends := false
	if c.armed && r.Method == http.MethodPut && !c.ended {
		ends = c.left == 0
		c.left--
	}
	alive := !c.ended && (c.refused == "" || !strings.Contains(r.URL.Path, c.refused))
	c.ended = c.ended || ends
	c.mu.Unlock()
	switch {
	case !alive, ends && !c.writes:
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errEnded
	case ends:
		if res, err := c.next.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return nil, errEnded
	}
	return c.next.RoundTrip(r)
}

// stored is a table as a reader finds it, decoded without a line of this package.
type stored struct {
	metadata  map[string]any
	snapshots []storedSnapshot
	mapping   map[string]float64 // id by name
}

type storedSnapshot struct {
	id      int64
	files   map[string]map[string]any // by path
	columns map[string]map[string]any // by name
}

// read reads the table of a type by its hint. It returns nil if there is none. Every file that is named must be there.
func (w *world) read(eventType string) *stored {
	folder := "iceberg/type=" + eventType + "/metadata/"
	hint, err := w.store.Get(context.Background(), folder+"version-hint.text")
	if errors.Is(err, record.ErrNotFound) {
		return nil
	}
	out := &stored{mapping: map[string]float64{}}
	w.decodeJSON(w.get(w.store.URL(folder+"v"+string(hint)+".metadata.json")), &out.metadata)
	var mapping []struct {
		ID    float64  `json:"field-id"`
		Names []string `json:"names"`
	}
	properties := out.metadata["properties"].(map[string]any)
	w.decodeJSON([]byte(properties["schema.name-mapping.default"].(string)), &mapping)
	for _, m := range mapping {
		out.mapping[m.Names[0]] = m.ID
	}
	for _, s := range out.metadata["snapshots"].([]any) {
		out.snapshots = append(out.snapshots, w.readSnapshot(out, s.(map[string]any)))
	}
	return out
}

func (w *world) readSnapshot(t *stored, s map[string]any) storedSnapshot {
	w.tb.Helper()
	out := storedSnapshot{id: int64(s["snapshot-id"].(float64)), files: map[string]map[string]any{},
		columns: map[string]map[string]any{}}
	for _, m := range w.decodeAvro(w.get(s["manifest-list"].(string))) {
		raw := w.get(m["manifest_path"].(string))
		if int64(len(raw)) != m["manifest_length"].(int64) {
			w.tb.Fatalf("%s has %d bytes, the list says %d", m["manifest_path"], len(raw), m["manifest_length"])
		}
		entries := w.decodeAvro(raw)
		if got := m["added_files_count"].(int32) + m["existing_files_count"].(int32); int(got) != len(entries) {
			w.tb.Fatalf("the list counts %d files, the manifest has %d", got, len(entries))
		}
		for _, e := range entries {
			file := e["data_file"].(map[string]any)
			path := file["file_path"].(string)
			if out.files[path] != nil {
				w.tb.Fatalf("snapshot %d has %s twice", out.id, path)
			}
			if w.deleted[path] {
				w.tb.Fatalf("snapshot %d names %s, which was deleted", out.id, path)
			}
			out.files[path] = file
		}
	}
	for _, schema := range t.metadata["schemas"].([]any) {
		if schema := schema.(map[string]any); schema["schema-id"] == s["schema-id"] {
			for _, c := range schema["fields"].([]any) {
				column := c.(map[string]any)
				out.columns[column["name"].(string)] = column
			}
		}
	}
	return out
}

func (w *world) get(path string) []byte {
	w.tb.Helper()
	raw, err := w.store.Get(context.Background(), strings.TrimPrefix(path, w.store.URL("")))
	if err != nil {
		w.tb.Fatal(err)
	}
	return raw
}

func (w *world) decodeJSON(raw []byte, into any) {
	w.tb.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *world) decodeAvro(raw []byte) (out []map[string]any) {
	w.tb.Helper()
	r, err := ocf.NewReader(bytes.NewReader(raw))
	if err != nil {
		w.tb.Fatal(err)
	}
	defer r.Close()
	for {
		var v map[string]any
		err := r.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			w.tb.Fatal(err)
		}
		out = append(out, v)
	}
}

// snapshotAt returns the snapshot that a reader of publication n takes, or nil.
func (s *stored) snapshotAt(n uint64) *storedSnapshot {
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.snapshots, func(x storedSnapshot) bool { return x.id > int64(n) })
	if i < 0 {
		i = len(s.snapshots)
	}
	if i == 0 {
		return nil
	}
	return &s.snapshots[i-1]
}
