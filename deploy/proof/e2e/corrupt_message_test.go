package e2e

import (
	encoding "encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/deploy/embedded/natsserver"
	"recount/schemas/eventbatch"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// TestCorruptMessage appends a corrupt message to one partition's log while the server is down (C7).
// The server must start: the other partitions accept, count and publish events, and /readyz and
// the audit name the corrupt message. The alarm ends when an operator gives the message up.
func TestCorruptMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), crashConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 0, 1000)
	expectHits(t, srv, "exact", 1000)
	srv.stop(t)
	seq := corruptLog(t, filepath.Join(dir, "data", "log"))

	srv = start(t, dir, config, "127.0.0.1:0")
	expectHits(t, srv, "merged", 1000)
	sendHits(t, srv, 1000, 2000)
	var others int // the events of the other partitions
	for i := 1000; i < 2000; i++ {
		if eventbatch.TenantSourceID.Key("default", "e2e", fmt.Sprint(i)).Partition(3) != 0 {
			others++
		}
	}
	expectHits(t, srv, "merged", float64(1000+others))
	expectHits(t, srv, "exact", float64(1000+others))
	want := fmt.Sprintf("partition 0 cannot be counted: message %d: corrupt log message", seq)
	if status, body := ask(t, srv.url, "",
		operation{method: http.MethodGet, path: "/readyz"}); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, want) || strings.Contains(body, "partition 1") {
		t.Errorf("/readyz: status %d, want 503 with %q: %s", status, want, body)
	}
	if err := runJob(t.Context(), srv.url, "audit"); err == nil ||
		!strings.Contains(err.Error(), "partitions [0] cannot be counted; of the others the residue is 0") {
		t.Errorf("job audit: got %v, want an error that names partition 0", err)
	}
	if _, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/v1/audit"}); !strings.Contains(body,
		fmt.Sprintf(`"unreadable":"message %d: corrupt log message`, seq)) {
		t.Errorf("/v1/audit does not name the corrupt message: %s", body)
	}
	srv.stop(t)

	// Without an intact copy of the log, an operator gives up the message. No event is lost with it.
	giveUp(t, dir, config, 0, seq, seq+1)
	srv = start(t, dir, config, "127.0.0.1:0")
	sendHits(t, srv, 2000, 2500)
	expectHits(t, srv, "exact", 2500)
	expectReady(t, srv)
	if err := runJob(t.Context(), srv.url, "audit"); err != nil {
		t.Errorf("job audit: %v", err)
	}
	srv.stop(t)
}

// expectReady waits until the server is ready.
func expectReady(t *testing.T, srv *server) {
	t.Helper()
	err := eventually(t.Context(), func() error {
		status, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/readyz"})
		if status != http.StatusOK {
			return fmt.Errorf("/readyz: status %d, want 200: %s", status, body)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// giveUp gives up messages of a stopped server's log (C7), and once more, which changes nothing.
func giveUp(t *testing.T, dir, config string, partition int, from, to uint64) {
	t.Helper()
	runHole(t, dir, config, partition, from, to,
		fmt.Sprintf("messages [%d, %d) of partition %d are given up;", from, to, partition))
	runHole(t, dir, config, partition, from, to,
		fmt.Sprintf("nothing to do in partition %d: messages [%d, %d) were given up at ", partition, from, to))
}

// runHole runs recount hole, which must succeed and say what is wanted.
func runHole(t *testing.T, dir, config string, partition int, from, to uint64, want string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, "hole", "--config", config, "--data-dir",
		filepath.Join(dir, "data"), "--partition", fmt.Sprint(partition), "--from", fmt.Sprint(from), "--to",
		fmt.Sprint(to), "--reason", "a test damaged it")
	command.Dir = filepath.Join("..", "..", "..")
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Fatalf("recount hole: %v\n%s\nwant %q", err, out, want)
	}
}

// slowCutConfig is crashConfig without cuts, so that nothing lands while a test runs.
var slowCutConfig = strings.Replace(crashConfig, "cut_interval: 200ms", "cut_interval: 24h", 1)

// TestFlippedBitIsGivenUp flips a bit in a message of a partition's log while the server is down: after a stop in
// the last message, after kill -9 in one that has others after it in its block. A killed server leaves no index of the
// log and, within a second, no mark either (L5). The server must start and name what it lacks, and so must recount
// verify before and after. An operator gives the message up (C7). Then everything else counts, the audit shows the
// events as voided, every answer names the hole, and the events count again when they are sent again.
func TestFlippedBitIsGivenUp(t *testing.T) {
	t.Parallel()
	stop := func(t *testing.T, srv *server) { srv.stop(t) }
	kill := func(_ *testing.T, srv *server) { srv.kill() }
	killLater := func(_ *testing.T, srv *server) {
		time.Sleep(1200 * time.Millisecond)
		srv.kill()
	}
	for name, c := range map[string]struct {
		end     func(*testing.T, *server)
		message int  // index of the message that is damaged, of five
		marked  bool // whether the count of the acknowledged events was stored
	}{
		"stop":                {stop, 4, true},
		"kill at once":        {kill, 2, false},
		"kill after a mark":   {killLater, 2, true},
		"kill, first message": {kill, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flippedBitIsGivenUp(t, c.end, c.message, c.marked)
		})
	}
}

func flippedBitIsGivenUp(t *testing.T, end func(*testing.T, *server), message int, marked bool) {
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), slowCutConfig)
	srv := start(t, dir, config, "127.0.0.1:0")
	for i := range 5 {
		sendHits(t, srv, 100*i, 100*(i+1))
	}
	end(t, srv)
	flipMessage(t, filepath.Join(dir, "data", "log"), 0, message)
	lost := 0   // events in the damaged message: those of its request in partition 0
	landed := 0 // events in the messages before it
	others := 0 // events of the other partitions
	for i := range 500 {
		switch {
		case eventbatch.TenantSourceID.Key("default", "e2e", fmt.Sprint(i)).Partition(3) != 0:
			others++
		case i/100 == message:
			lost++
		case i/100 < message:
			landed++
		}
	}
	verify := func() (string, error) {
		command := exec.CommandContext(t.Context(), binary, "verify", "--config", config, "--data-dir",
			filepath.Join(dir, "data"))
		command.Dir = filepath.Join("..", "..", "..")
		out, err := command.CombinedOutput()
		return string(out), err
	}
	out, err := verify()
	m := lostMessages.FindStringSubmatch(out)
	if err == nil || m == nil {
		t.Errorf("recount verify before the start does not say how to give the message up: %v\n%s", err, out)
	}

	srv = start(t, dir, config, "127.0.0.1:0")
	var from, to uint64
	err = eventually(t.Context(), func() error {
		_, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/readyz"})
		m := lostMessages.FindStringSubmatch(body)
		if m == nil || !strings.Contains(body, "landing of partition 0 stopped") {
			return fmt.Errorf("/readyz does not say what partition 0 lacks: %s", body)
		}
		_, err := fmt.Sscan(m[1]+" "+m[2], &from, &to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	expectHits(t, srv, "merged", float64(others))
	srv.stop(t)
	if out, err := verify(); err == nil || !strings.Contains(out, m[0]) || m[0] != fmt.Sprintf(
		"recount hole --partition 0 --from %d --to %d", from, to) {
		t.Errorf("recount verify does not say how to give the message up: %v\n%s", err, out)
	}

	giveUp(t, dir, config, 0, from, to)
	srv = start(t, dir, config, "127.0.0.1:0")
	expectHits(t, srv, "merged", float64(500-lost))
	if landed > 0 {
		expectHits(t, srv, "exact", float64(landed)) // Only the messages before the hole have landed.
	}
	expectReady(t, srv)
	hole := []position.Hole{{Partition: 0, From: from, To: to}}
	a, err := query(t.Context(), srv.url, fmt.Sprintf(hitsQuery, "merged"))
	if err != nil || !slices.Equal(a.Accuracy.Holes, hole) {
		t.Errorf("an answer says %+v, %v, want the hole %v", a.Accuracy, err, hole)
	}
	if err := runJob(t.Context(), srv.url, "audit"); err != nil {
		t.Errorf("job audit: %v", err)
	}
	if _, body := ask(t, srv.url, "", operation{method: http.MethodGet, path: "/v1/audit"}); marked &&
		!strings.Contains(body, fmt.Sprintf(`"voided":%d,`, lost)) {
		t.Errorf("/v1/audit does not show %d voided events: %s", lost, body)
	}
	sendHits(t, srv, 100*message, 100*(message+1))
	expectHits(t, srv, "merged", 500)
	srv.stop(t)
	if out, err := verify(); err != nil || !strings.Contains(out, "a test damaged it") {
		t.Errorf("recount verify after the hole: %v\n%s", err, out)
	}
}

var lostMessages = regexp.MustCompile(`recount hole --partition 0 --from (\d+) --to (\d+)`)

// flipMessage changes a bit in a message of a partition's log, counted from 0.
func flipMessage(t *testing.T, dir string, partition, message int) {
	t.Helper()
	stream := fmt.Sprintf("*-p%d", partition)
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("find the block of partition %d: got %v, %v", partition, blocks, err)
	}
	raw, err := os.ReadFile(blocks[0])
	end := 0
	for range message + 1 {
		end += int(encoding.LittleEndian.Uint32(raw[end:]) &^ (1 << 31))
	}
	if err == nil {
		raw[end-200] ^= 1
		err = os.WriteFile(blocks[0], raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// corruptLog appends a message that cannot be decoded to partition 0 of a stopped server's log.
func corruptLog(t *testing.T, dir string) (seq uint64) {
	t.Helper()
	err := func() error {
		nc := natsserver.DefaultConfig(dir)
		nc.MaxStore = 1 << 40
		server, err := natsserver.Open(t.Context(), nc)
		if err != nil {
			return err
		}
		defer server.Close()
		lc := eventlog.DefaultConfig(server)
		lc.Partitions = 3
		log, err := eventlog.Open(t.Context(), lc)
		if err != nil {
			return err
		}
		defer log.Close()
		seq, err = log.Append(t.Context(), 0, []byte("RCN1 followed by bytes that are not a frame"), "")
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	return seq
}
