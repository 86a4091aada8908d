package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/deploy/server/keys"
	"recount/schemas/access"
)

// axis is one quantity that grows while others stay.
type axis struct {
	name   string
	label  string // label is the axis of the plot.
	values []int
	// measured is the figure that is the value of a point, where the setting does not determine it.
	measured string
	// set sets the quantity. events is the number of events that are sent at this value.
	set func(s *setting, value int)
}

// setting is what a point of an axis is measured with.
type setting struct {
	shape      shape
	events     int
	perRequest int
	tenants    int
	strewn     int // strewn is the number of events of the second tenant, each in an hour of its own.
}

// axes are the axes of the plots.
var axes = []axis{
	{name: "keys", label: "values of the dimension", values: []int{1e3, 1e4, 1e5, 1e6, 1e7},
		set: func(s *setting, n int) {
			s.events = max(s.events, n)
			s.shape.fields[0] = field{name: "path", text: "k", values: int64(n)}
			s.shape.dimensions = []string{"path"}
			s.shape.cell = "1h"
		}},
	{name: "partitions", label: "partitions of the log", values: []int{1, 2, 4, 8, 16, 32, 64},
		set: func(s *setting, n int) { s.shape.partitions = n }},
	{name: "buckets", label: "buckets of an hour", values: []int{24, 168, 720, 4380, 17520},
		set: func(s *setting, n int) { s.shape.span = time.Duration(n) * time.Hour }},
	{name: "hours", label: "hours of another tenant", values: []int{1, 1000, 10_000, 80_000, 400_000},
		set: func(s *setting, n int) {
			s.tenants = 2
			s.strewn = n
		}},
	{name: "tenants", label: "tenants", values: []int{1, 10, 100, 1000, 10_000},
		set: func(s *setting, n int) {
			s.tenants = n
			s.perRequest = 50
		}},
	{name: "views", label: "views of one event type", values: []int{1, 5, 20, 100, 500},
		set: func(s *setting, n int) {
			s.events = 20_000
			s.shape.views = n
		}},
	{name: "segments", label: "segments", values: []int{10, 100, 1000, 3000}, measured: landedSegments,
		set: func(s *setting, n int) {
			s.events = 120_000
			s.shape.cutRows = s.events / 2 / n
			s.perRequest = max(1, min(500, s.shape.cutRows))
		}},
}

// eventsAxis is the name of the axis whose points are stages of one server's life.
const eventsAxis = "events"

// eventSteps are the numbers of events on it.
var eventSteps = []int{1e6, 3e6, 10e6, 30e6, 100e6}

func axisNames() []string {
	out := []string{eventsAxis}
	for _, a := range axes {
		out = append(out, a.name)
	}
	return out
}

// point is what was measured at one value of an axis.
type point struct {
	value   float64
	figures map[string]float64
}

// The figures of a point, in the order of the plots.
const (
	ingestCPU      = "ingest: CPU, µs an event"
	recomputeCPU   = "recompute: CPU, µs an event"
	recomputeSec   = "recompute: s"
	peakMemory     = "peak memory, MiB"
	oneMoreCPU     = "recompute of one more event: CPU, ms"
	oneMoreCalls   = "recompute of one more event: requests to the lake"
	oneMoreKiB     = "recompute of one more event: KiB written to the lake"
	publication    = "largest publication record, KiB"
	queryCPU       = "query of the total: CPU, ms"
	wideQueryCPU   = "query of the total over the hours of both: CPU, ms"
	startCPU       = "start: CPU, s"
	startSeconds   = "start: s"
	lakeObjects    = "objects in the lake"
	lakeWrites     = "PUT and LIST requests, all"
	lakeReads      = "GET and HEAD requests, all"
	parts          = "parts on ClickHouse's disk"
	allFiles       = "files"
	landedSegments = "segments that landed"
	diskMiB        = "disk, MiB"
)

var figureNames = []string{ingestCPU, recomputeCPU, recomputeSec, peakMemory, oneMoreCPU, oneMoreCalls, oneMoreKiB,
	publication, queryCPU, wideQueryCPU, startCPU, startSeconds, lakeObjects, lakeWrites, lakeReads,
	landedSegments, parts, allFiles, diskMiB}

// measuredNames are the figures that some point of an axis has.
func measuredNames(points []point) []string {
	return slices.DeleteFunc(slices.Clone(figureNames), func(name string) bool {
		return !slices.ContainsFunc(points, func(p point) bool { return p.figures[name] != 0 })
	})
}

// growth measures the chosen axes. It writes a CSV file and a plot of each.
func (r *run) growth(chosen []string, limit int) error {
	results := filepath.Join(r.root, benchFolder, "results")
	if err := os.MkdirAll(results, 0o750); err != nil {
		return err
	}
	for _, name := range chosen {
		points, label, err := r.measureAxis(name, limit)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		file := filepath.Join(results, "growth-"+name)
		if err := writeCSV(file+".csv", label, points); err != nil {
			return err
		}
		title := fmt.Sprintf("recount: growth with %s (%s, %d cores)", label, r.report.Machine.Processor,
			r.report.Machine.Cores)
		if err := os.WriteFile(file+".svg", plot(title, label, measuredNames(points), points), 0o600); err != nil {
			return err
		}
		r.say("%s: wrote %s.csv and its plot", name, file)
	}
	return nil
}

// measureAxis measures the points of an axis up to the limit.
func (r *run) measureAxis(name string, limit int) (points []point, label string, err error) {
	if name == eventsAxis {
		points, err = r.growEvents(limit)
		return points, "events", err
	}
	a := axes[slices.IndexFunc(axes, func(a axis) bool { return a.name == name })]
	for _, value := range a.values {
		if limit > 0 && value > limit {
			break
		}
		s := &setting{shape: shapes()[0], events: 300_000, perRequest: 1000}
		s.shape.fields = slices.Clone(s.shape.fields)
		a.set(s, value)
		p, err := r.measurePoint(s)
		if err != nil {
			return nil, "", fmt.Errorf("%d: %w", value, err)
		}
		p.value = float64(value)
		if a.measured != "" {
			p.value = p.figures[a.measured]
		}
		r.say("%s %d: %s", name, value, p)
		points = append(points, p)
	}
	return points, a.label, nil
}

// String is the point on one line.
func (p point) String() string {
	var b strings.Builder
	for _, name := range figureNames {
		fmt.Fprintf(&b, "%s %s; ", name, figure(p.figures[name]))
	}
	return b.String()
}

// measurePoint gives a new server all the events, publishes them and measures.
func (r *run) measurePoint(s *setting) (p point, err error) {
	g, err := r.startGrowth(s)
	if err != nil {
		return p, err
	}
	defer g.remove()
	bodies, lines, err := s.shape.bodies(s.events, s.perRequest, 1)
	if err != nil {
		return p, err
	}
	p.figures = map[string]float64{}
	if s.strewn > 0 {
		return p, g.observeNeighbour(p.figures, bodies, lines)
	}
	if err := g.feed(p.figures, bodies, lines); err != nil {
		return p, err
	}
	return p, g.observe(p.figures)
}

// observeNeighbour publishes the events of the first tenant, and then those of the second, which are strewn over hours.
// The figures of ingest and recompute are those of the second tenant's events, and the others those of the first.
func (g *growing) observeNeighbour(into map[string]float64, bodies [][]byte, lines int) error {
	both := g.keys
	g.keys = both[:1]
	if err := g.feed(into, bodies, lines); err != nil {
		return err
	}
	strewn := g.setting.shape
	strewn.span = time.Duration(g.setting.strewn) * time.Hour
	strewn.start = begin.Add(-strewn.span)
	bodies, lines, err := strewn.bodies(g.setting.strewn, g.setting.perRequest, 2)
	if err != nil {
		return err
	}
	g.keys = both[1:]
	if err := g.feed(into, bodies, lines); err != nil {
		return err
	}
	g.keys = both[:1]
	if into[wideQueryCPU], err = g.askTotal(&strewn); err != nil {
		return err
	}
	return g.observe(into)
}

// growEvents gives one server more and more events, of later and later times, and publishes them by the million.
func (r *run) growEvents(limit int) (points []point, err error) {
	g, err := r.startGrowth(&setting{shape: shapes()[0], perRequest: 1000})
	if err != nil {
		return nil, err
	}
	defer g.remove()
	const chunk = 1_000_000
	sent := 0
	for _, value := range eventSteps {
		if limit > 0 && value > limit {
			break
		}
		p := point{value: float64(value), figures: map[string]float64{}}
		for ; sent < value; sent += chunk {
			g.setting.shape.start = begin.Add(time.Duration(sent/chunk) * g.setting.shape.span)
			bodies, lines, err := g.setting.shape.bodies(chunk, 1000, uint64(sent+1))
			if err != nil {
				return nil, err
			}
			if err := g.feed(p.figures, bodies, lines); err != nil {
				return nil, err
			}
			if err := g.server.runJob("expire"); err != nil {
				return nil, err
			}
		}
		if err := g.observe(p.figures); err != nil {
			return nil, err
		}
		r.say("events %d: %s", value, p)
		points = append(points, p)
	}
	return points, nil
}

// growing is a server that grows.
type growing struct {
	*run
	setting *setting
	server  *server
	remove  func()
	keys    []string // keys are those of the tenants; it is empty without tenants.
	landed  int      // landed is the number of events since the last start.
	extra   int      // extra is the number of events that were sent one by one.
}

// startGrowth starts a server for a setting.
func (r *run) startGrowth(s *setting) (*growing, error) {
	folder, remove, err := r.folder()
	if err != nil {
		return nil, err
	}
	g := &growing{run: r, setting: s, remove: remove}
	configuration := s.shape.configuration()
	admin := ""
	if s.tenants > 0 {
		file := filepath.Join(folder, "keys.json")
		if admin, g.keys, err = writeKeys(file, s.tenants); err != nil {
			remove()
			return nil, err
		}
		configuration += "auth: {keys_file: " + file + "}\n"
	}
	if g.server, err = startServer(r.ctx, r.root, r.programs[0].path, folder, configuration); err != nil {
		remove()
		return nil, err
	}
	g.server.key = admin
	g.remove = func() {
		g.server.kill()
		remove()
	}
	return g, nil
}

// writeKeys writes a keys file with a key of every tenant. The first tenant's key is also an administrator's.
func writeKeys(file string, tenants int) (admin string, texts []string, err error) {
	list := make([]keys.Key, tenants)
	texts = make([]string, tenants)
	for i := range list {
		scopes := access.Scopes(access.Ingest | access.Query)
		if i == 0 {
			scopes = access.AllScopes
		}
		list[i], texts[i] = keys.New(fmt.Sprintf("tenant-%d", i), scopes, begin, time.Time{})
	}
	err = keys.Update(file, func([]keys.Key) ([]keys.Key, error) { return list, nil })
	return texts[0], texts, err
}

// feed sends events, waits until they have landed, and publishes them.
func (g *growing) feed(into map[string]float64, bodies [][]byte, lines int) error {
	f, err := g.server.measure(func() error {
		_, err := g.server.sendAll(bodies, g.keys...)
		return err
	})
	if err != nil {
		return err
	}
	g.landed += lines
	if err := g.server.waitUntilLanded(g.landed); err != nil {
		return err
	}
	recomputed, err := g.server.measure(g.server.recompute)
	if err != nil {
		return err
	}
	into[ingestCPU] = f.cpu.Seconds() * 1e6 / float64(lines)
	into[recomputeCPU] = recomputed.cpu.Seconds() * 1e6 / float64(lines)
	into[recomputeSec] = recomputed.took.Seconds()
	into[peakMemory] = max(f.peak, recomputed.peak)
	return nil
}

// observe measures what one more event, a query and a start cost, and what the server keeps.
func (g *growing) observe(into map[string]float64) error {
	if err := errors.Join(g.countRequests(into), g.countSegments(into)); err != nil {
		return err
	}
	if err := g.oneMore(into); err != nil {
		return err
	}
	var err error
	if into[queryCPU], err = g.askTotal(&g.setting.shape); err != nil {
		return err
	}
	if err := g.countFiles(into); err != nil {
		return err
	}
	if err := g.server.stop(); err != nil {
		return err
	}
	began := time.Now()
	if err := g.server.start(); err != nil {
		return err
	}
	if err := g.server.waitUntilReady(); err != nil {
		return err
	}
	into[startSeconds] = time.Since(began).Seconds()
	into[startCPU] = g.server.cpu().Seconds()
	g.landed = 0
	return nil
}

// askTotal returns the processor time in milliseconds of a query of the total over the range of a shape.
func (g *growing) askTotal(s *shape) (ms float64, err error) {
	const asked = 50
	ask := func() error {
		for i := range asked {
			if _, err := g.server.query(questions[0].body(s, "merged", i)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := ask(); err != nil { // The first ones read new parts.
		return 0, err
	}
	f, err := g.server.measure(ask)
	return f.cpu.Seconds() * 1e3 / asked, err
}

// countRequests counts the requests to the object store since the start, by their price.
func (g *growing) countRequests(into map[string]float64) error {
	for _, class := range []struct {
		name string
		ops  []string
	}{{lakeWrites, []string{"create", "put", "list"}}, {lakeReads, []string{"get", "head", "range", "readback"}}} {
		for _, op := range class.ops {
			n, err := g.server.metric(`recount_lake_requests_total{op="` + op + `"`)
			if err != nil {
				return err
			}
			into[class.name] += n
		}
	}
	return nil
}

// countSegments counts the segments that have landed since the start.
func (g *growing) countSegments(into map[string]float64) (err error) {
	into[landedSegments], err = g.server.metric("recount_landing_segments_total")
	return err
}

// oneMore publishes one event more.
func (g *growing) oneMore(into map[string]float64) error {
	g.extra++
	body := fmt.Appendf(nil, `{"specversion":"1.0","id":"one-%d","source":"/bench","type":"page.hit","time":%q,`+
		`"data":{"path":"/"}}`, g.extra, begin.Format(time.RFC3339))
	if _, err := g.server.sendAll([][]byte{body}, g.keys...); err != nil {
		return err
	}
	g.landed++
	if err := g.server.waitUntilLanded(g.landed); err != nil {
		return err
	}
	names := []string{"recount_lake_requests_total", `recount_lake_bytes_total{direction="out"`}
	before := make([]float64, len(names))
	after := make([]float64, len(names))
	read := func(into []float64) (err error) {
		for i, name := range names {
			if into[i], err = g.server.metric(name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(before); err != nil {
		return err
	}
	f, err := g.server.measure(g.server.recompute)
	if err != nil {
		return err
	}
	if err := read(after); err != nil {
		return err
	}
	into[oneMoreCPU] = float64(f.cpu.Milliseconds())
	into[oneMoreCalls] = after[0] - before[0]
	into[oneMoreKiB] = (after[1] - before[1]) / 1024
	return nil
}

// countFiles counts what the server keeps on disk.
func (g *growing) countFiles(into map[string]float64) error {
	data := g.server.data()
	files, size, err := folderSize(data)
	if err != nil {
		return err
	}
	objects, _, err := folderSize(filepath.Join(data, "s3"))
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(data, "clickhouse", "store", "*", "*", "*", "checksums.txt"))
	if err != nil {
		return err
	}
	records, err := filepath.Glob(filepath.Join(data, "s3", "objects", "recount", "publish", "*"))
	if err != nil {
		return err
	}
	largest := int64(0)
	for _, record := range records {
		info, err := os.Stat(record)
		if err != nil {
			return err
		}
		largest = max(largest, info.Size())
	}
	into[allFiles] = float64(files)
	into[diskMiB] = float64(size) / (1 << 20)
	into[lakeObjects] = float64(objects)
	into[parts] = float64(len(found))
	into[publication] = float64(largest) / 1024
	return nil
}

// writeCSV writes a line for each point.
func writeCSV(file, label string, points []point) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	names := measuredNames(points)
	_ = w.Write(append([]string{label}, names...)) // Error returns what it would return.
	for _, p := range points {
		line := []string{strconv.FormatFloat(p.value, 'f', 0, 64)}
		for _, name := range names {
			line = append(line, strconv.FormatFloat(math.Round(p.figures[name]*1000)/1000, 'f', -1, 64))
		}
		_ = w.Write(line)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return f.Close()
}
