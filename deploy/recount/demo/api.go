package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/deploy/client"
	"recount/schemas/query"
)

// numbers are the measures of one origin, or of all origins if Origin is empty.
type numbers struct {
	Origin  string     `json:"origin"`
	Flights int64      `json:"flights"`
	Miles   int64      `json:"miles"`
	Worst   int64      `json:"worst"`
	Delay   float64    `json:"delay"`
	Routes  int64      `json:"routes"`
	Bounds  routeBound `json:"bounds"`
}

// routeBound is the lowest and highest possible number of routes.
type routeBound struct {
	Routes *[2]int64 `json:"routes"`
}

// totals are the numbers of all flights and of each origin.
type totals struct {
	all     numbers
	origins map[string]numbers
}

// api sends the queries of the demonstration to a server.
type api struct{ client *client.Client }

// flightsQuery returns a query over all flights that are replayed.
func flightsQuery(mode query.Mode) *query.Query {
	return &query.Query{View: "flight_departures", From: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
		To: time.Date(2001, 7, 2, 0, 0, 0, 0, time.UTC), Limit: 10_000, Mode: mode}
}

// flights returns the number of flights counted so far.
func (a *api) flights(ctx context.Context) (int64, query.Accuracy, error) {
	q := flightsQuery(query.Merged)
	q.Measures = []string{"flights"}
	var rows []numbers
	summary, err := a.client.Query(ctx, q, &rows)
	if err != nil || len(rows) == 0 {
		return 0, summary.Accuracy, err
	}
	return rows[0].Flights, summary.Accuracy, nil
}

// totals asks for every measure in a mode.
func (a *api) totals(ctx context.Context, mode query.Mode) (totals, error) {
	t := totals{origins: map[string]numbers{}}
	var all, rows []numbers
	q := flightsQuery(mode)
	if _, err := a.client.Query(ctx, q, &all); err != nil {
		return t, err
	}
	if len(all) > 0 {
		t.all = all[0]
	}
	q.GroupBy = []string{"origin"}
	_, err := a.client.Query(ctx, q, &rows)
	for _, r := range rows {
		t.origins[r.Origin] = r
	}
	return t, err
}

// publication holds the numbers of the newest publication. It leaves out dead letters, because no view of the
// demonstration counts them.
type publication struct {
	N                  uint64
	Events, Duplicates int64
}

// newest returns the numbers of the newest publication, or zeros if there is none.
func (a *api) newest(ctx context.Context) (publication, error) {
	publications, err := a.client.Publications(ctx)
	if err != nil || len(publications) == 0 {
		return publication{}, err
	}
	p := publication{N: publications[0].N}
	for _, t := range publications[0].Types {
		p.Events += t.Events
		p.Duplicates += t.Duplicates
	}
	return p, nil
}

// countFile counts the source file with ClickHouse.
func countFile(ctx context.Context, db driver.Conn, file string, limit int) (totals, error) {
	t := totals{origins: map[string]numbers{}}
	const measures = `toInt64(count()), toInt64(sum(distance)), toInt64(max(delay)), avg(delay), ` +
		`toInt64(uniqExact(origin, destination))`
	source := fmt.Sprintf("(SELECT * FROM file({file:String}, Parquet) LIMIT %d)", limit)
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"file": file}))
	err := db.QueryRow(ctx, "SELECT "+measures+" FROM "+source+" SETTINGS max_threads=1, "+
		"input_format_parquet_preserve_order=1").
		Scan(&t.all.Flights, &t.all.Miles, &t.all.Worst, &t.all.Delay, &t.all.Routes)
	if err != nil {
		return t, err
	}
	groups, err := db.Query(ctx, "SELECT assumeNotNull(origin), "+measures+" FROM "+source+" GROUP BY 1 SETTINGS "+
		"max_threads=1, input_format_parquet_preserve_order=1")
	if err != nil {
		return t, err
	}
	defer groups.Close()
	for groups.Next() {
		var n numbers
		if err := groups.Scan(&n.Origin, &n.Flights, &n.Miles, &n.Worst, &n.Delay, &n.Routes); err != nil {
			return t, err
		}
		t.origins[n.Origin] = n
	}
	return t, groups.Err()
}
