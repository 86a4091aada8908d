package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// numbers are the measures of one origin, or of all when Origin is empty.
type numbers struct {
	Origin  string     `json:"origin"`
	Flights int64      `json:"flights"`
	Miles   int64      `json:"miles"`
	Worst   int64      `json:"worst"`
	Delay   float64    `json:"delay"`
	Routes  int64      `json:"routes"`
	Bounds  routeBound `json:"bounds"`
}

type routeBound struct {
	Routes *[2]int64 `json:"routes"`
}

// totals are the numbers of all flights and of each origin.
type totals struct {
	all     numbers
	origins map[string]numbers
}

// accuracy is what an answer says of itself.
type accuracy struct {
	Publication uint64   `json:"publication"`
	Pending     int64    `json:"pending_events"`
	Exact       bool     `json:"exact"`
	Through     []uint64 `json:"through"`
}

// api asks a server.
type api struct {
	url    string
	client *http.Client
}

func newAPI(url string) *api { return &api{url: url, client: &http.Client{Timeout: time.Minute}} }

func (a *api) query(ctx context.Context, q map[string]any) (rows []numbers, acc accuracy, err error) {
	for k, v := range map[string]any{"view": "flight_departures", "from": "2001-01-01T00:00:00Z",
		"to": "2001-07-02T00:00:00Z", "limit": 10_000} {
		q[k] = v
	}
	var answer struct {
		Rows     []numbers `json:"rows"`
		Accuracy accuracy  `json:"accuracy"`
	}
	err = a.call(ctx, http.MethodPost, "/v1/query", q, &answer)
	return answer.Rows, answer.Accuracy, err
}

func (a *api) call(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if raw, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", path, resp.StatusCode, bytes.TrimSpace(raw))
	}
	return json.Unmarshal(raw, into)
}

// flights returns the number of flights counted so far.
func (a *api) flights(ctx context.Context) (int64, accuracy, error) {
	rows, acc, err := a.query(ctx, map[string]any{"measures": []string{"flights"}})
	if err != nil || len(rows) == 0 {
		return 0, acc, err
	}
	return rows[0].Flights, acc, nil
}

// totals asks for every measure in a mode.
func (a *api) totals(ctx context.Context, mode string) (totals, error) {
	t := totals{origins: map[string]numbers{}}
	all, _, err := a.query(ctx, map[string]any{"mode": mode})
	if err != nil {
		return t, err
	}
	if len(all) > 0 {
		t.all = all[0]
	}
	rows, _, err := a.query(ctx, map[string]any{"mode": mode, "group_by": []string{"origin"}})
	for _, r := range rows {
		t.origins[r.Origin] = r
	}
	return t, err
}

// publication is what the newest publication says of all events that views count. The
// rejected are in the log and the lake as well, as dead letters, and no view of the
// demonstration counts those.
type publication struct {
	N, Events, Duplicates int64
}

func (a *api) newest(ctx context.Context) (publication, error) {
	var answer struct {
		Publications []struct {
			N     int64
			Types map[string]struct{ Events, Duplicates int64 }
		}
	}
	if err := a.call(ctx, http.MethodGet, "/v1/publications", nil, &answer); err != nil ||
		len(answer.Publications) == 0 {
		return publication{}, err
	}
	newest := answer.Publications[0]
	p := publication{N: newest.N}
	for _, t := range newest.Types {
		p.Events += t.Events
		p.Duplicates += t.Duplicates
	}
	return p, nil
}

// truthOf asks ClickHouse straight over the source file.
func truthOf(ctx context.Context, db driver.Conn, file string, rows int) (totals, error) {
	t := totals{origins: map[string]numbers{}}
	const measures = `toInt64(count()), toInt64(sum(distance)), toInt64(max(delay)), avg(delay), toInt64(uniqExact(origin, destination))`
	source := fmt.Sprintf("(SELECT * FROM file({file:String}, Parquet) LIMIT %d)", rows)
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"file": file}))
	err := db.QueryRow(ctx, "SELECT "+measures+" FROM "+source+" SETTINGS max_threads=1, "+
		"input_format_parquet_preserve_order=1").
		Scan(&t.all.Flights, &t.all.Miles, &t.all.Worst, &t.all.Delay, &t.all.Routes)
	if err != nil {
		return t, err
	}
	got, err := db.Query(ctx, "SELECT assumeNotNull(origin), "+measures+" FROM "+source+" GROUP BY 1 SETTINGS "+
		"max_threads=1, input_format_parquet_preserve_order=1")
	if err != nil {
		return t, err
	}
	defer got.Close()
	for got.Next() {
		var n numbers
		if err := got.Scan(&n.Origin, &n.Flights, &n.Miles, &n.Worst, &n.Delay, &n.Routes); err != nil {
			return t, err
		}
		t.origins[n.Origin] = n
	}
	return t, got.Err()
}
