package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/batch/lake"
	"recount/batch/landing"
	"recount/deploy/acklog"
	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/s3server"
	"recount/deploy/verify"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// fault is one thing that is wrong: how it is planted, and the finding it must give.
type fault struct {
	name  string
	plant func(t *testing.T, w *world) verify.Finding // of which Check and what is set of Where count
}

var faults = []fault{
	{"deleted object", func(t *testing.T, w *world) verify.Finding {
		seg, o := w.object(t, 0)
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), o.Key) })
		return finding(verify.V2, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: o.Key})
	}},
	{"flipped byte", func(t *testing.T, w *world) verify.Finding {
		_, o := w.object(t, 0)
		w.change(t, o.Key, func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw })
		return finding(verify.V2, verify.Place{File: o.Key})
	}},
	{"duplicated file", func(t *testing.T, w *world) verify.Finding {
		seg, o := w.object(t, 0)
		again := strings.Replace(o.Key, ".parquet", "X.parquet", 1)
		// The world was made a moment ago, and what a lander leaves behind is as young.
		time.Sleep(2100 * time.Millisecond)
		w.store(t, func(s *lake.Store) error { return copyObject(t.Context(), s, o.Key, again) })
		return finding(verify.V10, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: again})
	}},
	{"stray file", func(t *testing.T, w *world) verify.Finding {
		_, o := w.object(t, 0)
		const stray = "data/type=hit/landed=2024-01-01/copy.parquet"
		w.store(t, func(s *lake.Store) error { return copyObject(t.Context(), s, o.Key, stray) })
		return finding(verify.V10, verify.Place{File: stray})
	}},
	{"removed commit record", func(t *testing.T, w *world) verify.Finding {
		seg := w.chain(t, 1).Segments[0]
		key := record.CommitKey(seg.Epoch, 1, seg.Start)
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), key) })
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: key})
	}},
	{"removed last commit record", func(t *testing.T, w *world) verify.Finding {
		c := w.chain(t, 1)
		seg := c.Segments[len(c.Segments)-1]
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), record.CommitKey(seg.Epoch, 1, seg.Start)) })
		return finding(verify.V5, verify.Place{Partition: &seg.Partition, From: seg.End})
	}},
	{"edited commit record", func(t *testing.T, w *world) verify.Finding {
		seg := w.chain(t, 0).Segments[0]
		w.change(t, record.CommitKey(seg.Epoch, 0, seg.Start), func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"attempt":"`), []byte(`"attempt":"x`), 1)
		})
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.End})
	}},
	{"chain overlap", func(t *testing.T, w *world) verify.Finding {
		seg := *w.long(t)
		seg.Start = seg.End - 1
		w.put(t, record.CommitKey(seg.Epoch, 0, seg.Start), &seg)
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: record.CommitKey(seg.Epoch, 0, seg.Start)})
	}},
	{"edited ClickHouse row", func(t *testing.T, w *world) verify.Finding {
		v := w.version(t, 0)
		w.sql(t, fmt.Sprintf("ALTER TABLE %s UPDATE hits = hits + 1 WHERE _ver = %d AND toUnixTimestamp64Micro(_bucket) = %d AND page = '/p1' SETTINGS mutations_sync = 2", w.table(), v.Ver, v.Bucket))
		bucket := time.UnixMicro(v.Bucket).UTC()
		return finding(verify.V6, verify.Place{View: "hits", Bucket: &bucket, Version: v.Ver})
	}},
	{"missing version", func(t *testing.T, w *world) verify.Finding {
		v := w.version(t, 1)
		w.sql(t, fmt.Sprintf("ALTER TABLE %s DELETE WHERE _ver = %d AND toUnixTimestamp64Micro(_bucket) = %d SETTINGS mutations_sync = 2", w.table(), v.Ver, v.Bucket))
		bucket := time.UnixMicro(v.Bucket).UTC()
		return finding(verify.V9, verify.Place{View: "hits", Bucket: &bucket, Version: v.Ver})
	}},
	{"forged H", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		h.H[0].Seq--
		w.put(t, record.PublicationKey(h.N), h)
		p := 0
		return finding(verify.V5, verify.Place{Publication: h.N, Partition: &p, From: h.H[0].Seq})
	}},
	{"H that goes back", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 1)
		h.H, h.Tips = w.publication(t, 0).H, w.publication(t, 0).Tips
		w.put(t, record.PublicationKey(1), h)
		return finding(verify.V5, verify.Place{Publication: 2})
	}},
	{"double-counted event", func(t *testing.T, w *world) verify.Finding {
		o := w.copyEvents(t)
		return finding(verify.V3, verify.Place{File: o, Type: "hit"})
	}},
	{"double count in a publication", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		h.Types["hit"][0].Duplicates--
		w.put(t, record.PublicationKey(h.N), h)
		bucket := time.UnixMicro(h.Types["hit"][0].Bucket).UTC()
		return finding(verify.V8, verify.Place{Publication: h.N, Type: "hit", Bucket: &bucket})
	}},
	{"lost acknowledged event", func(t *testing.T, w *world) verify.Finding {
		w.say(t, acklog.Line{Kind: acklog.Acked, Run: "r", First: 400, Count: 3})
		return finding(verify.V3, verify.Place{ID: "r-400..r-402"})
	}},
	{"refused event that counts", func(t *testing.T, w *world) verify.Finding {
		w.acks = bytes.Replace(w.acks, []byte(`"run":"tail","count":40`), []byte(`"run":"tail","count":40,"refused":[7]`), 1)
		return finding(verify.V4, verify.Place{ID: "tail-7"})
	}},
	{"answer with another count", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{View: "hits", Line: w.answered(t, `"hits":`, `"hits":1`)})
	}},
	{"answer with another group", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{View: "hits", Line: w.answered(t, `"page":"/p3"`, `"page":"/p9"`)})
	}},
	{"answer beyond the log", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{Line: w.answered(t, `"through":[`, `"through":[9`)})
	}},
	{"event nobody sent", func(t *testing.T, w *world) verify.Finding {
		w.acks = bytes.Replace(w.acks, []byte(`"run":"late","count":50`), []byte(`"run":"late","count":49`), 1)
		return finding(verify.V4, verify.Place{ID: "late-49"})
	}},
}

// answered changes the last answer the client wrote down.
func (w *world) answered(t *testing.T, from, to string) int {
	t.Helper()
	lines := bytes.SplitAfter(w.acks, []byte("\n"))
	last := 0
	for i, l := range lines {
		if bytes.Contains(l, []byte(`"kind":"answer"`)) {
			last = i
		}
	}
	changed := bytes.Replace(lines[last], []byte(from), []byte(to), 1)
	if bytes.Equal(changed, lines[last]) {
		t.Fatalf("%s is not in %s", from, lines[last])
	}
	lines[last] = changed
	w.acks = bytes.Join(lines, nil)
	return last + 1
}

func finding(check verify.Name, where verify.Place) verify.Finding {
	return verify.Finding{Check: check, Where: where}
}

// TestFaults plants one fault at a time. One engine opens one folder at a time, so
// the cases run one after the other.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := shared.copied(t)
			want := f.plant(t, w)
			report := w.verify(t)
			if !slices.ContainsFunc(report.Findings, func(got verify.Finding) bool { return got.Check == want.Check && matches(got.Where, want.Where) }) {
				t.Fatalf("want %s at %s; got %s", want.Check, want.Where, dump(report))
			}
			for _, got := range report.Findings {
				if got.What == "" || got.Do == "" || got.Where.String() == "" {
					t.Errorf("a finding says too little: %+v", got)
				}
			}
			if testing.Verbose() {
				t.Log(summary(report))
			}
		})
	}
}

func summary(r verify.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s [%s]\n", f.Check, f.What, f.Where)
	}
	for _, c := range r.Checks {
		if c.Failed != "" {
			fmt.Fprintf(&b, "%s not checked: %s\n", c.Name, c.Failed)
		}
	}
	return b.String()
}

// matches reports whether everything set in want is so in got.
func matches(got, want verify.Place) bool {
	var g, w map[string]any
	rawG, errG := json.Marshal(got)
	rawW, errW := json.Marshal(want)
	if errors.Join(errG, errW, json.Unmarshal(rawG, &g), json.Unmarshal(rawW, &w)) != nil {
		return false
	}
	for k, v := range w {
		if fmt.Sprint(g[k]) != fmt.Sprint(v) {
			return false
		}
	}
	return true
}

// store opens the world's object store to be changed.
func (w *world) store(t *testing.T, change func(*lake.Store) error) {
	t.Helper()
	server, err := s3server.Open(s3server.DefaultConfig(filepath.Join(w.cfg.DataDir, "s3")))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c := lake.DefaultConfig("")
	c.Endpoint, c.Bucket, c.PathStyle = server.Endpoint(), "recount", true
	c.AccessKey, c.SecretKey = server.Credentials().AccessKey, server.Credentials().SecretKey
	s, err := lake.Open(t.Context(), c)
	if err == nil {
		err = change(s)
		s.Close()
	}
	if err := errors.Join(err, server.Close()); err != nil {
		t.Fatal(err)
	}
}

func copyObject(ctx context.Context, s *lake.Store, from, to string) error {
	raw, err := s.Get(ctx, from)
	if err != nil {
		return err
	}
	return s.Put(ctx, to, bytes.NewReader(raw), int64(len(raw)))
}

// change replaces an object.
func (w *world) change(t *testing.T, key string, f func([]byte) []byte) {
	t.Helper()
	w.store(t, func(s *lake.Store) error {
		raw, err := s.Get(t.Context(), key)
		if err != nil {
			return err
		}
		raw = f(raw)
		return s.Put(t.Context(), key, bytes.NewReader(raw), int64(len(raw)))
	})
}

// put writes a record over what is there.
func (w *world) put(t *testing.T, key string, r interface{ Encode() ([]byte, error) }) {
	t.Helper()
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.store(t, func(s *lake.Store) error { return s.Put(t.Context(), key, bytes.NewReader(raw), int64(len(raw))) })
}

func (w *world) chain(t *testing.T, p int) (c *record.Chain) {
	t.Helper()
	w.store(t, func(s *lake.Store) (err error) {
		c, err = landing.LoadChain(t.Context(), lake.NewCommitLog(s), p)
		return err
	})
	if len(c.Segments) < 2 {
		t.Fatalf("partition %d has %d segments; the faults need two", p, len(c.Segments))
	}
	return c
}

// object is the first object of the first segment of a partition.
func (w *world) object(t *testing.T, p int) (*record.Commit, record.Object) {
	t.Helper()
	seg := w.chain(t, p).Segments[0]
	return seg, seg.Objects[0]
}

// long is a segment of more than one message.
func (w *world) long(t *testing.T) *record.Commit {
	t.Helper()
	segments := w.chain(t, 0).Segments
	i := slices.IndexFunc(segments, func(c *record.Commit) bool { return c.End > c.Start+1 })
	if i < 0 {
		t.Fatal("every segment has one message; the fault needs two")
	}
	return segments[i]
}

// publication is publication n, or the newest where n is 0.
func (w *world) publication(t *testing.T, n uint64) (p *record.Publication) {
	t.Helper()
	w.store(t, func(s *lake.Store) error {
		if n == 0 {
			keys, err := lake.NewCommitLog(s).List(t.Context(), record.PublicationPrefix)
			if err != nil {
				return err
			}
			n = uint64(len(keys))
		}
		raw, err := s.Get(t.Context(), record.PublicationKey(n))
		if err == nil {
			p, err = record.DecodePublication(raw)
		}
		return err
	})
	return p
}

// version is a version of a bucket in the newest publication.
func (w *world) version(t *testing.T, i int) record.BucketVersion {
	t.Helper()
	return w.publication(t, 0).Views["hits"].Buckets[i]
}

func (w *world) table() string {
	cat, err := w.cfg.Catalog()
	if err != nil {
		return err.Error()
	}
	v := cat.Views["hits"]
	return sqlschema.Quote(sqlschema.Table(v, cat.Digest(v)))
}

// sql runs a statement in the world's ClickHouse.
func (w *world) sql(t *testing.T, statement string) {
	t.Helper()
	engine, err := chdb.Open(t.Context(), chdb.DefaultConfig(filepath.Join(w.cfg.DataDir, "clickhouse")))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(engine.Options())
	if err == nil {
		err = errors.Join(conn.Exec(t.Context(), statement), conn.Close())
	}
	if err := errors.Join(err, engine.Close()); err != nil {
		t.Fatal(err)
	}
}

// say adds a line to what the client kept.
func (w *world) say(t *testing.T, l acklog.Line) {
	t.Helper()
	var b bytes.Buffer
	out := acklog.NewWriter(&b)
	if err := errors.Join(out.Write(l), out.Flush()); err != nil {
		t.Fatal(err)
	}
	w.acks = append(slices.Clip(w.acks), b.Bytes()...)
}

// copyEvents lands the events of the first message of partition 0 once more, an hour
// later each, as a lander would that does not know their ids.
func (w *world) copyEvents(t *testing.T) (object string) {
	t.Helper()
	seg, o := w.object(t, 0)
	c := w.chain(t, 0)
	w.store(t, func(s *lake.Store) error {
		body, err := s.Open(t.Context(), o.Key)
		if err != nil {
			return err
		}
		f, err := lake.OpenParquet(t.Context(), o, body)
		if err != nil {
			return err
		}
		table := lake.NewTable("hit", 0, seg.Epoch, w.cfg.Batch.Bucket)
		columns := []string{"_key", "_tenant", "_flags", "_hash", "id", "time", "source", "subject", "_extra", "page", "user", "ms"}
		for cols, err := range f.Read(t.Context(), columns, 0, 1) {
			if err != nil {
				return err
			}
			if err := table.Append(position.Offset{Epoch: seg.Epoch, Seq: c.Head.Seq}, 0, later(cols)); err != nil {
				return err
			}
		}
		raw, again, err := table.WriteParquet()
		if err != nil {
			return err
		}
		again.Key = lake.ObjectKey("hit", seg.Created, seg.Epoch, 0, c.Head.Seq, c.Head.Seq+1, "FORGED")
		object = again.Key
		forged := &record.Commit{Kind: record.Segment, Epoch: seg.Epoch, Start: c.Head.Seq, End: c.Head.Seq + 1, Events: 1,
			Objects: []record.Object{again}, Tenants: map[string]int64{"default": 1}, Attempt: "FORGED", Created: seg.Created, Previous: c.Tip}
		body2, err := forged.Encode()
		return errors.Join(err, s.Put(t.Context(), again.Key, bytes.NewReader(raw), again.Size),
			s.Put(t.Context(), c.NextKey(), bytes.NewReader(body2), int64(len(body2))))
	})
	return object
}

// later moves the events of a batch an hour on.
func later(c eventbatch.Columns) eventbatch.Columns {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, eventbatch.TimestampType)
	for i := range c.Time.Len() {
		b.Append(c.Time.Value(i) + arrow.Timestamp(time.Hour.Microseconds()))
	}
	fields, columns := c.Rec.Schema().Fields(), slices.Clone(c.Rec.Columns())
	for i, f := range fields {
		if f.Name == eventbatch.ColTime {
			columns[i] = b.NewTimestampArray()
		}
		if d, ok := columns[i].(*array.Dictionary); ok {
			s := array.NewStringBuilder(memory.DefaultAllocator)
			for j := range d.Len() {
				s.Append(d.Dictionary().(*array.String).Value(d.GetValueIndex(j)))
			}
			columns[i], fields[i].Type = s.NewStringArray(), arrow.BinaryTypes.String
		}
	}
	out, err := eventbatch.NewColumns(array.NewRecord(arrow.NewSchema(fields, nil), columns, c.Rec.NumRows()))
	if err != nil {
		panic(err)
	}
	return out
}

func (w *world) removeLog(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(w.cfg.DataDir, "log")); err != nil {
		t.Fatal(err)
	}
}
