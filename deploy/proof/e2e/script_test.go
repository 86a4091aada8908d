package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"

	"recount/deploy/client"
	"recount/deploy/embedded/chdb"
	"recount/schemas/eventbatch"
)

// atOnce is how many scripts run at the same time: each has a server, and a server
// with an embedded ClickHouse takes half a gigabyte.
const atOnce = 3

// TestScripts runs the text scripts of testdata. Each has a server of its own:
//
//	up CONFIG FLAGS…   starts recount up, again over the same data if it ran before
//	down | crash       stops it with SIGINT, or with kill -9
//	post FILE          sends the CloudEvents of FILE and prints what was accepted and rejected
//	advance            waits until the speed layer answers for everything that was acknowledged
//	cut                waits until everything that was acknowledged has also landed in the lake
//	recompute          runs the job recompute and waits for its end
//	day VIEW ARGS…     runs recount query for the day of the scripts, 2024-05-01
//	showkey FILE       puts the key of FILE into RECOUNT_KEY
//	recount ARGS…      runs any other command; exits CODE expects it to fail with that code, and
//	                   becomes CODE repeats it until it does
//
// Where admin.key exists, what looks into the server shows that key; commands show the one of RECOUNT_KEY_FILE.
// What a command prints is matched by cmp, stdout and stderr, as with exec.
func TestScripts(t *testing.T) {
	t.Parallel()
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, atOnce)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			slots <- struct{}{}
			s := &scriptServer{listen: reserve(t)}
			env.Defer(func() {
				if s.server != nil {
					s.kill()
				}
				<-slots
			})
			env.Values[serverKey{}] = s
			env.Setenv("RECOUNT_CLICKHOUSE_LIBRARY", library)
			env.Setenv("RECOUNT_SERVER", "http://"+s.listen)
			return parquet.WriteFile(filepath.Join(env.WorkDir, "views.parquet"), []view{
				{"5", time.Date(2024, 5, 1, 10, 0, 4, 0, time.UTC), "/"},
				{"6", time.Date(2024, 5, 1, 10, 0, 5, 0, time.UTC), "7"},
			})
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up":        scriptUp,
			"down":      scriptDown,
			"crash":     scriptCrash,
			"post":      scriptPost,
			"advance":   scriptAdvance,
			"cut":       scriptCut,
			"recompute": scriptRecompute,
			"day":       scriptDay,
			"recount":   scriptRecount,
			"showkey":   scriptShowKey,
			"exits":     scriptExits,
			"becomes":   scriptBecomes,
		},
	})
}

// view is a row of views.parquet.
type view struct {
	ID   string    `parquet:"id"`
	At   time.Time `parquet:"at,timestamp(microsecond)"`
	Page string    `parquet:"page"`
}

type serverKey struct{}

type scriptServer struct {
	listen string
	*server
}

func of(ts *testscript.TestScript) *scriptServer { return ts.Value(serverKey{}).(*scriptServer) }

func scriptUp(ts *testscript.TestScript, _ bool, args []string) {
	s, err := launch(ts.Getenv("WORK"), ts.MkAbs(args[0]), of(ts).listen, args[1:]...)
	ts.Check(err)
	of(ts).server = s
}

func scriptDown(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(of(ts).drain()) }

func scriptCrash(ts *testscript.TestScript, _ bool, _ []string) { of(ts).kill() }

func scriptPost(ts *testscript.TestScript, _ bool, args []string) {
	body, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := client.New(of(ts).url, 1)
	s.Key = keyIn(ts.Getenv("RECOUNT_KEY_FILE"))
	a, err := s.Send(ctx, body)
	ts.Check(err)
	var out strings.Builder
	fmt.Fprintf(&out, "accepted %d\n", a.Accepted)
	for _, r := range a.Rejected {
		fmt.Fprintf(&out, "rejected %d %s %s\n", r.Index, r.ID, r.Code)
	}
	_, err = fmt.Fprint(ts.Stdout(), out.String())
	ts.Check(err)
}

func scriptAdvance(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(until(asAdmin(ts), of(ts).url, state.advanced))
}

func scriptCut(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(until(asAdmin(ts), of(ts).url, state.advanced))
	ts.Check(untilLanded(asAdmin(ts), of(ts).url))
}

// until looks at a server's metrics until they are as wanted.
func until(ctx context.Context, url string, wanted func(state) error) error {
	return eventually(ctx, func() error {
		text, err := metrics(ctx, url)
		if err != nil {
			return err
		}
		return wanted(parseState(text))
	})
}

// untilLanded waits until everything that was acknowledged is in the lake. It needs two looks that
// agree, because the gauges of one look are not read at the same instant.
func untilLanded(ctx context.Context, url string) error {
	if err := until(ctx, url, state.landed); err != nil {
		return err
	}
	return until(ctx, url, state.landed)
}

// state is metrics by name and labels, such as recount_log_next_sequence{partition="0"}.
type state map[string]float64

func parseState(text string) state {
	s := state{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			s[name] = v
		}
	}
	return s
}

// advanced fails until the speed layer has consumed every message of the log.
func (s state) advanced() error {
	for p := 0; ; p++ {
		label := fmt.Sprintf(`{partition="%d"}`, p)
		next, ok := s["recount_log_next_sequence"+label]
		switch got := s["recount_realtime_next_sequence"+label]; {
		case !ok && p == 0:
			return errors.New("no metric recount_log_next_sequence")
		case !ok:
			return nil
		case got < next:
			return fmt.Errorf("partition %d: the speed layer is at %v of %v", p, got, next)
		}
	}
}

// heartbeatBytes is what a message without events adds to the open segment.
var heartbeatBytes = float64(len(eventbatch.AppendHeartbeat(nil, 0)))

// landed fails until landing has committed every event. After an idle cut the heartbeat that
// closed the segment is in the next one (C1), and more of them where it took long to arrive.
func (s state) landed() error {
	for p := 0; ; p++ {
		label := fmt.Sprintf(`{partition="%d"}`, p)
		next, ok := s["recount_log_next_sequence"+label]
		committed := s["recount_landing_next_sequence"+label]
		events := s["recount_landing_open_events"+label]
		bytes := s["recount_landing_open_bytes"+label]
		switch {
		case !ok:
			return nil
		case committed >= next:
		case events == 0 && bytes == (next-committed)*heartbeatBytes:
		default:
			return fmt.Errorf("partition %d: committed up to %v of %v, %v events and %v bytes open", p, committed, next,
				events, bytes)
		}
	}
}

func scriptRecompute(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(runJob(asAdmin(ts), of(ts).url, "recompute"))
}

func scriptDay(ts *testscript.TestScript, neg bool, args []string) {
	scriptRecount(ts, neg, slices.Concat([]string{"query", args[0], "--from", "2024-05-01T00:00:00Z", "--to",
		"2024-05-02T00:00:00Z"}, args[1:]))
}

func scriptRecount(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(binary, args...)
	if (err != nil) != neg {
		if s := of(ts).server; s != nil {
			ts.Logf("[server]\n%s", s.logs)
		}
		ts.Fatalf("recount %s: %v", strings.Join(args, " "), err)
	}
}

// asAdmin shows the key of admin.key, where there is one.
func asAdmin(ts *testscript.TestScript) context.Context {
	return withKey(context.Background(), keyIn(ts.MkAbs("admin.key")))
}

// keyIn is the key in a file, empty without one.
func keyIn(path string) string {
	raw, _ := os.ReadFile(path)
	return strings.TrimSpace(string(raw))
}

func scriptShowKey(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("RECOUNT_KEY", keyIn(ts.MkAbs(args[0])))
}

func scriptBecomes(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(eventually(context.Background(), func() error {
		err := ts.Exec(binary, args[2:]...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
			return fmt.Errorf("%s: %w, want exit code %s", strings.Join(args[1:], " "), err, args[0])
		}
		return nil
	}))
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(binary, args[2:]...)
	var exit *exec.ExitError
	if args[1] != "recount" || !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		ts.Fatalf("%s: %v, want exit code %s", strings.Join(args[1:], " "), err, args[0])
	}
}
