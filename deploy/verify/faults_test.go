package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/batch/lake"
	"recount/deploy/client/acklog"
	"recount/deploy/verify"
	"recount/schemas/record"
)

// fault is a fault that a test plants, and the finding that it must give.
type fault struct {
	name string
	// plant returns the finding: its Check and the fields of its Where that are set must match.
	plant func(t *testing.T, w *world) verify.Finding
}

var faults = []fault{
	{"deleted object", func(t *testing.T, w *world) verify.Finding {
		seg, o := w.object(t)
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), o.Key) })
		return finding(verify.V2, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: o.Key})
	}},
	{"flipped byte", func(t *testing.T, w *world) verify.Finding {
		_, o := w.object(t)
		w.change(t, o.Key, func(raw []byte) []byte {
			raw[len(raw)/2] ^= 1
			return raw
		})
		return finding(verify.V2, verify.Place{File: o.Key})
	}},
	{"duplicated file", func(t *testing.T, w *world) verify.Finding {
		seg, o := w.object(t)
		again := strings.Replace(o.Key, ".parquet", "X.parquet", 1)
		// An object that is younger than this could be the remains of a lander's failed attempt.
		time.Sleep(2100 * time.Millisecond)
		w.store(t, func(s *lake.Store) error { return copyObject(t.Context(), s, o.Key, again) })
		return finding(verify.V10, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: again})
	}},
	{"removed installation record", func(t *testing.T, w *world) verify.Finding {
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), record.InstallationKey) })
		return finding(verify.V11, verify.Place{File: record.InstallationKey})
	}},
	{"installation record of a later version", func(t *testing.T, w *world) verify.Finding {
		w.edit(t, record.InstallationKey, func([]byte) []byte {
			return []byte(`{"format":1,"requires":["objects as plain files"]}`)
		})
		return finding(verify.V11, verify.Place{File: record.InstallationKey})
	}},
	{"record of another installation", func(t *testing.T, w *world) verify.Finding {
		w.edit(t, record.InstallationKey, func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"id":"`), []byte(`"id":"X`), 1)
		})
		return finding(verify.V11, verify.Place{File: record.CommitKey(0, 0, 1)})
	}},
	{"record of another log", func(t *testing.T, w *world) verify.Finding {
		seal := record.CommitKey(0, 1, 1)
		w.edit(t, seal, func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"log":"`), []byte(`"log":"X`), 1)
		})
		p := 1
		return finding(verify.V11, verify.Place{Partition: &p})
	}},
	{"gap in the catalog", func(t *testing.T, w *world) verify.Finding {
		w.store(t, func(s *lake.Store) error {
			return copyObject(t.Context(), s, record.GenerationKey(1), record.GenerationKey(3))
		})
		return finding(verify.V13, verify.Place{File: record.GenerationKey(2)})
	}},
	{"stray generation", func(t *testing.T, w *world) verify.Finding {
		w.store(t, func(s *lake.Store) error {
			return copyObject(t.Context(), s, record.GenerationKey(1), record.GenerationKey(math.MaxUint64))
		})
		return finding(verify.V13, verify.Place{File: record.GenerationKey(2)})
	}},
	{"generation lost that publications name", func(t *testing.T, w *world) verify.Finding {
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), record.GenerationKey(1)) })
		return finding(verify.V13, verify.Place{File: record.GenerationKey(1)})
	}},
	{"generation edited by hand", func(t *testing.T, w *world) verify.Finding {
		w.edit(t, record.GenerationKey(1), func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"previous":"`), []byte(`"previous":"X`), 1)
		})
		return finding(verify.V13, verify.Place{File: record.GenerationKey(1)})
	}},
	{"stray file", func(t *testing.T, w *world) verify.Finding {
		_, o := w.object(t)
		const stray = "data/type=hit/landed=2024-01-01/copy.parquet"
		w.store(t, func(s *lake.Store) error { return copyObject(t.Context(), s, o.Key, stray) })
		return finding(verify.V10, verify.Place{File: stray})
	}},
	{"forged checkpoint", func(t *testing.T, w *world) verify.Finding {
		key := record.CheckpointPrefix(0) + "e000000-00000000000000000001.ndjson"
		w.store(t, func(s *lake.Store) error {
			stored, err := s.Get(t.Context(), record.CommitKey(0, 0, 1))
			if err != nil {
				return err
			}
			raw, err := record.CheckDigest(stored)
			if err != nil {
				return err
			}
			forged := record.WithDigest(append(bytes.Replace(raw, []byte("the first"), []byte("the other"), 1), '\n'))
			return s.Put(t.Context(), key, bytes.NewReader(forged), int64(len(forged)))
		})
		return finding(verify.V1, verify.Place{File: key})
	}},
	{"file copied by hand", func(t *testing.T, w *world) verify.Finding {
		path := w.file(t, "data/type=hit/*/*")
		stranger := path + "-Copy.parquet"
		rewrite(t, path, stranger, func(raw []byte) []byte { return raw })
		return finding(verify.V10,
			verify.Place{File: "data/type=hit/" + filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(stranger)})
	}},
	{"file cut by hand", func(t *testing.T, w *world) verify.Finding {
		path := w.file(t, "data/type=hit/*/*")
		rewrite(t, path, path, func(raw []byte) []byte { return raw[:len(raw)/2] })
		return verify.Finding{Check: verify.V2}
	}},
	{"commit record edited by hand", func(t *testing.T, w *world) verify.Finding {
		path := w.file(t, "land/e000001/p000/*")
		rewrite(t, path, path, func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"events":`),
				[]byte(`"events":1`), 1)
		})
		p := 0
		return finding(verify.V1,
			verify.Place{Partition: &p, File: "land/e000001/p000/" + filepath.Base(path)})
	}},
	{"publication edited by hand", func(t *testing.T, w *world) verify.Finding {
		path := w.file(t, "publish/*2.json*")
		rewrite(t, path, path, func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"n":2`), []byte(`"n":12`),
				1)
		})
		return finding(verify.V5, verify.Place{File: "publish/" + filepath.Base(path)})
	}},
	{"removed commit record", func(t *testing.T, w *world) verify.Finding {
		seg := w.chain(t, 1).Segments[0]
		key := record.CommitKey(seg.Epoch, 1, seg.Start)
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), key) })
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End, File: key})
	}},
	{"removed last commit record", func(t *testing.T, w *world) verify.Finding {
		// The last published record, and all records that landed later.
		h := w.publication(t, 0).H[1].Seq
		p := 1
		for _, seg := range w.chain(t, p).Segments {
			if seg.End >= h {
				w.store(t, func(s *lake.Store) error {
					return s.Delete(t.Context(),
						record.CommitKey(seg.Epoch, p, seg.Start))
				})
			}
		}
		return finding(verify.V5, verify.Place{Partition: &p, From: h})
	}},
	{"edited commit record", func(t *testing.T, w *world) verify.Finding {
		seg := w.chain(t, 0).Segments[0]
		w.edit(t, record.CommitKey(seg.Epoch, 0, seg.Start), func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"attempt":"`), []byte(`"attempt":"x`), 1)
		})
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.End})
	}},
	{"flipped byte in a commit record", func(t *testing.T, w *world) verify.Finding {
		seg := w.chain(t, 0).Segments[0]
		key := record.CommitKey(seg.Epoch, 0, seg.Start)
		w.change(t, key, func(stored []byte) []byte {
			stored[bytes.Index(stored,
				[]byte(`"attempt":"`))+12] ^= 1
			return stored
		})
		return finding(verify.V1, verify.Place{Partition: &seg.Partition, From: seg.Start, File: key})
	}},
	{"flipped byte in a publication", func(t *testing.T, w *world) verify.Finding {
		key := record.PublicationKey(1)
		w.change(t, key, func(stored []byte) []byte {
			stored[bytes.Index(stored,
				[]byte(`"attempt":"`))+12] ^= 1
			return stored
		})
		return finding(verify.V5, verify.Place{File: key})
	}},
	{"chain overlap", func(t *testing.T, w *world) verify.Finding {
		seg := *w.longSegment(t)
		seg.Start = seg.End - 1
		w.overwrite(t, record.CommitKey(seg.Epoch, 0, seg.Start), &seg)
		return finding(verify.V1,
			verify.Place{Partition: &seg.Partition, From: seg.Start, To: seg.End,
				File: record.CommitKey(seg.Epoch, 0, seg.Start)})
	}},
	{"edited ClickHouse row", func(t *testing.T, w *world) verify.Finding {
		v := w.version(t, 0)
		w.sql(t, fmt.Sprintf("ALTER TABLE %s UPDATE hits = hits + 1 WHERE _ver = %d AND "+
			"toUnixTimestamp64Micro(_bucket) = %d AND page = '/p1' SETTINGS mutations_sync = 2", w.table(), v.Ver,
			v.Bucket))
		bucket := time.UnixMicro(v.Bucket).UTC()
		return finding(verify.V6, verify.Place{View: "hits", Bucket: &bucket, Version: v.Ver})
	}},
	{"missing version", func(t *testing.T, w *world) verify.Finding {
		v := w.version(t, 1)
		w.sql(t, fmt.Sprintf("ALTER TABLE %s DELETE WHERE _ver = %d AND toUnixTimestamp64Micro(_bucket) = %d "+
			"SETTINGS mutations_sync = 2", w.table(), v.Ver, v.Bucket))
		bucket := time.UnixMicro(v.Bucket).UTC()
		return finding(verify.V9, verify.Place{View: "hits", Bucket: &bucket, Version: v.Ver})
	}},
	{"removed last publication", func(t *testing.T, w *world) verify.Finding {
		n := w.publication(t, 0).N
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), record.PublicationKey(n)) })
		return finding(verify.V5, verify.Place{Publication: n, File: record.PublicationKey(n)})
	}},
	{"removed last publication that only a run names", func(t *testing.T, w *world) verify.Finding {
		n := w.publication(t, 0).N
		w.sql(t, fmt.Sprintf("DELETE FROM recount_published WHERE n >= %d", n))
		w.store(t, func(s *lake.Store) error { return s.Delete(t.Context(), record.PublicationKey(n)) })
		return finding(verify.V5, verify.Place{Publication: n, File: record.PublicationKey(n)})
	}},
	{"forged H", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		h.H[0].Seq--
		w.overwrite(t, record.PublicationKey(h.N), h)
		p := 0
		return finding(verify.V5, verify.Place{Publication: h.N, Partition: &p, From: h.H[0].Seq})
	}},
	{"H that goes back", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 1)
		h.H = w.publication(t, 0).H
		h.Tips = w.publication(t, 0).Tips
		w.overwrite(t, record.PublicationKey(1), h)
		return finding(verify.V5, verify.Place{Publication: 2})
	}},
	{"double-counted event", func(t *testing.T, w *world) verify.Finding {
		o := w.copyEvents(t)
		return finding(verify.V3, verify.Place{File: o, Type: "hit"})
	}},
	{"events that no retention removed", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		v := w.version(t, 0)
		h.Views["hits"].Retired = []record.BucketEvents{{Bucket: v.Bucket, Tenant: "default", Events: 1}}
		w.overwrite(t, record.PublicationKey(h.N), h)
		bucket := time.UnixMicro(v.Bucket).UTC()
		return finding(verify.V6, verify.Place{Publication: h.N, View: "hits", Tenant: "default", Bucket: &bucket})
	}},
	{"double count in a publication", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		h.Types["hit"][0].Duplicates--
		w.overwrite(t, record.PublicationKey(h.N), h)
		bucket := time.UnixMicro(h.Types["hit"][0].Bucket).UTC()
		return finding(verify.V8, verify.Place{Publication: h.N, Type: "hit", Bucket: &bucket})
	}},
	{"event of another tenant in a ledger", func(t *testing.T, w *world) verify.Finding {
		h := w.publication(t, 0)
		h.Ledgers["hit"].Tenants["other"] = make([]record.Account, len(h.H))
		h.Ledgers["hit"].Tenants["other"][1].Rows++
		w.overwrite(t, record.PublicationKey(h.N), h)
		p := 1
		return finding(verify.V8, verify.Place{Publication: h.N, Type: "hit", Tenant: "other", Partition: &p})
	}},
	{"lost acknowledged event", func(t *testing.T, w *world) verify.Finding {
		w.addLine(t, acklog.Line{Kind: acklog.Acked, Run: "r", First: 400, Count: 3})
		return finding(verify.V3, verify.Place{ID: "r-400..r-402"})
	}},
	{"refused event that counts", func(_ *testing.T, w *world) verify.Finding {
		w.acks = bytes.Replace(w.acks, []byte(`"run":"tail","count":40`),
			[]byte(`"run":"tail","count":40,"refused":[7]`), 1)
		return finding(verify.V4, verify.Place{ID: "tail-7"})
	}},
	{"answer with another count", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{View: "hits", Line: w.answered(t, `"hits":`, `"hits":1`)})
	}},
	{"answer with another last digit of a sum", func(t *testing.T, w *world) verify.Finding {
		line := w.answered(t, `"cost":55.65,`, `"cost":55.650000000000006,`)
		return finding(verify.V7, verify.Place{View: "hits", Line: line})
	}},
	{"answer that does not name a sum out of range", func(t *testing.T, w *world) verify.Finding {
		line := w.answered(t, `"out_of_range":[{"measure":"cost"`, `"x":[{"measure":"cost"`)
		return finding(verify.V7, verify.Place{View: "hits", Line: line})
	}},
	{"answer with another group", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{View: "hits", Line: w.answered(t, `"page":"/p3"`, `"page":"/p9"`)})
	}},
	{"answer to another tenant", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7,
			verify.Place{View: "hits", Line: w.answered(t, `"kind":"answer"`, `"kind":"answer","tenant":"other"`)})
	}},
	{"answer with another overflow", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{View: "hits", Line: w.answered(t, `"left_out":0`, `"left_out":10`)})
	}},
	{"answer beyond the log", func(t *testing.T, w *world) verify.Finding {
		return finding(verify.V7, verify.Place{Line: w.answered(t, `"through":[`, `"through":[9`)})
	}},
	{"event that was not sent", func(_ *testing.T, w *world) verify.Finding {
		w.acks = bytes.Replace(w.acks, []byte(`"run":"late","count":50`), []byte(`"run":"late","count":49`), 1)
		return finding(verify.V4, verify.Place{ID: "late-49"})
	}},
}

// answered changes the last answer that the client recorded, and returns its line.
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

// TestFaults plants one fault at a time. The cases run one after the other, because a process has one
// embedded ClickHouse.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := shared.copied(t)
			want := f.plant(t, w)
			report := w.verify(t)
			if !slices.ContainsFunc(report.Findings,
				func(got verify.Finding) bool { return got.Check == want.Check && matches(got.Where, want.Where) }) {
				t.Fatalf("want %s at %s; got %s", want.Check, want.Where, dump(report))
			}
			for _, got := range report.Findings {
				if got.What == "" || got.Do == "" || got.Where.String() == "" {
					t.Errorf("the finding lacks what, where or what to do: %+v", got)
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

// matches reports whether every field that is set in want has the same value in got.
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
