package record

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/position"
)

var update = flag.Bool("update", false, "write the golden files anew")

var made = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

func genesis() *Commit {
	return &Commit{Kind: Seal, Start: 1, End: 1, Attempt: "a0", Created: made,
		Next: &Next{Epoch: 1, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: 2}}
}

func segment(start uint64, previous string) *Commit {
	return &Commit{Kind: Segment, Epoch: 1, Start: start, End: 5, Events: 3, Attempt: "a1", Created: made,
		Previous: previous,
		Tenants:  map[string]int64{"default": 3},
		Objects: []Object{{Type: "t", Key: "data/x.parquet", Size: 10, SHA256: "aa", Digest: "bb", Rows: 3,
			Schema:  "cc",
			Buckets: []BucketRows{{Bucket: 0, Rows: 1}, {Bucket: 3_600_000_000, Rows: 2, Assigned: 1}}}}}
}

func encoded(t *testing.T, r interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	raw, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestChain(t *testing.T) {
	t.Parallel()
	c := NewChain(0)
	g := encoded(t, genesis())
	if _, err := c.Extend(g); err != nil {
		t.Fatal(err)
	}
	s := segment(1, Digest(g))
	if _, err := c.Extend(encoded(t, s)); err != nil {
		t.Fatal(err)
	}
	seal := &Commit{Kind: Seal, Epoch: 1, Start: 5, End: 5, Attempt: "a2", Created: made,
		Previous: Digest(encoded(t, s)),
		Next:     &Next{Epoch: 2, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: 2},
		Reason:   "the log lost its end"}
	if _, err := c.Extend(encoded(t, seal)); err != nil {
		t.Fatal(err)
	}
	if want := (position.Offset{Epoch: 2, Seq: 5}); c.Head != want || c.Events != 3 || len(c.Segments) != 1 ||
		len(c.Epochs) != 2 {
		t.Errorf("got head %v, %d events, %d segments, %d epochs", c.Head, c.Events, len(c.Segments), len(c.Epochs))
	}
	for at, want := range map[position.Offset]string{
		{Seq: 1}:           "",
		{Epoch: 1, Seq: 1}: Digest(g),
		{Epoch: 1, Seq: 5}: Digest(encoded(t, s)),
		{Epoch: 2, Seq: 5}: c.Tip,
	} {
		if _, got, found := c.RecordAt(at); got != want || !found {
			t.Errorf("the record that ends at %v has the digest %q, %t, want %q", at, got, found, want)
		}
	}
	if _, got, found := c.RecordAt(position.Offset{Epoch: 1, Seq: 3}); found {
		t.Errorf("inside a segment: got the digest %q, want none", got)
	}
	if got := c.LastKey(); got != CommitKey(1, 0, 5) {
		t.Errorf("the last record is %s, want the seal %s", got, CommitKey(1, 0, 5))
	}
	got := c.NextKey()
	want := "land/e000002/p000/00000000000000000005.json"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestChainPassesAHole gives a range up (C7). The next epoch begins there, and nothing of the range counts.
func TestChainPassesAHole(t *testing.T) {
	t.Parallel()
	c := NewChain(0)
	g := genesis()
	first := encoded(t, g)
	s := encoded(t, segment(1, Digest(first)))
	next := *g.Next
	next.Epoch = 2
	hole := encoded(t, &Commit{Kind: Hole, Epoch: 1, Start: 5, End: 9, Reason: "a bad sector", Next: &next,
		Previous: Digest(s)})
	for _, raw := range [][]byte{first, s, hole} {
		if _, err := c.Extend(raw); err != nil {
			t.Fatal(err)
		}
	}
	if want := (position.Offset{Epoch: 2, Seq: 9}); c.Head != want || c.GivenUp() != 9 || len(c.Holes) != 1 ||
		c.Epochs[1].Start != 5 || len(c.Segments) != 1 {
		t.Errorf("got head %v, holes %v, epochs %v, want the head %v", c.Head, c.Holes, c.Epochs, want)
	}
	if got := c.LastKey(); got != CommitKey(1, 0, 5) {
		t.Errorf("the last record is %s, want the hole %s", got, CommitKey(1, 0, 5))
	}
}

// TestChainRefuses is V1: nothing that does not continue the chain is taken.
func TestChainRefuses(t *testing.T) {
	t.Parallel()
	g := genesis()
	for name, r := range map[string]*Commit{
		"gap":                segment(2, ""),
		"another's chain":    segment(1, "beef"),
		"no events counted":  {Kind: Segment, Epoch: 1, Start: 1, End: 5, Events: 9},
		"hole without words": {Kind: Hole, Epoch: 1, Start: 1, End: 5, Next: &Next{Epoch: 2}},
		"hole without next":  {Kind: Hole, Epoch: 1, Start: 1, End: 5, Reason: "x"},
		"seal that skips":    {Kind: Seal, Epoch: 1, Start: 1, End: 1, Next: &Next{Epoch: 5}},
	} {
		c := NewChain(0)
		if _, err := c.Extend(encoded(t, g)); err != nil {
			t.Fatal(err)
		}
		raw, err := r.Encode()
		if err == nil {
			_, err = c.Extend(raw)
		}
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := NewChain(0).Extend(encoded(t, &Commit{Kind: Hole, Start: 1, End: 2, Reason: "x",
		Next: &Next{Epoch: 1}})); !errors.Is(err,
		ErrInvalid) {
		t.Errorf("a chain without its first seal: got %v", err)
	}
}

func publication(n uint64, previous string, h uint64, base bool, buckets ...BucketVersion) *Publication {
	return &Publication{N: n, Previous: previous, H: []position.Offset{{Epoch: 1, Seq: h}}, Tips: []string{"t"},
		Base:  base,
		Views: map[string]*PublishedView{"v": {Digest: "d", Buckets: buckets}},
		Types: map[string][]BucketCount{"t": {{Bucket: 0, Rows: int64(h)}}}, Code: "test", Attempt: "a", Created: made}
}

func TestStateResolvesDeltas(t *testing.T) {
	t.Parallel()
	first := encoded(t, publication(1, "", 5, true, BucketVersion{0, 10, 1, 7}, BucketVersion{100, 10, 1, 7}))
	second := encoded(t, publication(2, Digest(first), 9, false, BucketVersion{50, 11, 1, 7},
		BucketVersion{100, 11, 2, 8}))
	s, err := EmptyState(1).Apply(first)
	if err != nil {
		t.Fatal(err)
	}
	pinned := s
	if s, err = s.Apply(second); err != nil {
		t.Fatal(err)
	}
	want := []BucketVersion{{0, 10, 1, 7}, {50, 11, 1, 7}, {100, 11, 2, 8}}
	if diff := cmp.Diff(want, s.Views["v"].Buckets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[1:], s.Views["v"].VersionsBetween(1, 101)); diff != "" {
		t.Error(diff)
	}
	if len(pinned.Views["v"].Buckets) != 2 || pinned.Views["v"].Buckets[1].Ver != 10 {
		t.Error("a pinned state changed")
	}
}

// TestBucketEventsReplace: the numbers of a delta replace those of the same bucket and tenant, zero removes one, and a
// full view or a base replaces all.
func TestBucketEventsReplace(t *testing.T) {
	t.Parallel()
	with := func(p *Publication, full bool, u ...BucketEvents) *Publication {
		p.Views["v"].Unconverted = u
		p.Views["v"].Retired = u
		p.Views["v"].Overflowed = u
		p.Views["v"].Full = full
		return p
	}
	s := EmptyState(1)
	apply := func(p *Publication) {
		t.Helper()
		var err error
		if s, err = s.Apply(encoded(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	apply(with(publication(1, "", 5, true), false, BucketEvents{0, "a", 1}, BucketEvents{0, "b", 2},
		BucketEvents{60, "a", 3}))
	apply(with(publication(2, s.Digest, 6, false), false, BucketEvents{0, "a", 7}, BucketEvents{0, "b", 0}))
	want := []BucketEvents{{0, "a", 7}, {60, "a", 3}}
	for _, got := range [][]BucketEvents{s.Views["v"].Unconverted, s.Views["v"].Retired, s.Views["v"].Overflowed} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	for span, want := range map[[2]int64]int64{{0, 60}: 7, {59, 61}: 10, {60, 120}: 3, {120, 180}: 0} {
		if got := SumEvents(s.Views["v"].Unconverted, "a", span[0], span[1], 60); got != want {
			t.Errorf("%v: got %d, want %d", span, got, want)
		}
	}
	apply(with(publication(3, s.Digest, 7, false), true, BucketEvents{60, "b", 1}))
	for _, got := range [][]BucketEvents{s.Views["v"].Unconverted, s.Views["v"].Retired, s.Views["v"].Overflowed} {
		if diff := cmp.Diff([]BucketEvents{{60, "b", 1}}, got); diff != "" {
			t.Error(diff)
		}
	}
	unordered := with(publication(4, s.Digest, 8, false), false, BucketEvents{60, "b", 1}, BucketEvents{60, "a", 1})
	if _, err := unordered.Encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("counts out of order: got %v", err)
	}
}

// TestStateRefuses is P2 and V5: publications continue one another and H never decreases.
func TestStateRefuses(t *testing.T) {
	t.Parallel()
	first := encoded(t, publication(1, "", 5, true))
	s, err := EmptyState(1).Apply(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Publication{
		"a gap":           publication(3, Digest(first), 9, false),
		"another chain":   publication(2, "beef", 9, false),
		"H decreases":     publication(2, Digest(first), 4, false),
		"base decreasing": publication(2, Digest(first), 4, true),
	} {
		if _, err := s.Apply(encoded(t, p)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	twice := publication(2, Digest(first), 9, false, BucketVersion{0, 1, 1, 1}, BucketVersion{0, 2, 1, 1})
	if _, err := twice.Encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bucket listed twice: got %v", err)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	limited := publication(1, "", 5, true, BucketVersion{0, 10, 1, 7})
	limited.Limit = 1000
	limited.Views["v"].Overflowed = []BucketEvents{{0, "a", 3}, {0, "b", 1}}
	filling := publication(1, "", 5, true, BucketVersion{7_200_000_000, 10, 1, 7})
	filling.Views["v"].Fill = &Fill{From: 7_200_000_000, Buckets: 2, Rows: 9}
	discovered := generation()
	discovered.Discovered = []string{"hit"}
	undecided := generation()
	undecided.Discovered = []string{"hit"}
	undecided.Undecided = map[string][][]string{"hit": {{"code"}, {"user", "plan"}}}
	for file, r := range map[string]interface{ Encode() ([]byte, error) }{
		"testdata/generation_discovered.json": discovered,
		"testdata/generation_undecided.json":  undecided,

		"testdata/publication_fill.json":  filling,
		"testdata/publication_limit.json": limited,
		"testdata/generation.json":        generation(),
		"testdata/commit.json":            segment(1, "00ff"),
		"testdata/seal.json":              genesis(),
		"testdata/hole.json": &Commit{Kind: Hole, Epoch: 1, Start: 5, End: 9, Reason: "a bad sector", Attempt: "a3",
			Created: made, Previous: "00ff",
			Next: &Next{Epoch: 2, Rule: position.DefaultCutRule(), Bucket: time.Hour, Partitions: 2}},
		"testdata/publication.json": publication(1, "", 5, true, BucketVersion{0, 10, 1, 7},
			BucketVersion{3_600_000_000, 10, 2, 1 << 63}),
	} {
		got := string(encoded(t, r)) + "\n"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is a stored format; what it holds can never be read otherwise:\n%s", file, diff)
		}
	}
	for file, want := range map[string]*Generation{"testdata/generation_discovered.json": discovered,
		"testdata/generation_undecided.json": undecided} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeGeneration(raw)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", file, err, diff)
		}
	}
	raw, err := os.ReadFile("testdata/publication.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := DecodePublication(raw)
	if err != nil || p.Views["v"].Buckets[1].Checksum != 1<<63 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestFormat0 reads the records of the first format, which had no header. Encoding them again yields
// the bytes of the current format.
func TestFormat0(t *testing.T) {
	t.Parallel()
	read := func(file string) []byte {
		old, err := os.ReadFile("testdata/format0/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return old
	}
	for _, file := range []string{"commit.json", "seal.json", "publication.json"} {
		var r interface{ Encode() ([]byte, error) }
		var err error
		if file == "publication.json" {
			r, err = DecodePublication(read(file))
		} else {
			r, err = DecodeCommit(read(file))
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(encoded(t, r))+"\n"); diff != "" {
			t.Errorf("%s does not mean what it meant:\n%s", file, diff)
		}
	}
	raw, err := CheckDigest(read("stored.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewChain(0).Extend(raw); err != nil {
		t.Errorf("a chain that begins with a record of the first format: %v", err)
	}
}

func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	raw := string(encoded(t, genesis()))
	with := func(members string) []byte { return []byte(strings.Replace(raw, `"format":1`, members, 1)) }
	if _, err := DecodeCommit(with(`"format":1,"colour":"blue","next2":{"x":[1]}`)); err != nil {
		t.Errorf("an optional member that this program does not know: %v", err)
	}
	for name, members := range map[string]string{
		"a later format":               `"format":2`,
		"a later format, another type": `"format":2,"objects":7`,
		"a negative format":            `"format":-1`,
		"an unknown requirement":       `"format":1,"requires":["colour"],"colour":"blue"`,
	} {
		if _, err := DecodeCommit(with(members)); !errors.Is(err, ErrInvalid) ||
			!strings.Contains(err.Error(), "version of recount") && members != `"format":-1` {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDecodingIsStrict(t *testing.T) {
	t.Parallel()
	raw := string(encoded(t, genesis()))
	for name, s := range map[string]string{
		"bytes after it": raw + "{}",
		"not JSON":       raw[1:],
	} {
		if _, err := DecodeCommit([]byte(s)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestEventsByTenant: the numbers are exact for one tenant or one bucket, and bounds for several of both. The events
// of an object that does not count tenants may be of any tenant of its segment.
func TestEventsByTenant(t *testing.T) {
	t.Parallel()
	hours := func(rows ...int64) (out []BucketRows) {
		for i, n := range rows {
			out = append(out, BucketRows{Bucket: int64(i), Rows: n})
		}
		return out
	}
	c := &Commit{Tenants: map[string]int64{"a": 9, "b": 2}}
	for name, x := range map[string]struct {
		object Object
		want   []BucketEvents
	}{
		"one tenant": {Object{Tenants: map[string]int64{"a": 5}, Buckets: hours(2, 3)},
			[]BucketEvents{{0, "a", 2}, {1, "a", 3}}},
		"one bucket": {Object{Tenants: map[string]int64{"a": 4, "b": 1}, Buckets: hours(5)},
			[]BucketEvents{{0, "a", 4}, {0, "b", 1}}},
		"several of both": {Object{Tenants: map[string]int64{"a": 4, "b": 1}, Buckets: hours(3, 2)},
			[]BucketEvents{{0, "a", 3}, {0, "b", 1}, {1, "a", 2}, {1, "b", 1}}},
		"no tenants": {Object{Buckets: hours(7)}, []BucketEvents{{0, "a", 7}, {0, "b", 2}}},
	} {
		got := slices.SortedFunc(c.EventsByTenant(&x.object), CompareBucketEvents)
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestFill: a publication states down to where a view is filled, also in a delta, and requires that a reader knows it.
func TestFill(t *testing.T) {
	t.Parallel()
	p := publication(1, "", 5, true, BucketVersion{7200, 10, 1, 7})
	p.Views["v"].Fill = &Fill{From: 7200, Buckets: 2, Rows: 9}
	raw := encoded(t, p)
	if !strings.Contains(string(raw), `"requires":["fill"]`) {
		t.Errorf("got %s, want a record that requires fill", raw)
	}
	s, err := EmptyState(1).Apply(raw)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Views["v"]; !v.IsFilled(7200) || v.IsFilled(7199) {
		t.Errorf("got %+v, want it filled from 7200 on", v)
	}
	next := publication(2, s.Digest, 5, false, BucketVersion{3600, 11, 1, 7})
	next.Views["v"].Fill = &Fill{From: 3600, Buckets: 1, Rows: 4}
	if s, err = s.Apply(encoded(t, next)); err != nil || *s.Views["v"].Fill != *next.Views["v"].Fill {
		t.Errorf("after a step: got %+v, %v", s.Views["v"], err)
	}
	last := publication(3, s.Digest, 5, false, BucketVersion{0, 12, 1, 7})
	if s, err = s.Apply(encoded(t, last)); err != nil || s.Views["v"].Fill != nil || len(s.Views["v"].Buckets) != 3 {
		t.Errorf("after the last step: got %+v, %v", s.Views["v"], err)
	}
	for name, fill := range map[string]Fill{"a bucket before it": {From: 7201, Buckets: 1, Rows: 1},
		"nothing left": {From: 7200}, "fewer rows than buckets": {From: 7200, Buckets: 2, Rows: 1}} {
		p.Views["v"].Fill = &fill
		if _, err := p.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}
