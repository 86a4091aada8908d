package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// question is one query, asked of recount and of the peers' cells. CELLS stands for the name of their table.
type question struct {
	name       string
	recount    string   // recount is the part of the query that other questions do not have.
	columns    []string // columns are those of recount's rows after the time.
	clickhouse string
	duckdb     string // duckdb is empty where the SQL of ClickHouse serves.
	sums       bool   // sums means that the question is among those that many clients ask at once.
}

// questions are asked of the shape dense.
var questions = []question{
	{name: "total", recount: `"measures":["hits","volume"]`, columns: []string{"hits", "volume"}, sums: true,
		clickhouse: "select sum(n), sum(v) from CELLS"},
	{name: "by hour", recount: `"measures":["hits","volume"],"granularity":"1h"`, columns: []string{"hits", "volume"},
		sums:       true,
		clickhouse: "select toUnixTimestamp(toStartOfHour(m)) h, sum(n), sum(v) from CELLS group by h order by h",
		duckdb:     "select epoch(date_trunc('hour', m))::BIGINT h, sum(n), sum(v) from CELLS group by h order by h"},
	{name: "top 100 paths", columns: []string{"path", "hits"},
		recount:    `"measures":["hits"],"group_by":["path"],"order_by":[{"by":"hits","desc":true}],"limit":100`,
		clickhouse: "select path, sum(n) s from CELLS group by path order by s desc, path limit 100"},
	{name: "minute × country", columns: []string{"country", "hits"},
		recount:    `"measures":["hits"],"granularity":"1m","group_by":["country"],"limit":100000`,
		clickhouse: "select toUnixTimestamp(m), country, sum(n) from CELLS group by m, country order by m, country",
		duckdb:     "select epoch(m)::BIGINT, country, sum(n) from CELLS group by m, country order by m, country"},
	{name: "one path by minute", columns: []string{"hits", "volume"}, sums: true,
		recount: `"measures":["hits","volume"],"granularity":"1m","limit":100000,` +
			`"where":[{"dimension":"path","op":"eq","values":["/p/7"]}]`,
		clickhouse: "select toUnixTimestamp(m), sum(n), sum(v) from CELLS where path = '/p/7' group by m order by m",
		duckdb:     "select epoch(m)::BIGINT, sum(n), sum(v) from CELLS where path = '/p/7' group by m order by m"},
	{name: "distinct by country", columns: []string{"country", "users"},
		recount:    `"measures":["users"],"group_by":["country"]`,
		clickhouse: "select country, uniqExactMerge(u) from CELLS group by country order by country",
		duckdb: "select country, count(distinct x) from (select country, unnest(u) x from CELLS) group by country " +
			"order by country"},
	{name: "distinct by hour", columns: []string{"users"}, recount: `"measures":["users"],"granularity":"1h"`,
		clickhouse: "select toUnixTimestamp(toStartOfHour(m)) h, uniqExactMerge(u) from CELLS group by h order by h",
		duckdb: "select epoch(date_trunc('hour', m))::BIGINT h, count(distinct x) from (select m, unnest(u) x from " +
			"CELLS) group by h order by h"},
}

// sql is the question for a peer.
func (q *question) sql(system, table string) string {
	text := q.clickhouse
	if system == duckdb && q.duckdb != "" {
		text = q.duckdb
	}
	return strings.ReplaceAll(text, "CELLS", table)
}

// body is the question for recount. Each number asks for another range with the same events, so a client
// repeats no question within a thousand. Of many clients, one asks what another asked before.
func (q *question) body(s *shape, mode string, number int) []byte {
	return fmt.Appendf(nil, `{"view":"hits",%s,"from":%q,"to":%q,"mode":%q}`, q.recount,
		s.firstTime().Format(time.RFC3339), s.endTime().Add(time.Duration(number)*time.Hour).Format(time.RFC3339), mode)
}

// asked are the systems that answer questions, over the same cells.
type asked struct {
	*run
	shape   *shape
	servers map[string]*server
	peers   map[string]*peer
	number  int // number is that of the last question to a server.
}

// queries measures the questions, one client at a time and many at once, over four times the events of a run.
func (r *run) queries() error {
	s := &shapes()[0]
	in, remove, err := r.makeInput(s, 4*r.events)
	if err != nil {
		return err
	}
	defer remove()
	r.say("queries: %d events", in.lines)
	a := &asked{run: r, shape: s, servers: map[string]*server{}, peers: map[string]*peer{}}
	for _, p := range r.programs {
		server, remove, err := r.startRecount(s, p)
		if err != nil {
			return err
		}
		defer remove()
		a.servers[p.system] = server
		if err := a.fill(server, in); err != nil {
			return err
		}
	}
	for _, name := range []string{clickhouse, duckdb} {
		p, remove, err := r.startPeer(name)
		if err != nil {
			return err
		}
		defer remove()
		a.peers[name] = p
		sql := statementsOf(name, s, in.folder)
		if err := p.run(slices.Concat(sql.create, sql.states)...); err != nil {
			return err
		}
	}
	if err := a.compareExact(); err != nil {
		return err
	}
	if err := a.addTail(in); err != nil {
		return err
	}
	for range r.rounds {
		if err := a.round(); err != nil {
			return err
		}
	}
	return nil
}

// fill gives a server the events and publishes them.
func (a *asked) fill(server *server, in *input) error {
	if _, err := server.sendAll(in.bodies); err != nil {
		return err
	}
	if err := server.waitUntilLanded(in.lines); err != nil {
		return err
	}
	if err := server.recompute(); err != nil {
		return err
	}
	cells, err := server.metric("recount_batch_rows_total")
	if err != nil {
		return err
	}
	a.say("  %.0f cells", cells)
	lake := filepath.Join(in.folder, "lake")
	if files, _, err := folderSize(lake); err != nil || files > 0 {
		return err
	}
	_, err = server.copyLake(lake)
	return err
}

// compareExact compares every exact answer with those of the peers.
func (a *asked) compareExact() error {
	for _, q := range questions {
		for system, server := range a.servers {
			raw, err := server.query(q.body(a.shape, "exact", 0))
			if err != nil {
				return err
			}
			got, err := answerOf(raw, q.columns...)
			if err != nil {
				return err
			}
			for name, p := range a.peers {
				want, err := p.rows(q.sql(name, "q"))
				if err != nil {
					return err
				}
				if err := sameRows(got, want, 0); err != nil {
					return fmt.Errorf("%s: %s differs from %s: %w", q.name, system, name, err)
				}
			}
		}
	}
	return nil
}

// addTail sends a twentieth more events, which stay live, and compares every merged answer with ClickHouse's over all
// events. Distinct counts of the tail are sketches.
func (a *asked) addTail(in *input) error {
	tail, lines, err := a.shape.bodies(a.events/5, 1000, 2)
	if err != nil {
		return err
	}
	if err := writeBodies(filepath.Join(in.folder, "tail.ndjson"), tail); err != nil {
		return err
	}
	sql := statementsOf(clickhouse, a.shape, in.folder)
	p := a.peers[clickhouse]
	if err := p.run(append(sql.ingest, sql.live...)...); err != nil {
		return err
	}
	for _, server := range a.servers {
		if _, err := server.sendAll(tail); err != nil {
			return err
		}
		if err := server.waitUntilLanded(in.lines + lines); err != nil {
			return err
		}
	}
	for _, q := range questions {
		want, err := p.rows(q.sql(clickhouse, "live"))
		if err != nil {
			return err
		}
		tolerance := 0.0
		if slices.Contains(q.columns, "users") {
			tolerance = 0.03
		}
		for system, server := range a.servers {
			raw, err := server.query(q.body(a.shape, "merged", 0))
			if err != nil {
				return err
			}
			got, err := answerOf(raw, q.columns...)
			if err == nil {
				err = sameRows(got, want, tolerance)
			}
			if err != nil {
				return fmt.Errorf("%s: %s merged differs from ClickHouse: %w", q.name, system, err)
			}
		}
	}
	return p.run("drop table live", "drop table raw")
}

// sameRows compares rows. The last column may differ by the share tolerance.
func sameRows(got, want [][]string, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, not %d", len(got), len(want))
	}
	for i := range got {
		last := len(got[i]) - 1
		if slices.Equal(got[i], want[i]) {
			continue
		}
		a, errA := strconv.ParseFloat(got[i][last], 64)
		b, errB := strconv.ParseFloat(want[i][len(want[i])-1], 64)
		if errA != nil || errB != nil || !slices.Equal(got[i][:last], want[i][:len(want[i])-1]) ||
			math.Abs(a-b) > tolerance*b {
			return fmt.Errorf("row %d is %v, not %v", i, got[i], want[i])
		}
	}
	return nil
}

// modes are the modes in which recount is asked. The peers' cells are the same for both.
var modes = []string{"exact", "merged"}

// round asks every question in every system, one client at a time, and then by many clients.
func (a *asked) round() error {
	for _, q := range questions {
		for _, mode := range modes {
			for _, p := range a.programs {
				took, err := a.askServer(p.system, &q, mode)
				if err != nil {
					return err
				}
				a.addLatencies(q.name+", "+mode, p.system, took)
			}
		}
		for name := range a.peers {
			took, err := a.askPeer(name, &q)
			if err != nil {
				return err
			}
			for _, mode := range modes {
				a.addLatencies(q.name+", "+mode, name, took)
			}
		}
	}
	for _, clients := range []int{1, 8, 64} {
		if err := a.manyClients(clients); err != nil {
			return err
		}
	}
	return nil
}

// addLatencies adds the median and the 99th percentile, in milliseconds, of times in seconds.
func (r *run) addLatencies(name, system string, took []float64) {
	r.report.add(name+", p50", "ms", system, 1e3*percentile(took, 0.5))
	r.report.add(name+", p99", "ms", system, 1e3*percentile(took, 0.99))
}

// repeats says how often a question is asked that takes this long: up to 30 times, for about half a second.
func repeats(seconds float64) int { return min(30, max(5, int(0.5/seconds))) }

// askServer asks a server a question a few times.
func (a *asked) askServer(system string, q *question, mode string) (took []float64, err error) {
	c, err := dial(a.servers[system].url)
	if err != nil {
		return nil, err
	}
	defer c.close()
	once := func() (float64, error) {
		a.number++
		began := time.Now()
		status, err := c.query(q.body(a.shape, mode, a.number%1000))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: %d: %s", q.name, status, c.answer)
		}
		return time.Since(began).Seconds(), err
	}
	first, err := once()
	for i := 0; err == nil && i < repeats(first); i++ {
		var seconds float64
		seconds, err = once()
		took = append(took, seconds)
	}
	return took, err
}

// askPeer asks a peer a question a few times.
func (a *asked) askPeer(name string, q *question) ([]float64, error) {
	p := a.peers[name]
	sql := []string{q.sql(name, "q")}
	first, err := p.ask(request{SQL: sql})
	if err != nil {
		return nil, err
	}
	answer, err := p.ask(request{SQL: sql, Repeat: repeats(first.Elapsed)})
	return answer.Took, err
}

// manySeconds is how many seconds many clients ask.
const manySeconds = 1.0

// manyClients has clients ask the questions about sums, each the next one as soon as it has an answer.
func (a *asked) manyClients(clients int) error {
	add := func(mode, system string, took []float64, elapsed float64) {
		name := fmt.Sprintf("%d clients, %s", clients, mode)
		a.report.add(name, "answers/s", system, float64(len(took))/elapsed)
		a.addLatencies(name, system, took)
	}
	for _, mode := range modes {
		for _, p := range a.programs {
			took, elapsed, err := a.askManyTimes(a.servers[p.system], mode, clients)
			if err != nil {
				return err
			}
			add(mode, p.system, took, elapsed)
		}
	}
	for name, p := range a.peers {
		var sql []string
		for _, q := range questions {
			if q.sums {
				sql = append(sql, q.sql(name, "q"))
			}
		}
		answer, err := p.ask(request{SQL: sql, Clients: clients, Seconds: manySeconds})
		if err != nil {
			return err
		}
		for _, mode := range modes {
			add(mode, name, answer.Took, answer.Elapsed)
		}
	}
	return nil
}

// askManyTimes returns the time of each answer. A refusal for load is asked again, and its wait counts.
func (a *asked) askManyTimes(server *server, mode string, clients int) (took []float64, elapsed float64, err error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	began := time.Now()
	for k := range clients {
		group.Go(func() {
			mine, failure := a.askUntil(server, mode, began.Add(time.Duration(manySeconds*float64(time.Second))), k)
			mu.Lock()
			took = append(took, mine...)
			err = errors.Join(err, failure)
			mu.Unlock()
		})
	}
	group.Wait()
	return took, time.Since(began).Seconds(), err
}

// askUntil asks the questions about sums in turn until the end.
func (a *asked) askUntil(server *server, mode string, end time.Time, client int) (took []float64, err error) {
	c, err := dial(server.url)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for number := client; ; number++ {
		for _, q := range questions {
			if !q.sums {
				continue
			}
			if time.Now().After(end) {
				return took, nil
			}
			seconds, err := c.askPatiently(q.name, q.body(a.shape, mode, number%1000))
			if err != nil {
				return nil, err
			}
			took = append(took, seconds)
		}
	}
}

// askPatiently asks a question until it is answered, and returns how long that took, in seconds.
func (c *connection) askPatiently(name string, body []byte) (took float64, err error) {
	began := time.Now()
	for {
		status, err := c.query(body)
		switch {
		case err != nil:
			return 0, err
		case status == http.StatusOK:
			return time.Since(began).Seconds(), nil
		case status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable:
			return 0, fmt.Errorf("%s: %d: %s", name, status, c.answer)
		case time.Since(began) > c.patience:
			return 0, fmt.Errorf("%s was refused for load for %s, the last time with %d: %.500s", name, c.patience,
				status, c.answer)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
