package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"recount/deploy/embedded/chdb"
)

// peer is another engine in a process of its own. It runs SQL in that process, without a network.
type peer struct {
	process
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// request asks a peer to run statements: Repeat times, or for Seconds, by each of Clients at once.
type request struct {
	SQL     []string `json:"sql"`
	Clients int      `json:"clients,omitempty"`
	Repeat  int      `json:"repeat,omitempty"`
	Seconds float64  `json:"seconds,omitempty"`
	Rows    bool     `json:"rows,omitempty"` // Rows asks for the rows of the last statement.
}

// reply has the time of each statement and the time of the whole request, in seconds.
type reply struct {
	Took    []float64 `json:"took"`
	Elapsed float64   `json:"elapsed"`
	Rows    [][]any   `json:"rows"`
	Error   string    `json:"error,omitempty"`
}

// startPeer starts an engine that keeps its data in dir. ClickHouse is the embedded engine of the product in a second
// process of this program. DuckDB runs in Node.
func startPeer(ctx context.Context, root, name, dir string) (*peer, error) {
	p := &peer{name: name}
	switch name {
	case clickhouse, clickhouseUnsynced:
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p.cmd = command(ctx, root, program, peerArgument, dir)
	case duckdb:
		p.cmd = command(ctx, dir, "node", filepath.Join(root, benchFolder, "duckdb.mjs"), filepath.Join(dir, "duck.db"))
	default:
		p.cmd = command(ctx, dir, "node", filepath.Join(root, benchFolder, "duckdb.mjs"), ":memory:")
	}
	p.cmd.Stderr = &p.logs
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	p.out = bufio.NewReaderSize(out, 1<<20)
	return p, p.cmd.Start()
}

// ask runs a request in the peer.
func (p *peer) ask(r request) (reply, error) {
	var answer reply
	raw, err := json.Marshal(r)
	if err != nil {
		return answer, err
	}
	if _, err := p.in.Write(append(raw, '\n')); err != nil {
		return answer, fmt.Errorf("%s: %w: %s", p.name, err, &p.logs)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("%s ended: %w: %s", p.name, err, &p.logs)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return answer, fmt.Errorf("%s: %w: %s", p.name, err, line)
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("%s: %s\n%s", p.name, answer.Error, strings.Join(r.SQL, ";\n"))
	}
	return answer, nil
}

// run runs statements once.
func (p *peer) run(sql ...string) error {
	_, err := p.ask(request{SQL: sql})
	return err
}

// measure runs statements once and measures the process.
func (p *peer) measure(sql []string) (figures, error) {
	return p.process.measure(func() error {
		_, err := p.ask(request{SQL: sql})
		return err
	})
}

// rows runs a statement and returns its rows as text.
func (p *peer) rows(sql string) ([][]string, error) {
	answer, err := p.ask(request{SQL: []string{sql}, Rows: true})
	out := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		for _, v := range row {
			out[i] = append(out[i], fmt.Sprint(v))
		}
	}
	return out, err
}

// peerArgument makes this program the process of the peer ClickHouse.
const peerArgument = "peer-clickhouse"

// runClickHouse is that process. It answers requests until its input ends.
func runClickHouse(dir string) error {
	ctx := context.Background()
	engine, err := chdb.Open(ctx, chdb.DefaultConfig(dir))
	if err != nil {
		return err
	}
	transport := engine.Transport()
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var r request
		err := in.Decode(&r)
		if errors.Is(err, io.EOF) {
			return engine.Close()
		}
		if err != nil {
			return err
		}
		answer, err := runRequest(ctx, transport, r)
		if err != nil {
			answer.Error = err.Error()
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// runRequest runs a request in the embedded engine.
func runRequest(ctx context.Context, transport http.RoundTripper, r request) (reply, error) {
	var answer reply
	var mu sync.Mutex
	var failure error
	var last []byte
	began := time.Now()
	client := func() {
		for i := 0; ; i++ {
			if r.Seconds > 0 && time.Since(began).Seconds() >= r.Seconds || r.Seconds == 0 && i >= max(1, r.Repeat) {
				return
			}
			for _, sql := range r.SQL {
				start := time.Now()
				raw, err := runSQL(ctx, transport, sql, r.Rows)
				took := time.Since(start).Seconds()
				mu.Lock()
				answer.Took = append(answer.Took, took)
				failure = errors.Join(failure, err)
				last = raw
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}
	}
	var group sync.WaitGroup
	for range max(1, r.Clients) {
		group.Go(client)
	}
	group.Wait()
	answer.Elapsed = time.Since(began).Seconds()
	if failure != nil || !r.Rows {
		return answer, failure
	}
	for line := range bytes.Lines(last) {
		var row []any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			return answer, fmt.Errorf("%w: %.200s", err, line)
		}
		answer.Rows = append(answer.Rows, row)
	}
	return answer, nil
}

// runSQL runs one statement. Its rows are JSON if they are wanted, or else the engine's own format.
func runSQL(ctx context.Context, transport http.RoundTripper, sql string, asJSON bool) ([]byte, error) {
	parameters := url.Values{"default_format": {"Native"}, "database": {"recount"}}
	if asJSON {
		parameters.Set("default_format", "JSONCompactEachRow")
		parameters.Set("output_format_json_quote_64bit_integers", "0")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://embedded/?"+parameters.Encode(),
		strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(raw))
	}
	return raw, err
}
