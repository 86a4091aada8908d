package publish

import (
	"errors"
	"strings"
	"testing"
	"time"

	"recount/batch/cells"
	"recount/schemas/query"
	"recount/schemas/record"
)

// TestPublishes publishes a history and then small additions, and reads the result through SQL.
func TestPublishes(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView(), slimView()), nil)
	w.land("flight", randomEvents(r, 300, epoch.UnixMicro(), 30)...)
	w.land("bare", event{id: "x", tenant: "acme", time: epoch.UnixMicro()})
	got := w.recompute(p)
	if got.Publication != 1 || got.Events != 301 || got.Buckets < 25 || got.Duplicates == 0 ||
		p.State().Publication.Events != 301 {
		t.Errorf("got %+v, want publication 1 of 301 events with at least 25 buckets and some duplicates", got)
	}
	w.checkWide("history")
	for i := range 4 {
		w.land("flight", randomEvents(r, 40, epoch.UnixMicro()+int64(i)*hour, 3)...)
		if got = w.recompute(p); got.Publication != uint64(i+2) || got.Buckets > 4 || got.Nothing {
			t.Errorf("got %+v, want publication %d with at most 4 buckets", got, i+2)
		}
		w.checkWide("delta")
	}
	if got = w.recompute(p); !got.Nothing || got.Publication != 5 || got.Rows != 0 {
		t.Errorf("nothing has landed: got %+v, want nothing published", got)
	}
	var slim uint64
	for _, e := range w.countedEvents() {
		if e.delay != nil && *e.delay >= 0 {
			slim++
		}
	}
	if n := w.queryNumber("SELECT sum(n) FROM slim"); n != slim {
		t.Errorf("slim: got %d, want %d", n, slim)
	}
	if n := w.queryNumber("SELECT uniqExactMerge(origins__state) FROM slim"); n != 5 {
		t.Errorf("got %d origins, want 5", n)
	}
	checkStateOf(t, w.publisher(catalogOf(wideView(), slimView()), nil).State(), p.State())
}

func checkStateOf(t *testing.T, got, want *record.State) {
	t.Helper()
	if got.N != want.N || got.Digest != want.Digest ||
		len(got.Views["wide"].Buckets) != len(want.Views["wide"].Buckets) {
		t.Errorf("a new process sees publication %d with %d buckets, want %d with %d", got.N,
			len(got.Views["wide"].Buckets), want.N, len(want.Views["wide"].Buckets))
	}
}

// TestAssignedTimes checks I3: of two copies with assigned times in neighbouring buckets the one of the lower
// position counts, also if its bucket is the later one. So new rows leave the buckets of old rows as they are.
func TestAssignedTimes(t *testing.T) {
	t.Parallel()
	w, _ := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView()), nil)
	late := event{id: "a", tenant: "acme", time: epoch.UnixMicro() + hour, assigned: true}
	w.land("flight", late)
	w.recompute(p)
	w.checkWide("alone")
	for _, c := range []struct {
		shift int64
		what  string
	}{{-hour, "with a copy before"}, {hour, "with a copy after"}} {
		again := late
		again.time += c.shift
		w.land("flight", again)
		if got := w.recompute(p); got.Buckets != 1 || got.Duplicates != 1 {
			t.Errorf("%s: got %+v, want one dirty bucket and one duplicate", c.what, got)
		}
		w.checkWide(c.what)
		w.checkLedger(p)
	}
	if b := p.State().Views["wide"].Buckets; len(b) != 1 || b[0].Bucket != late.time || b[0].Rows != 1 {
		t.Errorf("got buckets %+v, want the row in the first copy's bucket", b)
	}
}

// TestEarlierCopiesAreComputedAgain recomputes after a publication of the first version of I3, in which the copy of
// the earlier bucket counted. All buckets that this may concern are computed again, and the ledger begins anew.
func TestEarlierCopiesAreComputedAgain(t *testing.T) {
	t.Parallel()
	w, _ := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView()), nil)
	for _, shift := range []int64{hour, 0, 5 * hour} {
		w.land("flight", event{id: "a", tenant: "acme", time: epoch.UnixMicro() + shift, assigned: true})
	}
	w.recompute(p)
	p.State().Publication.Copies = 0 // As the first version wrote it.
	w.land("flight", event{id: "b", tenant: "acme", time: epoch.UnixMicro() + 9*hour})
	if got := w.recompute(p); got.Buckets != 4 {
		t.Errorf("got %+v, want all four buckets", got)
	}
	w.checkWide("again")
	w.checkLedger(p)
	w.land("flight", event{id: "c", tenant: "acme", time: epoch.UnixMicro() + 9*hour})
	if got := w.recompute(p); got.Buckets != 1 {
		t.Errorf("got %+v, want one bucket", got)
	}
}

// TestBases publishes until there is a second base, which lists every bucket again.
func TestBases(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	c := catalogOf(slimView())
	p := w.publisher(c, nil)
	for i := range record.BaseEvery + 2 {
		w.advance(time.Minute)
		w.land("flight", randomEvents(r, 6, epoch.UnixMicro()+int64(i%3)*hour, 1)...)
		w.recompute(p)
	}
	for n, base := range map[uint64]bool{1: true, 2: false, 32: false, 33: true, 34: false} {
		b, err := record.DecodePublication(w.records.Bodies[record.PublicationKey(n)])
		if err != nil || b.Base != base || base && n > 1 && len(b.Views["slim"].Buckets) < 3 {
			t.Errorf("publication %d: base %t, %d buckets, %v", n, b.Base, len(b.Views["slim"].Buckets), err)
		}
	}
	q := w.publisher(c, nil)
	checkStateOf(t, q.State(), p.State())
	w.checkLedger(p)
	w.checkLedger(q)
	got := q.Kept()
	want := p.Kept()
	if len(got) != len(want) || len(got) != 11 {
		t.Errorf("a new process keeps %v, the old one %v; want the 11 that were the newest in the last 10 minutes", got,
			want)
	}
	for _, n := range q.Kept() {
		if s, err := q.StateAt(t.Context(), n); err != nil || s.N != n {
			t.Errorf("publication %d: %v", n, err)
		}
	}
}

// TestViewsComeAndGo adds a view to a lake with a history, changes it and removes it.
func TestViewsComeAndGo(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 100, epoch.UnixMicro(), 5)...)
	w.recompute(w.publisher(catalogOf(slimView()), nil))

	both := w.publisher(catalogOf(slimView(), wideView()), nil)
	if rows := w.readWide(); len(rows) != 0 {
		t.Errorf("a view without a publication shows %d rows, want none", len(rows))
	}
	slim := len(both.State().Views["slim"].Buckets)
	if got := w.recompute(both); got.Nothing || got.Events != 0 {
		t.Errorf("a new view: got %+v, want a publication without new events", got)
	}
	w.checkWide("new view")
	w.checkLedger(both)
	if got := both.State().Views["slim"].Buckets; len(got) != slim || got[0].Ver>>32 != 1 {
		t.Errorf("the other view was computed again: %+v", got)
	}

	changed := wideView()
	changed.Measures = changed.Measures[:1]
	p := w.publisher(catalogOf(slimView(), changed), nil)
	w.checkWide("redefined, not yet published")
	w.recompute(p)
	if n := w.queryNumber("SELECT toUInt64(count()) FROM system.columns WHERE database = currentDatabase() AND " +
		"table = 'wide'"); n != 6 {
		t.Errorf("the VIEW of the redefined view has %d columns, want 6", n)
	}
	if n := w.queryNumber("SELECT sum(n) FROM wide"); n != uint64(len(w.countedEvents())) {
		t.Errorf("redefined: %d events, want %d", n, len(w.countedEvents()))
	}

	last := w.publisher(catalogOf(slimView()), nil)
	w.recompute(last)
	if _, ok := last.State().Views["wide"]; ok {
		t.Error("a removed view is still published")
	}
	if n := w.queryNumber("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = " +
		"'wide'"); n != 0 {
		t.Error("a removed view keeps its VIEW")
	}
	none := w.publisher(catalogOf(), nil)
	w.recompute(none)
	if s := none.State(); len(s.Types) != 0 || !s.Publication.Base {
		t.Errorf("got counts %v of a type without views, want none and a base", s.Types)
	}
}

// TestNewestPublicationOnly checks that a VIEW shows nothing of a publication whose projection is not
// complete.
func TestNewestPublicationOnly(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(wideView()), nil)
	w.land("flight", randomEvents(r, 50, epoch.UnixMicro(), 2)...)
	w.recompute(p)
	before := w.readWide()
	w.land("flight", randomEvents(r, 50, epoch.UnixMicro(), 2)...)
	w.recompute(p)
	w.checkWide("second")
	if err := w.db.Exec(t.Context(), "ALTER TABLE recount_published DELETE WHERE n = 2 AND view = '' SETTINGS "+
		"mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if got := w.readWide(); len(got) != len(before) || strings.Join(got, "\n") != strings.Join(before, "\n") {
		t.Error("the VIEW shows rows of a publication without its marker")
	}
	w.publisher(catalogOf(wideView()), nil)
	w.checkWide("projected again at start")
	w.land("flight", randomEvents(r, 50, epoch.UnixMicro()+4*hour, 1)...)
	w.recompute(p)
	if err := w.db.Exec(t.Context(),
		"ALTER TABLE recount_published DELETE WHERE n >= 2 SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	w.publisher(catalogOf(wideView()), nil)
	w.checkWide("two publications were not projected")
}

// TestRefuses checks the errors about a lake, a chain, a database or a configuration that does not fit.
func TestRefuses(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 20, epoch.UnixMicro(), 2)...)
	p := w.publisher(catalogOf(slimView()), nil)
	var key string
	for key = range w.objects {
		break
	}
	body := w.objects[key]
	for name, altered := range map[string][]byte{"missing": nil, "cut": body[:len(body)-1],
		"altered": append(append([]byte{}, body[:9]...), make([]byte, len(body)-9)...)} {
		w.objects[key] = altered
		if altered == nil {
			delete(w.objects, key)
		}
		if _, err := p.Recompute(t.Context()); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s object: got %v, want an error that names %s", name, err, key)
		}
	}
	w.objects[key] = body
	w.recompute(p)

	bucket := catalogOf(slimView())
	bucket.Bucket = 2 * time.Hour
	if _, err := w.publisher(bucket, nil).Recompute(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "batch.bucket") {
		t.Errorf("another bucket width: got %v, want an error about batch.bucket", err)
	}
	w.chains[1].Head.Seq--
	if _, err := p.Recompute(t.Context()); err == nil || !strings.Contains(err.Error(), "commit chain ends") {
		t.Errorf("a chain that lost its end: got %v, want an error that says so", err)
	}
	if err := w.db.Exec(t.Context(), "CREATE TABLE wide (x UInt8) ENGINE = MergeTree ORDER BY x"); err != nil {
		t.Fatal(err)
	}
	if err := w.unstarted(catalogOf(wideView()), nil).Start(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "not recount's") {
		t.Errorf("a table that is not recount's: got %v, want an error that says so", err)
	}
	if err := w.db.Exec(t.Context(), "ALTER TABLE "+cells.MigrationsTable+" UPDATE sha256 = 'x' WHERE 1 SETTINGS "+
		"mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if err := w.unstarted(catalogOf(), nil).Start(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "migration 0001") {
		t.Errorf("an edited migration: got %v, want an error that names it", err)
	}
	if err := (Config{}).Validate(); err == nil || !strings.Contains(err.Error(), "partitions") {
		t.Errorf("an empty Config: got %v, want an error that names partitions", err)
	}
}

// TestAt asks for publications that are kept, expired, pinned and not there yet, and pins some.
func TestAt(t *testing.T) {
	t.Parallel()
	w, r := newRandomWorld(t)
	p := w.publisher(catalogOf(slimView()), nil)
	var stale *Publisher
	for range 6 {
		w.land("flight", randomEvents(r, 5, epoch.UnixMicro(), 2)...)
		if w.recompute(p).Publication == 3 {
			stale = w.publisher(catalogOf(slimView()), nil)
		}
		w.advance(20 * time.Minute)
	}
	if got := p.Kept(); len(got) != 3 || got[0] != 4 || p.OldestKept().N != 4 {
		t.Errorf("kept %v, oldest %d; want the last three", got, p.OldestKept().N)
	}
	wants := map[uint64]error{0: query.ErrNoPublication, 7: query.ErrNoPublication, 3: query.ErrCollected, 4: nil}
	for n, want := range wants {
		if s, err := p.StateAt(t.Context(), n); !errors.Is(err, want) || err == nil && s.N != n {
			t.Errorf("publication %d: got %v, want %v", n, err, want)
		}
	}
	if err := p.Pin(t.Context(), 3); !errors.Is(err, query.ErrCollected) {
		t.Errorf("a pin of an expired publication: got %v, want query.ErrCollected", err)
	}
	if err := stale.Pin(t.Context(), 2); !errors.Is(err, query.ErrCollected) {
		t.Errorf("a pin by a process that knows an old chain: got %v, want query.ErrCollected", err)
	}
	delete(w.records.Bodies, PinKey(2))
	w.records.Bodies[PinKey(2)] = []byte("{}") // Another process pinned 2 while it was kept.
	s, err := p.StateAt(t.Context(), 2)
	if err != nil || s.N != 2 || s.H[0].Seq > p.State().H[0].Seq || p.OldestKept().N != 4 {
		t.Errorf("a pinned publication: got %v, and the oldest kept is %d, want 4", err, p.OldestKept().N)
	}
}
