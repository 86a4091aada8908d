package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostileConfig is the default configuration with limits low enough for the attacks of a test.
const hostileConfig = `
ingest: {max_body: 16MiB}
query: {timeout: 1m, concurrent: 4}
events:
  hit: {fields: {page: string, n: int64, f: float64, ok: bool, at: timestamp}}
views:
  hits: {event: hit, dimensions: [page, n], measures: {hits: {count: {}}, sum: {sum: n}, worst: {max: f}}}
jobs: {recompute: {schedule: ""}, collect: {schedule: ""}, expire: {schedule: ""}}
`

// shortTimeouts are timeouts that a test can wait for. Only the attacks by slowness use them: on a
// busy machine a large attack may need as long without being slow on purpose.
const shortTimeouts = "http: {header_timeout: 1s, body_timeout: 3s, write_timeout: 3s}\n"

// attack is a row of the table of attacks and their outcomes.
type attack struct {
	name string
	sent func() []byte // sent returns all bytes that one connection sends.
	// want lists the answers on the connection: the status, and the error code, the code of the
	// first rejected event or the number of accepted events. Some of several copies may be
	// answered 429 instead.
	want   string
	copies int  // copies is how many are sent at the same time; 0 means 1.
	half   bool // half makes the client close its half of the connection and read on.
	kept   int  // kept is how many events of all copies count afterwards.
	memory int  // memory is the most MiB by which the process may grow; 0 means defaultGrowth.
}

// defaultGrowth is a bound in MiB. It is far below the gigabytes that the attacks ask for.
const defaultGrowth = 96

// TestHostile sends the attacks to a real server, one after the other. Each must have the outcome
// that the table says, and the server's memory must stay below the bound. Afterwards a normal
// event must be accepted, and exactly the right events must be counted.
func TestHostile(t *testing.T) {
	h := newVictim(t, hostileConfig)
	for _, table := range [][]attack{bodyAttacks(), eventAttacks(), queryAttacks(), pathAttacks(), messageAttacks()} {
		h.attackAll(t, table)
	}
	h.stop(t)
}

// TestHostileConnections does the same with attacks that hold connections.
func TestHostileConnections(t *testing.T) {
	h := newVictim(t, shortTimeouts+hostileConfig)
	h.attackAll(t, unfinishedAttacks())
	for _, c := range connectionAttacks {
		t.Run(c.name, func(t *testing.T) {
			checkMemory := h.watchMemory(t, c.memory)
			c.attack(t, h)
			checkMemory()
			h.stillWorks(t)
		})
	}
	h.stop(t)
}

// victim is the server under attack.
type victim struct {
	*server
	addr   string
	normal int  // normal counts the normal events, which all count.
	kept   int  // kept counts the events of attacks that count.
	broken bool // broken says that a normal client was not served.
}

func newVictim(t *testing.T, config string) *victim {
	t.Helper()
	dir := t.TempDir()
	h := &victim{server: start(t, dir, writeFile(t, filepath.Join(dir, "recount.yaml"), config), "127.0.0.1:0")}
	h.addr = strings.TrimPrefix(h.url, "http://")
	h.stillWorks(t)
	return h
}

func (h *victim) attackAll(t *testing.T, table []attack) {
	t.Helper()
	for _, a := range table {
		if t.Run(a.name, func(t *testing.T) { h.attack(t, a) }); h.broken {
			t.FailNow() // All later rows would fail for the same reason.
		}
	}
}

// attack sends all copies of an attack and checks the outcome.
func (h *victim) attack(t *testing.T, a attack) {
	sent := a.sent()
	growth := a.memory
	if growth == 0 {
		growth = defaultGrowth
	}
	checkMemory := h.watchMemory(t, growth)
	got := make([]string, max(a.copies, 1))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = h.send(a, sent) })
	}
	wg.Wait()
	right := 0
	for _, g := range got {
		shed := len(got) > 1 && strings.HasPrefix(g, "429 ")
		if g == a.want {
			right++
		} else if !shed {
			t.Errorf("got %s, want %s", g, a.want)
		}
	}
	if right == 0 {
		t.Errorf("no copy was answered %s", a.want)
	}
	checkMemory()
	h.kept += a.kept
	h.stillWorks(t)
}

// send opens a connection, sends all bytes and returns the outcomes of all answers. After the wanted
// number of answers it closes its half of the connection and reads on.
func (h *victim) send(a attack, sent []byte) string {
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() {
		_, _ = c.Write(sent) // The server may close it earlier.
		if a.half {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}()
	var out []string
	for r, last := bufio.NewReader(c), strings.Count(a.want, ","); ; {
		o, err := readOutcome(r)
		if err != nil {
			if len(out) == 0 {
				return "closed"
			}
			return strings.Join(out, ", ")
		}
		if out = append(out, o); len(out) > last {
			_ = c.(*net.TCPConn).CloseWrite()
		}
	}
}

// readOutcome reads one answer and describes it as the table does.
func readOutcome(r *bufio.Reader) (string, error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var body struct {
		Code     string
		Accepted *int
		Rejected []struct{ Code string }
	}
	out := strconv.Itoa(resp.StatusCode)
	problem := resp.Header.Get("Content-Type") == "application/problem+json"
	if len(raw) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(raw, &body); err != nil || problem != (body.Code != "") {
		return out + " text", nil
	}
	switch {
	case problem && len(body.Rejected) > 0:
		out += " " + body.Code + "/" + body.Rejected[0].Code
	case problem:
		out += " " + body.Code
	case body.Accepted != nil:
		out += fmt.Sprint(" accepted ", *body.Accepted)
	}
	return out, nil
}

// stillWorks sends a normal event and waits until exactly the right events are counted. Like any
// client, the sender tries again after 429 and after a lost idle connection.
func (h *victim) stillWorks(t *testing.T) {
	t.Helper()
	h.normal++
	ctx := t.Context()
	event := fmt.Sprintf(`{"id":"normal-%d","type":"hit","time":"2024-01-01T00:00:00Z","data":{"page":"/"}}`, h.normal)
	sendContext, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if a, err := sender(ctx, h.url).SendLines(sendContext, []byte(event)); err != nil || a.Accepted != 1 {
		t.Fatalf("send a normal event: %+v, %v\n%s", a, err, h.logs)
	}
	err := eventually(ctx, func() error {
		a, err := query(ctx, h.url,
			`{"view":"hits","measures":["hits"],"from":"1970-01-01T00:00:00Z","to":"2262-01-01T00:00:00Z"}`)
		if want := float64(h.normal + h.kept); err == nil && (len(a.Rows) != 1 || a.Rows[0]["hits"] != want) {
			err = fmt.Errorf("%v, want %v hits", a.Rows, want)
		}
		return err
	})
	if err != nil {
		h.broken = true
		t.Fatalf("%v\n%s", err, h.logs)
	}
}

// watchMemory reads the process's memory now. The function it returns fails the test if the peak
// since then is more than growth MiB higher. It checks nothing where /proc does not show memory.
func (h *victim) watchMemory(t *testing.T, growth int) (check func()) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(h.cmd.Process.Pid))
	if err := os.WriteFile(filepath.Join(proc, "clear_refs"), []byte("5"), 0); err != nil {
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			t.Fatal(err)
		}
		t.Logf("the bound of %d MiB is not checked here: %v", growth, err)
		return func() {}
	}
	before := processMemory(t, proc, "VmRSS:")
	return func() {
		t.Helper()
		peak := processMemory(t, proc, "VmHWM:")
		t.Logf("memory: %d MiB before, %d MiB at the peak", before, peak)
		if peak-before > growth {
			t.Errorf("the server's memory grew by %d MiB, want at most %d", peak-before, growth)
		}
	}
}

// processMemory reads a field of /proc/PID/status in MiB.
func processMemory(t *testing.T, proc, field string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(raw, []byte(field))
	var kib int
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// request returns the bytes of a request with a body; headers are whole lines.
func request(method, path, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}
