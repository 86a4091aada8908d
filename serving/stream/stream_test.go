package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

// counter is a query whose answer is another one in each round.
func counter(rounds *atomic.Int64) Query {
	return Query{Tenant: "acme", Text: "view=flights", Interval: time.Second,
		Ask: func(context.Context, *Answer) (*Answer, error) {
			n := rounds.Add(1)
			return &Answer{ID: fmt.Sprint(n), Frame: fmt.Appendf(nil, "frame %d", n)}, nil
		}}
}

func join(t testing.TB, h *Hub, q Query) *Reader {
	t.Helper()
	r, err := h.Join(q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// values returns the values of a counter, by the value of its label.
func values(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				label := ""
				if len(m.GetLabel()) > 0 {
					label = m.GetLabel()[0].GetValue()
				}
				out[label] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// read reads answers until a query ends, with a pause after each.
func read(r *Reader, pause time.Duration) (ids []string, err error) {
	for {
		a, changed, err := r.Newest()
		if err != nil {
			return ids, err
		}
		if a != nil && (len(ids) == 0 || ids[len(ids)-1] != a.ID) {
			ids = append(ids, a.ID)
			r.Sent(a)
			time.Sleep(pause)
			continue
		}
		<-changed
	}
}

// TestReadersShareOneQuery has 1,000 readers of one query, one of which is slow, for 10 seconds. The query is asked
// once a second for all of them. The slow one gets the newest answers only, and keeps nobody from getting all.
func TestReadersShareOneQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		h := New(DefaultConfig(), reg)
		var rounds atomic.Int64
		results := make(chan []string, 1000)
		for i := range 1000 {
			pause := time.Duration(0)
			if i == 7 {
				pause = 4300 * time.Millisecond
			}
			r := join(t, h, counter(&rounds))
			go func() {
				defer r.Leave()
				ids, err := read(r, pause)
				if !errors.Is(err, ErrClosed) {
					t.Errorf("a reader ended with %v", err)
				}
				results <- ids
			}()
		}
		time.Sleep(9500 * time.Millisecond)
		if readers, queries := h.count(); readers != 1000 || queries != 1 {
			t.Errorf("%d readers of %d queries", readers, queries)
		}
		h.Close()
		slow := 0
		for range 1000 {
			switch ids := <-results; len(ids) {
			case 10:
			case 3:
				slow++
				if got := fmt.Sprint(ids); got != "[1 5 9]" {
					t.Errorf("the slow reader got %s", got)
				}
			default:
				t.Fatalf("a reader got %v", ids)
			}
		}
		if slow != 1 || rounds.Load() != 10 {
			t.Errorf("%d slow readers, %d rounds", slow, rounds.Load())
		}
		if got := values(t, reg, "recount_stream_sent_total")[""]; got != 999*10+3 {
			t.Errorf("%v answers sent", got)
		}
		if got := values(t, reg, "recount_stream_skipped_total")[""]; got != 6 {
			t.Errorf("%v answers skipped, want 6", got)
		}
		synctest.Wait()
		if len(h.running)+len(h.tenants)+h.readers != 0 {
			t.Errorf("the hub keeps %v %v %d", h.running, h.tenants, h.readers)
		}
	})
}

// TestRounds plays rounds with every result. Readers hear of other answers only.
func TestRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		h := New(DefaultConfig(), reg)
		defer h.Close()
		broken := errors.New("broken")
		n := 0
		q := Query{Interval: time.Second, Ask: func(_ context.Context, last *Answer) (*Answer, error) {
			n++
			switch n {
			case 1:
				return &Answer{ID: "a", Standing: "1"}, nil
			case 2: // unchanged
				return last, nil
			case 3: // asked, and equal
				return &Answer{ID: "a", Standing: "3"}, nil
			case 4:
				return nil, fmt.Errorf("%w: all places are taken", ErrBusy)
			case 5:
				if last.Standing != "3" {
					t.Errorf("the last answer stands for %s", last.Standing)
				}
				return &Answer{ID: "b"}, nil
			}
			return nil, broken
		}}
		r := join(t, h, q)
		ids, err := read(r, 0)
		r.Leave()
		if fmt.Sprint(ids) != "[a b]" || !errors.Is(err, broken) || n != 6 {
			t.Errorf("got %v, %v after %d rounds", ids, err, n)
		}
		want := map[string]float64{"asked": 3, "unchanged": 1, "busy": 1, "failed": 1}
		if diff := cmp.Diff(want, values(t, reg, "recount_stream_rounds_total")); diff != "" {
			t.Error(diff)
		}
		if got := values(t, reg, "recount_stream_skipped_total")[""]; got != 0 {
			t.Errorf("%v answers skipped, although an equal one is none", got)
		}
		n = 0
		again := join(t, h, q) // It begins anew after the error.
		synctest.Wait()
		if a, _, err := again.Newest(); a == nil || err != nil {
			t.Errorf("after an error: %v, %v", a, err)
		}
		again.Leave()
	})
}

// TestBusyBeforeTheFirstAnswer: without an answer that stands, busy is an error.
func TestBusyBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(DefaultConfig(), nil)
		defer h.Close()
		r := join(t, h, Query{Interval: time.Second, Ask: func(context.Context, *Answer) (*Answer, error) {
			return nil, ErrBusy
		}})
		defer r.Leave()
		if ids, err := read(r, 0); len(ids) > 0 || !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, %v", ids, err)
		}
	})
}

// TestASlowQueryRests: a round of 5 s every second leaves half of the time to others, also if readers join meanwhile.
func TestASlowQueryRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(DefaultConfig(), nil)
		defer h.Close()
		var rounds atomic.Int64
		q := Query{Interval: time.Second, Ask: func(context.Context, *Answer) (*Answer, error) {
			rounds.Add(1)
			time.Sleep(5 * time.Second)
			return &Answer{ID: "a"}, nil
		}}
		for range 39 {
			r := join(t, h, q)
			defer r.Leave()
			time.Sleep(time.Second)
		}
		if n := rounds.Load(); n != 4 {
			t.Errorf("%d rounds in 39 s, want 4", n)
		}
	})
}

// firstID waits for the first answer of a reader.
func firstID(t *testing.T, r *Reader) string {
	t.Helper()
	late := time.After(time.Minute)
	for {
		a, changed, err := r.Newest()
		switch {
		case err != nil:
			t.Fatal(err)
		case a != nil:
			return a.ID
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("no answer within a minute")
		}
	}
}

// TestAReaderJoinsLater: with an interval of an hour, readers that join half an hour later get an answer of that
// moment. They share one round. One that joins within the second after it gets the same answer, without a round.
func TestAReaderJoinsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(DefaultConfig(), nil)
		defer h.Close()
		var rounds atomic.Int64
		q := counter(&rounds)
		q.Interval = time.Hour
		expect := func(want string, r *Reader) {
			t.Helper()
			if got := firstID(t, r); got != want {
				t.Errorf("the first answer is %s, want %s", got, want)
			}
		}
		defer join(t, h, q).Leave()
		time.Sleep(30 * time.Minute)
		second := join(t, h, q)
		third := join(t, h, q)
		defer second.Leave()
		defer third.Leave()
		expect("2", second)
		expect("2", third)
		time.Sleep(900 * time.Millisecond)
		fourth := join(t, h, q)
		defer fourth.Leave()
		expect("2", fourth)
		time.Sleep(100 * time.Millisecond)
		fifth := join(t, h, q)
		defer fifth.Leave()
		expect("3", fifth)
		time.Sleep(59 * time.Minute)
		if n := rounds.Load(); n != 3 {
			t.Errorf("%d rounds, want 3", n)
		}
		time.Sleep(2 * time.Minute)
		if n := rounds.Load(); n != 4 {
			t.Errorf("%d rounds an hour after the last one, want 4", n)
		}
	})
}

// TestAnUnchangedAnswerIsTheFirst: a reader that joins later gets the answer that stands once a round has confirmed it,
// or has found no place. A query that has found none is asked again a second later.
func TestAnUnchangedAnswerIsTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(DefaultConfig(), nil)
		defer h.Close()
		n := 0
		q := Query{Interval: time.Hour, Ask: func(_ context.Context, last *Answer) (*Answer, error) {
			n++
			switch n {
			case 1:
				return &Answer{ID: "a"}, nil
			case 2:
				time.Sleep(10 * time.Millisecond)
				return last, nil
			case 3:
				return nil, ErrBusy
			}
			return &Answer{ID: "b"}, nil
		}}
		defer join(t, h, q).Leave()
		for i, want := range []string{"a", "a", "b"} {
			time.Sleep(time.Minute)
			r := join(t, h, q)
			defer r.Leave()
			if a, _, err := r.Newest(); a != nil || err != nil {
				t.Fatalf("reader %d got %v, %v before a round", i, a, err)
			}
			if got := firstID(t, r); got != want {
				t.Errorf("reader %d got %s, want %s", i, got, want)
			}
			if i == 1 {
				time.Sleep(1100 * time.Millisecond)
				if a, _, _ := r.Newest(); a.ID != "b" {
					t.Errorf("a second after it had no place: %s", a.ID)
				}
			}
		}
	})
}

// TestRoom lets random tenants join and leave, and compares the hub with a list of the readers.
func TestRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{Readers: rapid.IntRange(1, 8).Draw(rt, "readers"),
			Queries: rapid.IntRange(1, 5).Draw(rt, "queries"), Fair: rapid.Bool().Draw(rt, "fair")}
		h := New(cfg, nil)
		defer h.Close()
		var readers []*Reader
		count := func(is func(Query) bool) (n int, queries map[string]bool) {
			queries = map[string]bool{}
			for _, r := range readers {
				if q := r.running.query; is(q) {
					n++
					queries[q.key()] = true
				}
			}
			return n, queries
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(readers) > 0 && rapid.IntRange(0, 2).Draw(rt, "leave") == 0 {
				i := rapid.IntRange(0, len(readers)-1).Draw(rt, "who")
				readers[i].Leave()
				readers = append(readers[:i], readers[i+1:]...)
				continue
			}
			var rounds atomic.Int64
			q := counter(&rounds)
			q.Tenant = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "tenant")
			q.Text = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "text")
			all, queries := count(func(Query) bool { return true })
			own, ownQueries := count(func(o Query) bool { return o.Tenant == q.Tenant })
			begins := !queries[q.key()]
			fits := all < cfg.Readers && own < cfg.share(cfg.Readers) &&
				(!begins || len(queries) < cfg.Queries && len(ownQueries) < cfg.share(cfg.Queries))
			r, err := h.Join(q)
			if (err == nil) != fits {
				rt.Fatalf("%+v: %d of %d readers, %d of %d queries: %v", cfg, own, all, len(ownQueries), len(queries),
					err)
			}
			if err == nil {
				readers = append(readers, r)
			}
		}
		all, queries := count(func(Query) bool { return true })
		if gotReaders, gotQueries := h.count(); gotReaders != all || gotQueries != len(queries) {
			rt.Fatalf("%d readers of %d queries, want %d of %d", gotReaders, gotQueries, all, len(queries))
		}
		for _, r := range readers {
			r.Leave()
		}
		if len(h.running)+len(h.tenants)+h.readers != 0 {
			rt.Fatalf("the hub keeps %v %v %d", h.running, h.tenants, h.readers)
		}
	})
}

// TestClosedHub: nobody can join a hub that is closed.
func TestClosedHub(t *testing.T) {
	t.Parallel()
	h := New(DefaultConfig(), nil)
	h.Close()
	var rounds atomic.Int64
	if _, err := h.Join(counter(&rounds)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
