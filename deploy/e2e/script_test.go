package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"recount/deploy/sender"
)

// TestScripts runs the text scripts of testdata. Each has a server of its own:
//
//	up CONFIG          starts recount up, again over the same data if it ran before
//	down | crash       stops it with SIGINT, or with kill -9
//	post FILE          sends the CloudEvents of FILE and prints what was accepted and rejected
//	advance            waits until the speed layer answers for everything that was acknowledged
//	cut                waits until everything that was acknowledged has landed in the lake
//	recompute          runs the job recompute and waits for its end
//	query ARGS…        runs recount query against the server; its table is the output
//	recount ARGS…      runs any other command
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = &scriptServer{t: t, listen: freeAddress(t)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up":        scriptUp,
			"down":      scriptDown,
			"crash":     scriptCrash,
			"post":      scriptPost,
			"advance":   scriptAdvance,
			"cut":       scriptCut,
			"recompute": scriptRecompute,
			"query":     scriptQuery,
			"recount":   scriptRecount,
		},
	})
}

type serverKey struct{}

type scriptServer struct {
	t      *testing.T
	listen string
	*server
}

func of(ts *testscript.TestScript) *scriptServer { return ts.Value(serverKey{}).(*scriptServer) }

func scriptUp(ts *testscript.TestScript, _ bool, args []string) {
	s := of(ts)
	s.server = start(s.t, ts.Getenv("WORK"), ts.MkAbs(args[0]), s.listen)
	ts.Setenv("RECOUNT_SERVER", s.url)
}

func scriptDown(ts *testscript.TestScript, _ bool, _ []string) { of(ts).stop(of(ts).t) }

func scriptCrash(ts *testscript.TestScript, _ bool, _ []string) { of(ts).kill() }

func scriptPost(ts *testscript.TestScript, _ bool, args []string) {
	body, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := sender.New(of(ts).url, 1).Send(ctx, body)
	ts.Check(err)
	var out strings.Builder
	fmt.Fprintf(&out, "accepted %d\n", a.Accepted)
	for _, r := range a.Rejected {
		fmt.Fprintf(&out, "rejected %d %s %s\n", r.Index, r.ID, r.Code)
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "posted"), []byte(out.String()), 0o600))
	fmt.Fprint(ts.Stdout(), out.String())
}

// metric sums a metric over its labels.
func metric(ctx context.Context, url, name string) (float64, error) {
	m, err := metrics(ctx, url)
	if err != nil {
		return 0, err
	}
	total, found := 0.0, false
	for line := range strings.Lines(m) {
		if rest, ok := strings.CutPrefix(line, name); ok && (strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, " ")) {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
				return 0, err
			}
			total, found = total+v, true
		}
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return total, nil
}

// reached waits until a metric of the partitions' next offsets equals the log's.
func reached(ts *testscript.TestScript, name string) {
	ctx := context.Background()
	ts.Check(eventually(ctx, 20*time.Second, func() error {
		want, err := metric(ctx, of(ts).url, "recount_log_next_sequence")
		if err != nil {
			return err
		}
		got, err := metric(ctx, of(ts).url, name)
		if err == nil && got < want {
			err = fmt.Errorf("%s is %v, the log's next sequences add up to %v", name, got, want)
		}
		return err
	}))
}

func scriptAdvance(ts *testscript.TestScript, _ bool, _ []string) {
	reached(ts, "recount_realtime_next_sequence")
}

func scriptCut(ts *testscript.TestScript, _ bool, _ []string) {
	ctx := context.Background()
	ts.Check(eventually(ctx, 20*time.Second, func() error {
		open, err := metric(ctx, of(ts).url, "recount_landing_open_events")
		if err == nil && open > 0 {
			err = fmt.Errorf("%v events have not landed", open)
		}
		return err
	}))
}

func scriptRecompute(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(runJob(context.Background(), of(ts).url, "recompute"))
}

func scriptQuery(ts *testscript.TestScript, neg bool, args []string) {
	scriptRecount(ts, neg, append([]string{"query"}, args...))
}

func scriptRecount(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(binary, args...)
	if (err != nil) != neg {
		ts.Fatalf("recount %s: %v", strings.Join(args, " "), err)
	}
}
