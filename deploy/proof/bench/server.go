package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"recount/deploy/client"
)

// server is a recount that runs as a separate process, over a folder of its own.
type server struct {
	process
	ctx     context.Context // ctx kills the server when it ends.
	url     string
	dir     string
	program string
	root    string // root is the checkout, where the engine's library is.
	key     string // key is an administrator's API key. It may be empty.
}

var urlLine = regexp.MustCompile(`on (http://[^ ,]+)`)

// startServer starts a server with all roles, or with those given, over the folder dir.
func startServer(ctx context.Context, root, program, dir, configuration string, roles ...string) (*server, error) {
	file := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	s := &server{ctx: ctx, dir: dir, program: program, root: root}
	return s, s.start(roles...)
}

// start starts the server, also again after it was stopped or killed, and waits for its address.
func (s *server) start(roles ...string) error {
	args := []string{"up"}
	if len(roles) > 0 {
		args = []string{"serve", "--role", strings.Join(roles, ",")}
	}
	args = append(args, "--config", filepath.Join(s.dir, "recount.yaml"), "--data-dir", s.data(),
		"--listen", "127.0.0.1:0", "--log-level", "error")
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	s.process = process{}
	s.cmd = command(s.ctx, s.root, s.program, args...)
	s.cmd.Stdout = in
	s.cmd.Stderr = &s.logs
	err = s.cmd.Start()
	if err := errors.Join(err, in.Close()); err != nil {
		return errors.Join(err, out.Close())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	m := urlLine.FindStringSubmatch(line)
	if m == nil {
		s.kill()
		return errors.Join(fmt.Errorf("%s printed %q and no address: %s", s.program, line, &s.logs), err, out.Close())
	}
	go func() {
		_, _ = io.Copy(io.Discard, out) // It ends with the process.
		_ = out.Close()
	}()
	s.url = m[1]
	return nil
}

// data is the server's data_dir.
func (s *server) data() string { return filepath.Join(s.dir, "data") }

// query asks a question and returns the answer's body.
func (s *server) query(body []byte) ([]byte, error) {
	return s.call(http.MethodPost, "/v1/query", body)
}

// call sends a request and returns the answer's body.
func (s *server) call(method, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", path, body, resp.Status, raw)
	}
	return raw, err
}

// waitUntilReady waits until the server serves what its log held at the start.
func (s *server) waitUntilReady() error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		_, err := s.call(http.MethodGet, "/readyz", nil)
		if err == nil || time.Since(began) > 5*time.Minute {
			return err
		}
	}
}

// recompute publishes what has landed, until every view has all of its history.
func (s *server) recompute() error {
	for {
		if err := s.runJob("recompute"); err != nil {
			return err
		}
		if left, err := s.metric("recount_batch_unfilled_events"); err != nil || left == 0 {
			return err
		}
	}
}

// runJob runs a job and waits for its end.
func (s *server) runJob(name string) error {
	c, err := client.New(client.Config{URL: s.url, Key: s.key, Timeout: time.Hour})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.RunJob(context.Background(), name)
	return err
}

// metric returns the sum of a metric over its labels. The name may go on with the first labels, without a brace at the
// end.
func (s *server) metric(name string) (float64, error) {
	raw, err := s.call(http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range bytes.Lines(raw) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || !strings.ContainsRune(" {,}", rune(rest[0])) {
			continue
		}
		fields := bytes.Fields(rest)
		v, err := strconv.ParseFloat(string(fields[len(fields)-1]), 64)
		if err != nil {
			return 0, err
		}
		total += v
	}
	return total, nil
}

// waitForMetric waits until a metric is at least n.
func (s *server) waitForMetric(name string, n float64, limit time.Duration) error {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(50 * time.Millisecond) {
		v, err := s.metric(name)
		if err != nil {
			return err
		}
		if v >= n {
			return nil
		}
	}
	return fmt.Errorf("%s did not reach %.0f within %s: %s", name, n, limit, &s.logs)
}

// waitUntilLanded waits until the lake holds n events of this process.
func (s *server) waitUntilLanded(n int) error {
	return s.waitForMetric("recount_landing_events_total", float64(n), 5*time.Minute)
}

// connections is how many clients send at once.
const connections = 8

// sendAll sends every body, again after a refusal for load. It returns how often it was refused. With keys, each
// body is that of the next key.
func (s *server) sendAll(bodies [][]byte, keys ...string) (retries int64, err error) {
	var next, refused atomic.Int64
	var group sync.WaitGroup
	failures := make([]error, connections)
	for k := range connections {
		group.Go(func() {
			c, err := dial(s.url)
			if err != nil {
				failures[k] = err
				return
			}
			defer c.close()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(bodies) {
					return
				}
				if len(keys) > 0 {
					c.key = keys[i%len(keys)]
				}
				if failures[k] = c.deliver(bodies[i], &refused); failures[k] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return refused.Load(), errors.Join(failures...)
}

// copyLake copies the bodies of the Parquet objects to a folder. The embedded object store keeps a tail after a body.
func (s *server) copyLake(folder string) (size int64, err error) {
	n := 0
	err = filepath.WalkDir(filepath.Join(s.data(), "s3"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(raw, []byte("PAR1")) {
			return err
		}
		raw = raw[:bytes.LastIndex(raw, []byte("PAR1"))+4]
		size += int64(len(raw))
		n++
		return os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.parquet", n)), raw, 0o600)
	})
	return size, err
}

// folderSize returns the number and the bytes of the files below a folder. Files that vanish meanwhile do not count.
func folderSize(folder string) (files, size int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err == nil {
			files++
			size += info.Size()
		}
		return nil
	})
	return files, size, err
}

// answerOf decodes the rows of an answer: for each row the time as seconds since 1970, if it has one, and the columns.
func answerOf(raw []byte, columns ...string) ([][]string, error) {
	var answer struct{ Rows []map[string]any }
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, err
	}
	out := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		if text, ok := row["time"].(string); ok {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], strconv.FormatInt(t.Unix(), 10))
		}
		for _, c := range columns {
			out[i] = append(out[i], fmt.Sprint(row[c]))
		}
	}
	return out, nil
}
