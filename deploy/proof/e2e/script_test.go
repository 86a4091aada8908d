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

	"recount/deploy/embedded/chdb"
	"recount/schemas/eventbatch"
)

// scriptsAtOnce is how many scripts run at the same time. Each has a server, which needs half a
// gigabyte for its embedded ClickHouse.
const scriptsAtOnce = 3

// TestScripts runs the text scripts of testdata. Each script has its own server and these commands:
//
//	up CONFIG FLAGS…    starts recount up, over the data that an earlier server of the script left
//	down                stops the server with SIGINT
//	crash               stops the server with kill -9
//	post FILE           sends the CloudEvents of FILE and prints which were accepted and rejected
//	advance             waits until the speed layer answers for every acknowledged event
//	land                waits until every acknowledged event has landed in the lake
//	recompute           runs the job recompute and waits for its end
//	day VIEW ARGS…      runs recount query for the day of the scripts, 2024-05-01
//	showkey FILE        sets RECOUNT_KEY to the key in FILE
//	recount ARGS…       runs any other command
//	exits CODE recount ARGS…    runs a command and expects it to fail with the exit code
//	becomes CODE recount ARGS…  runs a command until it fails with the exit code
//
// Where the file admin.key exists, advance, land and recompute use its key; post uses the key of
// RECOUNT_KEY_FILE. The output of a command is matched by cmp, stdout and stderr, as with exec.
func TestScripts(t *testing.T) {
	t.Parallel()
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, scriptsAtOnce)
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
			"land":      scriptLand,
			"recompute": scriptRecompute,
			"day":       scriptDay,
			"shows":     scriptShows,
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

// serverOf returns the server of a script.
func serverOf(script *testscript.TestScript) *scriptServer {
	return script.Value(serverKey{}).(*scriptServer)
}

func scriptUp(script *testscript.TestScript, _ bool, args []string) {
	s, err := launch(script.Getenv("WORK"), script.MkAbs(args[0]), serverOf(script).listen, args[1:]...)
	script.Check(err)
	serverOf(script).server = s
}

func scriptDown(script *testscript.TestScript, _ bool, _ []string) {
	script.Check(serverOf(script).drain())
}

func scriptCrash(script *testscript.TestScript, _ bool, _ []string) { serverOf(script).kill() }

func scriptPost(script *testscript.TestScript, _ bool, args []string) {
	body, err := os.ReadFile(script.MkAbs(args[0]))
	script.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx = withKey(ctx, readKey(script.Getenv("RECOUNT_KEY_FILE")))
	a, err := sender(ctx, serverOf(script).url).SendLines(ctx, body)
	script.Check(err)
	var out strings.Builder
	fmt.Fprintf(&out, "accepted %d\n", a.Accepted)
	for _, r := range a.Rejected {
		fmt.Fprintf(&out, "rejected %d %s %s\n", r.Index, r.ID, r.Code)
	}
	_, err = fmt.Fprint(script.Stdout(), out.String())
	script.Check(err)
}

func scriptAdvance(script *testscript.TestScript, _ bool, _ []string) {
	script.Check(waitForMetrics(asAdmin(script), serverOf(script).url, state.advanced))
}

func scriptLand(script *testscript.TestScript, _ bool, _ []string) {
	script.Check(waitForMetrics(asAdmin(script), serverOf(script).url, state.advanced))
	script.Check(waitUntilLanded(asAdmin(script), serverOf(script).url))
}

// waitForMetrics reads a server's metrics until wanted returns nil for them.
func waitForMetrics(ctx context.Context, url string, wanted func(state) error) error {
	return eventually(ctx, func() error {
		text, err := metrics(ctx, url)
		if err != nil {
			return err
		}
		return wanted(parseState(text))
	})
}

// waitUntilLanded waits until every acknowledged event is in the lake. It needs two readings that
// agree, because the gauges of one reading are not taken at the same instant.
func waitUntilLanded(ctx context.Context, url string) error {
	if err := waitForMetrics(ctx, url, state.landed); err != nil {
		return err
	}
	return waitForMetrics(ctx, url, state.landed)
}

// state holds metrics by name and labels, such as recount_log_next_sequence{partition="0"}.
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

// advanced returns an error until the speed layer has read every message of the log.
func (s state) advanced() error {
	for p := 0; ; p++ {
		label := fmt.Sprintf(`{partition="%d"}`, p)
		next, ok := s["recount_log_next_sequence"+label]
		switch got := s["recount_realtime_next_sequence"+label]; {
		case !ok && p == 0:
			return errors.New("the metrics lack recount_log_next_sequence")
		case !ok:
			return nil
		case got < next:
			return fmt.Errorf("partition %d: the speed layer has read up to %v, the log ends at %v", p, got, next)
		}
	}
}

// heartbeatBytes is what a message without events adds to the open segment.
var heartbeatBytes = float64(len(eventbatch.AppendHeartbeat(nil, 0)))

// landed returns an error until landing has committed every event. After an idle cut the heartbeat
// that closed the segment is in the next segment (C1). There may be several heartbeats.
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
			return fmt.Errorf("partition %d: committed up to %v, the log ends at %v; %v events and %v bytes are open",
				p, committed, next, events, bytes)
		}
	}
}

func scriptRecompute(script *testscript.TestScript, _ bool, _ []string) {
	script.Check(runJob(asAdmin(script), serverOf(script).url, "recompute"))
}

func scriptDay(script *testscript.TestScript, negated bool, args []string) {
	scriptRecount(script, negated, slices.Concat([]string{"query", args[0], "--from", "2024-05-01T00:00:00Z", "--to",
		"2024-05-02T00:00:00Z"}, args[1:]))
}

func scriptRecount(script *testscript.TestScript, negated bool, args []string) {
	err := script.Exec(binary, args...)
	if (err != nil) != negated {
		if s := serverOf(script).server; s != nil {
			script.Logf("[server]\n%s", s.logs)
		}
		script.Fatalf("recount %s: %v", strings.Join(args, " "), err)
	}
}

// asAdmin returns a context with the key in admin.key, if there is one.
func asAdmin(script *testscript.TestScript) context.Context {
	return withKey(context.Background(), readKey(script.MkAbs("admin.key")))
}

// readKey returns the key in a file; it is empty without a file.
func readKey(path string) string {
	raw, _ := os.ReadFile(path)
	return strings.TrimSpace(string(raw))
}

func scriptShowKey(script *testscript.TestScript, _ bool, args []string) {
	script.Setenv("RECOUNT_KEY", readKey(script.MkAbs(args[0])))
}

func scriptBecomes(script *testscript.TestScript, _ bool, args []string) {
	script.Check(eventually(context.Background(), func() error {
		err := script.Exec(binary, args[2:]...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
			return fmt.Errorf("%s: %w, want exit code %s", strings.Join(args[1:], " "), err, args[0])
		}
		return nil
	}))
}

// scriptShows runs a command until it prints what a file holds.
func scriptShows(script *testscript.TestScript, _ bool, args []string) {
	script.Check(eventually(context.Background(), func() error {
		err := script.Exec(binary, args[2:]...)
		if got := script.ReadFile("stdout"); err == nil && got != script.ReadFile(args[0]) {
			err = fmt.Errorf("%s prints %s", strings.Join(args[1:], " "), got)
		}
		return err
	}))
}

func scriptExits(script *testscript.TestScript, _ bool, args []string) {
	err := script.Exec(binary, args[2:]...)
	var exit *exec.ExitError
	if args[1] != "recount" || !errors.As(err, &exit) || fmt.Sprint(exit.ExitCode()) != args[0] {
		script.Fatalf("%s: %v, want exit code %s", strings.Join(args[1:], " "), err, args[0])
	}
}
