package conservation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
	"recount/schemas/position"
	"recount/schemas/record"
)

// books returns two partitions with two tenants. The first partition's log holds messages 3 to 8.
// Each has ten events, six of them acme's. Messages 1 to 6 have landed, and those below 5 are
// published. Acme has 2 dead letters there, and 3 events of a type without a view.
func books() *Books {
	segment := func(start, end uint64, objects ...record.Object) *record.Commit {
		c := &record.Commit{Kind: record.Segment, Epoch: 1, Start: start, End: end, Objects: objects,
			Tenants: map[string]int64{}}
		for _, o := range objects {
			c.Events += o.Rows
			for tenant, n := range o.Tenants {
				c.Tenants[tenant] += n
			}
		}
		return c
	}
	object := func(event string, acme, rival int64) record.Object {
		return record.Object{Type: event, Rows: acme + rival, Tenants: map[string]int64{"acme": acme, "rival": rival}}
	}
	h := func(seq uint64) []position.Offset { return []position.Offset{{Epoch: 1, Seq: seq}, {Seq: 1}} }
	none := []record.Account{{}, {}}
	ledger := func(acme, rival record.Account) map[string]record.Ledger {
		return map[string]record.Ledger{"hit": {From: []uint64{1, 1},
			Tenants: map[string][]record.Account{"acme": {acme, none[0]}, "rival": {rival, none[0]}}}}
	}
	return &Books{
		Catalog: &catalog.Catalog{
			Events: map[string]*catalog.EventType{"hit": {Name: "hit"}},
			Views:  map[string]*catalog.View{"hits": {Name: "hits", Event: "hit"}},
		},
		Partitions: []Partition{{
			Landed: []*record.Commit{
				segment(1, 3, object("hit", 12, 8)),
				segment(3, 5, object("hit", 7, 8),
					record.Object{Type: deadletter.Type, Rows: 2, Tenants: map[string]int64{"acme": 2}},
					object("old", 3, 0)),
				segment(5, 7, object("hit", 12, 8)),
			},
			Head: position.Offset{Epoch: 1, Seq: 7}, First: 3, Next: 9,
			Acknowledged: &Acknowledged{Total: 80, Tenants: map[string]int64{"acme": 48, "rival": 32},
				Recent: []Promise{{5, "acme", 6}, {5, "rival", 4}, {8, "acme", 6}}},
			Messages: messages(nil),
		}, {Head: position.Offset{Seq: 1}}},
		States: []*record.State{
			{N: 1, H: h(3), Publication: &record.Publication{N: 1, Events: 20},
				Ledgers: ledger(record.Account{Rows: 12}, record.Account{Rows: 8}),
				Views:   map[string]record.ViewState{"hits": {}},
				Types:   map[string][]record.BucketCount{"hit": {{Rows: 20}}}},
			{N: 2, H: h(5), Publication: &record.Publication{N: 2, Events: 40},
				Ledgers: ledger(record.Account{Rows: 19, Duplicates: 3}, record.Account{Rows: 16, Duplicates: 1}),
				Views:   map[string]record.ViewState{"hits": {}},
				Types:   map[string][]record.BucketCount{"hit": {{Rows: 30, Duplicates: 4}, {Bucket: 1, Rows: 5}}}},
		},
		Counted: map[string]map[string]int64{"hits": {"acme": 16, "rival": 15}},
	}
}

// messages reads a log in which each message has six events of acme and four of rival, plus those
// that more adds.
func messages(more map[uint64]map[string]int64) func(context.Context, uint64, uint64,
	func(uint64, map[string]int64)) error {
	return func(_ context.Context, from, to uint64, each func(uint64, map[string]int64)) error {
		for seq := from; seq < to; seq++ {
			each(seq, map[string]int64{"acme": 6 + more[seq]["acme"], "rival": 4 + more[seq]["rival"]})
		}
		return nil
	}
}

func conserve(t *testing.T, b *Books) *Audit {
	t.Helper()
	a, err := b.Conserve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// table formats the ranges of an audit's first partition: offsets, publication, then the numbers in
// the order of their fields.
func table(t *testing.T, a *Audit) (rows []string) {
	t.Helper()
	for _, r := range a.Partitions[0].Ranges {
		show := func(n *int64) string { return string(must(json.Marshal(n))) }
		rows = append(rows, fmt.Sprint(r.From, "-", r.To, " n", r.Publication, ": ", show(r.Acknowledged), " ",
			show(r.Logged), " w", r.Waiting, " v", r.Voided, " l", r.Landed,
			" p", r.Published, " = ", r.Counted, "+", r.Duplicates, "+", r.Rejected, "+", r.Uncounted, ", ", r.Residue))
	}
	return rows
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestConservation(t *testing.T) {
	t.Parallel()
	a := conserve(t, books())
	if a.Residue != 0 || len(a.Residues) != 0 {
		t.Errorf("residue %d: %+v", a.Residue, a.Residues)
	}
	for name, c := range map[string]struct {
		audit *Audit
		want  []string
	}{
		"all tenants": {a, []string{
			"1-3 n1: null null w0 v0 l20 p20 = 20+0+0+0, 0", "3-5 n2: 0 20 w0 v0 l20 p20 = 11+4+2+3, 0",
			"5-7 n0: 10 20 w0 v0 l20 p0 = 0+0+0+0, 0", "7-9 n0: 6 20 w20 v0 l0 p0 = 0+0+0+0, 0"}},
		"acme": {a.ForTenant("acme"), []string{
			"1-3 n1: null null w0 v0 l12 p12 = 12+0+0+0, 0", "3-5 n2: 0 12 w0 v0 l12 p12 = 4+3+2+3, 0",
			"5-7 n0: 6 12 w0 v0 l12 p0 = 0+0+0+0, 0", "7-9 n0: 6 12 w12 v0 l0 p0 = 0+0+0+0, 0"}},
	} {
		if diff := cmp.Diff(c.want, table(t, c.audit)); diff != "" {
			t.Errorf("audit of %s: %s", name, diff)
		}
	}
	if diff := cmp.Diff(PublicationAudit{Publication: 2, Landed: 40, Published: 40, Counted: 31, Duplicates: 4,
		Rejected: 2, Uncounted: 3}, a.Publications[1]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(PublicationAudit{Publication: 2, Landed: 16, Published: 16, Counted: 15, Duplicates: 1},
		a.ForTenant("rival").Publications[1]); diff != "" {
		t.Error(diff)
	}
	if p := a.Partitions[0]; *p.Acknowledged != 80 || p.Logged != 80 || p.Lost != 0 {
		t.Errorf("partition: %+v", p)
	}
	if got := a.ForTenant("nobody"); got.Residue != 0 || len(got.Partitions) != 0 {
		t.Errorf("a tenant without events sees %+v", got)
	}
}

// TestResidue removes rival's events at one tier at a time. The audit names the tenant, the
// partition, the range and the tier, and shows acme nothing of it.
func TestResidue(t *testing.T) {
	t.Parallel()
	zero := 0
	for name, c := range map[string]struct {
		damage func(*Books)
		want   Residue // Do is filled in below; the zero value means that nothing is wrong
	}{
		"acknowledged and not logged": {func(b *Books) {
			x := b.Partitions[0].Acknowledged
			x.Recent = append(x.Recent, Promise{6, "rival", 7})
			x.Total = 83
			x.Tenants["rival"] = 35
		}, Residue{Tenant: "rival", Partition: &zero, From: 5, To: 7, Tier: Log, Events: 3}},
		"acknowledged long ago": {func(b *Books) {
			b.Partitions[0].Acknowledged.Total = 83
			b.Partitions[0].Acknowledged.Tenants["rival"] = 35
		},
			Residue{Tenant: "rival", Partition: &zero, Tier: Log, Events: 3}},
		"acknowledged before the last start": {func(b *Books) { b.Partitions[0].Acknowledged.Total += 3 },
			Residue{Partition: &zero, Tier: Log, Events: 3}},
		"given up by a seal": {func(b *Books) {
			b.Partitions[0].Acknowledged.Total += 3
			b.Partitions[0].Voided = 3
		}, Residue{}},
		"logged and not landed": {func(b *Books) {
			b.Partitions[0].Messages = messages(map[uint64]map[string]int64{6: {"rival": 2}})
		}, Residue{Tenant: "rival", Partition: &zero, From: 5, To: 7, Tier: Landed, Events: 2}},
		"given up by an operator": {giveUp, Residue{}},
		"landed and not in the ledger": {func(b *Books) {
			b.States[1].Ledgers["hit"].Tenants["rival"][0].Rows--
		}, Residue{Tenant: "rival", Partition: &zero, From: 3, To: 5, Publication: 2, Tier: Published, Events: 1}},
		"missing in rows": {func(b *Books) { b.Counted["hits"]["rival"]-- },
			Residue{Tenant: "rival", Publication: 2, View: "hits", Tier: Counted, Events: 1}},
		"too many in rows": {func(b *Books) { b.Counted["hits"]["rival"] += 2 },
			Residue{Tenant: "rival", Publication: 2, View: "hits", Tier: Counted, Events: -2}},
		"missing in a publication": {func(b *Books) { b.States[1].Publication.Events-- },
			Residue{Publication: 2, Tier: Published, Events: 1}},
		"double in a bucket": {func(b *Books) { b.States[1].Types["hit"][0].Duplicates-- },
			Residue{Publication: 2, Tier: Published, Events: -1}},
	} {
		b := books()
		c.damage(b)
		a := conserve(t, b)
		if c.want == (Residue{}) {
			if a.Residue != 0 {
				t.Errorf("%s: %+v", name, a.Residues)
			}
			continue
		}
		c.want.Do = advice[c.want.Tier]
		if len(a.Residues) == 0 || !cmp.Equal(a.Residues[0], c.want) {
			t.Errorf("%s: got %+v, want %+v first", name, a.Residues, c.want)
		}
		if a.Residue < abs(c.want.Events) || a.Missing(c.want.Tier) == 0 {
			t.Errorf("%s: residue %d", name, a.Residue)
		}
		if got := a.ForTenant("rival").Residue; (got != 0) != (c.want.Tenant == "rival") {
			t.Errorf("%s: rival sees a residue of %d", name, got)
		}
		if got := a.ForTenant("acme").Residue; got != 0 {
			t.Errorf("%s: acme sees a residue of %d: %+v", name, got, a.ForTenant("acme").Residues)
		}
	}
}

// TestUnreadable checks a message that cannot be decoded: its partition cannot be counted from that
// range on. This is an alarm of its own. It reports no lost events and affects no other partition.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	b := books()
	read := b.Partitions[0].Messages
	b.Partitions[0].Messages = func(ctx context.Context, from, _ uint64, each func(uint64, map[string]int64)) error {
		if err := read(ctx, from, 6, each); err != nil {
			return err
		}
		return Unreadable(6, errors.New("flipped"))
	}
	b.States[1].Ledgers["hit"].Tenants["rival"][0].Rows-- // The tiers after the log are still compared.
	a := conserve(t, b)
	if !cmp.Equal(a.Uncounted(), []int{0}) || a.Partitions[0].Unreadable != "message 6: flipped" ||
		a.ForTenant("acme").Partitions[0].Unreadable == "" {
		t.Errorf("uncounted %v: %+v", a.Uncounted(), a.Partitions)
	}
	want := []string{
		"1-3 n1: null null w0 v0 l20 p20 = 20+0+0+0, 0", "3-5 n2: 0 20 w0 v0 l20 p19 = 10+4+2+3, 1",
		"5-7 n0: null null w0 v0 l20 p0 = 0+0+0+0, 0", "7-9 n0: null null w0 v0 l0 p0 = 0+0+0+0, 0"}
	if diff := cmp.Diff(want, table(t, a)); diff != "" {
		t.Error(diff)
	}
	if a.Missing(Log) != 0 || a.Missing(Landed) != 0 || a.Missing(Published) == 0 ||
		a.Partitions[0].Acknowledged != nil {
		t.Errorf("residues %+v of %+v", a.Residues, a.Partitions[0])
	}
}

// giveUp replaces the last segment by a hole. Its messages cannot be read.
func giveUp(b *Books) {
	p := &b.Partitions[0]
	p.Landed = p.Landed[:2]
	p.Holes = []*record.Commit{{Kind: record.Hole, Epoch: 1, Start: 5, End: 7, Reason: "the disk"}}
	p.Acknowledged.Recent = []Promise{{8, "acme", 6}}
	p.Acknowledged.GivenUp = []Promise{{5, "acme", 6}, {5, "rival", 4}, {6, "acme", 6}, {6, "rival", 4}}
	read := p.Messages
	p.Messages = func(ctx context.Context, from, to uint64, each func(uint64, map[string]int64)) error {
		if from < 7 && to > 5 {
			return Unreadable(5, position.GapError{Want: 5, Got: 7})
		}
		return read(ctx, from, to, each)
	}
}

// TestHole shows what an operator gave up as voided, by range and by tenant (C7).
func TestHole(t *testing.T) {
	t.Parallel()
	b := books()
	giveUp(b)
	a := conserve(t, b)
	want := []string{
		"1-3 n1: null null w0 v0 l20 p20 = 20+0+0+0, 0", "3-5 n2: 0 20 w0 v0 l20 p20 = 11+4+2+3, 0",
		"5-7 n0: 20 0 w0 v20 l0 p0 = 0+0+0+0, 0", "7-9 n0: 6 20 w20 v0 l0 p0 = 0+0+0+0, 0"}
	if diff := cmp.Diff(want, table(t, a)); diff != "" {
		t.Error(diff)
	}
	if v := a.ForTenant("rival").Partitions[0].Ranges[2].Voided; v != 8 {
		t.Errorf("%d events of rival are voided, want 8", v)
	}
}

// TestNewViewOfAnOldType adds the first view of a type. The type's ledger begins at the first event,
// and all sums move its events from uncounted to counted.
func TestNewViewOfAnOldType(t *testing.T) {
	t.Parallel()
	b := books()
	b.Catalog.Events["old"] = &catalog.EventType{Name: "old"}
	b.Catalog.Views["olds"] = &catalog.View{Name: "olds", Event: "old"}
	st := *b.States[1]
	st.N = 3
	st.Publication = &record.Publication{N: 3, Events: 40}
	st.Views = map[string]record.ViewState{"hits": {}, "olds": {}}
	st.Types = map[string][]record.BucketCount{"hit": st.Types["hit"], "old": {{Rows: 3}}}
	st.Ledgers = map[string]record.Ledger{"hit": st.Ledgers["hit"],
		"old": {From: []uint64{1, 1}, Tenants: map[string][]record.Account{"acme": {{Rows: 3}, {}}}}}
	b.States = append(b.States, &st)
	b.Counted["olds"] = map[string]int64{"acme": 3}
	a := conserve(t, b)
	if a.Residue != 0 || a.Publications[2].Uncounted != 0 || a.Publications[2].Counted != 34 {
		t.Errorf("got %+v, residues %+v", a.Publications, a.Residues)
	}
}

// TestViewOfAnotherType redefines a view over another type. Publications of the former definition did not count that
// type.
func TestViewOfAnotherType(t *testing.T) {
	t.Parallel()
	b := books()
	b.Catalog.Events["old"] = &catalog.EventType{Name: "old"}
	b.Catalog.Views["moved"] = &catalog.View{Name: "moved", Event: "old"}
	b.States[1].Views = map[string]record.ViewState{"hits": {}, "moved": {Digest: "of a view over hit"}}
	a := conserve(t, b)
	if a.Residue != 0 || a.Publications[1].Uncounted != 3 {
		t.Errorf("got %+v, residues %+v", a.Publications, a.Residues)
	}
}

// TestFill fills the first view of a type in two steps. Bucket 0 is counted with the second one. A row too many or too
// few is a residue at every moment.
func TestFill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rows, residue int64 }{{15, 0}, {14, 2}, {16, 2}} {
		b := books()
		b.Partitions[0].Landed[0].Objects[0].Buckets = []record.BucketRows{{Bucket: 0, Rows: 20}}
		b.Partitions[0].Landed[1].Objects[0].Buckets = []record.BucketRows{{Bucket: 1, Rows: 15}}
		filling := map[string]record.ViewState{"hits": {Fill: &record.Fill{From: 1, Buckets: 1, Rows: 20}}}
		b.States[0].Types = nil
		b.States[0].Ledgers = nil
		b.States[0].Views = filling
		b.States[1].Types = map[string][]record.BucketCount{"hit": {{Bucket: 1, Rows: c.rows}}}
		b.States[1].Views = filling
		b.States[1].Ledgers = map[string]record.Ledger{"hit": {From: []uint64{1, 1},
			Tenants: map[string][]record.Account{"acme": {{Rows: 7}, {}}, "rival": {{Rows: 8}, {}}}}}
		b.Counted = nil
		a := conserve(t, b)
		if a.Residue != c.residue || a.Publications[1].Uncounted != 23 || a.Publications[0].Uncounted != 20 {
			t.Errorf("%d rows: got %+v, residues %+v; want %d", c.rows, a.Publications, a.Residues, c.residue)
		}
	}
}

// TestLedgersYoungerThanPublications checks events that were published before ledgers began: the
// ledgers do not count them, and they are no residue.
func TestLedgersYoungerThanPublications(t *testing.T) {
	t.Parallel()
	b := books()
	b.States[0].Ledgers = nil
	b.States[1].Ledgers = map[string]record.Ledger{"hit": {From: []uint64{3, 1}, Tenants: map[string][]record.Account{
		"acme": {{Rows: 7, Duplicates: 3}, {}}, "rival": {{Rows: 8, Duplicates: 1}, {}}}}}
	if a := conserve(t, b); a.Residue != 0 {
		t.Errorf("residues %+v", a.Residues)
	}
}
