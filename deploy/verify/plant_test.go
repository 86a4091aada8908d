package verify_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"recount/batch/lake"
	"recount/batch/landing"
	"recount/batch/object"
	"recount/deploy/client/acklog"
	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/s3server"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

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
	c.Endpoint = server.Endpoint()
	c.Bucket = "recount"
	c.PathStyle = true
	c.AccessKey = server.Credentials().AccessKey
	c.SecretKey = server.Credentials().SecretKey
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

// edit replaces a record and its digest, as a program would that knows how records are stored.
func (w *world) edit(t *testing.T, key string, f func([]byte) []byte) {
	t.Helper()
	w.change(t, key, func(stored []byte) []byte {
		raw, err := record.CheckDigest(stored)
		if err != nil {
			t.Fatal(err)
		}
		return record.WithDigest(f(raw))
	})
}

// overwrite replaces a stored record.
func (w *world) overwrite(t *testing.T, key string, r interface{ Encode() ([]byte, error) }) {
	t.Helper()
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	raw = record.WithDigest(raw)
	w.store(t, func(s *lake.Store) error { return s.Put(t.Context(), key, bytes.NewReader(raw), int64(len(raw))) })
}

func (w *world) chain(t *testing.T, p int) (c *record.Chain) {
	t.Helper()
	w.store(t, func(s *lake.Store) (err error) {
		c, err = landing.LoadChain(t.Context(), lake.NewCommitLog(s), p)
		return err
	})
	if len(c.Segments) < 2 {
		t.Fatalf("partition %d has %d segments; want at least 2, which the faults need", p, len(c.Segments))
	}
	return c
}

// object returns the first segment of partition 0 and its first object.
func (w *world) object(t *testing.T) (*record.Commit, record.Object) {
	t.Helper()
	seg := w.chain(t, 0).Segments[0]
	return seg, seg.Objects[0]
}

// longSegment returns a segment of more than one message.
func (w *world) longSegment(t *testing.T) *record.Commit {
	t.Helper()
	segments := w.chain(t, 0).Segments
	i := slices.IndexFunc(segments, func(c *record.Commit) bool { return c.End > c.Start+1 })
	if i < 0 {
		t.Fatal("every segment has one message; want one with at least 2")
	}
	return segments[i]
}

// publication returns publication n, or the newest publication if n is 0.
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
		raw, err := lake.NewCommitLog(s).Get(t.Context(), record.PublicationKey(n))
		if err == nil {
			p, err = record.DecodePublication(raw)
		}
		return err
	})
	return p
}

// version returns the version of bucket i in the newest publication.
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

// addLine adds a line to the client's acknowledgement log.
func (w *world) addLine(t *testing.T, l acklog.Line) {
	t.Helper()
	var b bytes.Buffer
	out := acklog.NewWriter(&b)
	if err := errors.Join(out.Write(l), out.Flush()); err != nil {
		t.Fatal(err)
	}
	w.acks = append(slices.Clip(w.acks), b.Bytes()...)
}

// copyEvents lands the first event of partition 0 again, with a time one hour later, like a lander that
// does not know ids.
func (w *world) copyEvents(t *testing.T) (key string) {
	t.Helper()
	seg, o := w.object(t)
	c := w.chain(t, 0)
	w.store(t, func(s *lake.Store) error {
		body, err := s.Open(t.Context(), o.Key)
		if err != nil {
			return err
		}
		f, err := object.Open(t.Context(), o, body)
		if err != nil {
			return err
		}
		table := object.NewTable("hit", 0, seg.Epoch, w.cfg.Bucket)
		columns := []string{"_key", "_tenant", "_flags", "_hash", "id", "time", "source", "subject", "_extra", "page",
			"user", "ms"}
		for cols, err := range f.Read(t.Context(), columns, 0, 1) {
			if err != nil {
				return err
			}
			if err := table.Append(position.Offset{Epoch: seg.Epoch, Seq: c.Head.Seq}, 0, later(cols)); err != nil {
				return err
			}
		}
		raw, again, err := table.Encode()
		if err != nil {
			return err
		}
		again.Key = object.Key("hit", seg.Created, seg.Epoch, 0, c.Head.Seq, c.Head.Seq+1, "FORGED")
		key = again.Key
		forged := &record.Commit{Kind: record.Segment, Epoch: seg.Epoch, Start: c.Head.Seq, End: c.Head.Seq + 1,
			Events:  1,
			Objects: []record.Object{again}, Tenants: map[string]int64{"default": 1}, Attempt: "FORGED",
			Created: seg.Created, Previous: c.Tip}
		body2, err := forged.Encode()
		body2 = record.WithDigest(body2)
		return errors.Join(err, s.Put(t.Context(), again.Key, bytes.NewReader(raw), again.Size),
			s.Put(t.Context(), c.NextKey(), bytes.NewReader(body2), int64(len(body2))))
	})
	return key
}

// later returns the events of a batch with times that are one hour later.
func later(c eventbatch.Columns) eventbatch.Columns {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, eventbatch.TimestampType)
	for i := range c.Time.Len() {
		b.Append(c.Time.Value(i) + arrow.Timestamp(time.Hour.Microseconds()))
	}
	fields := c.Rec.Schema().Fields()
	columns := slices.Clone(c.Rec.Columns())
	for i, f := range fields {
		if f.Name == eventbatch.ColTime {
			columns[i] = b.NewTimestampArray()
		}
		if d, ok := columns[i].(*array.Dictionary); ok {
			s := array.NewStringBuilder(memory.DefaultAllocator)
			for j := range d.Len() {
				s.Append(d.Dictionary().(*array.String).Value(d.GetValueIndex(j)))
			}
			columns[i] = s.NewStringArray()
			fields[i].Type = arrow.BinaryTypes.String
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
	w.logRemoved = true
	if err := os.RemoveAll(filepath.Join(w.cfg.DataDir, "log")); err != nil {
		t.Fatal(err)
	}
}

// file returns the path of the first file of the object store that matches a pattern.
func (w *world) file(t *testing.T, pattern string) string { return w.files(t, pattern)[0] }

func (w *world) files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.cfg.DataDir, "s3", "objects", "recount", filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	return found
}

func rewrite(t *testing.T, from, to string, change func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, change(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}
