package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// peers are the engines beside recount, with fsync on and off. DuckDB in memory has no file to sync.
var peers = []string{clickhouse, clickhouseUnsynced, duckdb, duckdbMemory}

// input is the events of a shape: bodies for recount, and a file with the same bytes for the peers.
type input struct {
	folder string // folder has ev.ndjson, and lake/*.parquet as soon as a server has landed them.
	bodies [][]byte
	lines  int
}

// makeInput makes n events of a shape.
func (r *run) makeInput(s *shape, n int) (in *input, remove func(), err error) {
	folder, remove, err := r.folder()
	if err != nil {
		return nil, nil, err
	}
	in = &input{folder: folder}
	if in.bodies, in.lines, err = s.bodies(n, 1000, 1); err == nil {
		err = os.Mkdir(filepath.Join(folder, "lake"), 0o750)
	}
	if err == nil {
		err = writeBodies(filepath.Join(folder, "ev.ndjson"), in.bodies)
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return in, remove, nil
}

func writeBodies(path string, bodies [][]byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, b := range bodies {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	return f.Close()
}

// results are what every system must agree on.
type results struct {
	hours [][]string // hours are time, count, sum and distinct count of each hour.
	cells string     // cells are the number of cells.
}

// equal returns an error that shows the first difference.
func (a results) equal(b results, system string) error {
	for i := range max(len(a.hours), len(b.hours)) {
		if i >= len(a.hours) || i >= len(b.hours) || !slices.Equal(a.hours[i], b.hours[i]) {
			return fmt.Errorf("%s has %d hours and recount %d; the first difference is hour %d: %v, not %v", system,
				len(b.hours), len(a.hours), i, b.hours[min(i, len(b.hours)):min(i+1, len(b.hours))],
				a.hours[min(i, len(a.hours)):min(i+1, len(a.hours))])
		}
	}
	if a.cells != b.cells {
		return fmt.Errorf("%s has %s cells, recount %s", system, b.cells, a.cells)
	}
	return nil
}

// figures are what is measured of one step of one system.
type figures struct {
	took, cpu time.Duration
	peak      float64 // peak is the largest resident memory in MiB.
}

// measure runs a step of the process.
func (p *process) measure(step func() error) (figures, error) {
	p.resetPeak()
	cpu := p.cpu()
	began := time.Now()
	err := step()
	return figures{time.Since(began), p.cpu() - cpu, p.peakMiB()}, err
}

// addFigures adds the rows of a step over n events.
func (r *run) addFigures(name, system string, n int, f figures, rate bool) {
	if rate {
		r.report.add(name, "events/s", system, float64(n)/f.took.Seconds())
	} else {
		r.report.add(name, "s", system, f.took.Seconds())
	}
	r.report.add(name+", CPU", "µs/event", system, f.cpu.Seconds()*1e6/float64(n))
	r.report.add(name+", peak", "MiB", system, f.peak)
}

// pipeline measures ingest and recompute of a shape in all systems.
func (r *run) pipeline(s *shape) error {
	n := r.events
	if s.share > 0 {
		n = int(float64(n) * s.share)
	}
	if s.flights {
		n *= 3
	}
	in, remove, err := r.makeInput(s, n)
	if err != nil {
		return err
	}
	defer remove()
	size := 0
	for _, b := range in.bodies {
		size += len(b)
	}
	r.say("%s: %s; %d events of %d bytes", s.name, s.about, in.lines, size/in.lines)
	for range r.rounds {
		var want results
		for _, p := range r.programs {
			got, err := r.recountPipeline(s, in, p)
			if err != nil {
				return err
			}
			if p.system == recount {
				want = got
			}
			if err := want.equal(got, p.system); err != nil {
				return err
			}
		}
		for _, name := range peers {
			got, err := r.peerPipeline(s, in, name)
			if err == nil {
				err = want.equal(got, name)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// startRecount starts a server over a new folder, and remove ends it and removes the folder.
func (r *run) startRecount(s *shape, p program, roles ...string) (server *server, remove func(), err error) {
	folder, removeFolder, err := r.folder()
	if err != nil {
		return nil, nil, err
	}
	server, err = startServer(r.ctx, r.root, p.path, folder, s.configuration(), roles...)
	if err != nil {
		removeFolder()
		return nil, nil, err
	}
	return server, func() {
		server.kill()
		removeFolder()
	}, nil
}

// recountPipeline sends the events, waits until they have landed, and recomputes.
func (r *run) recountPipeline(s *shape, in *input, p program) (got results, err error) {
	server, remove, err := r.startRecount(s, p)
	if err != nil {
		return got, err
	}
	defer remove()
	retries := int64(0)
	f, err := server.measure(func() (err error) {
		retries, err = server.sendAll(in.bodies)
		return err
	})
	if err != nil {
		return got, err
	}
	began := time.Now()
	if err := server.waitUntilLanded(in.lines); err != nil {
		return got, err
	}
	landed := time.Since(began)
	r.say("  %s: ingest %.2f s, %d refused, landed %.2f s later", p.system, f.took.Seconds(), retries, landed.Seconds())
	recomputed, err := server.measure(server.recompute)
	if err != nil {
		return got, err
	}
	r.addFigures(s.name+": ingest", p.system, in.lines, f, true)
	r.addFigures(s.name+": recompute", p.system, in.lines, recomputed, false)
	if got, err = server.results(s); err != nil {
		return got, err
	}
	lake := filepath.Join(in.folder, "lake")
	if files, _, err := folderSize(lake); err != nil || files > 0 {
		return got, err
	}
	_, err = server.copyLake(lake)
	return got, err
}

// results asks for the exact numbers of each hour.
func (s *server) results(shape *shape) (got results, err error) {
	raw, err := s.query(fmt.Appendf(nil, `{"view":"hits","measures":["hits","volume","users"],"from":%q,"to":%q,`+
		`"granularity":"1h","limit":1000000,"mode":"exact"}`, shape.firstTime().Format(time.RFC3339),
		shape.endTime().Format(time.RFC3339)))
	if err != nil {
		return got, err
	}
	if got.hours, err = answerOf(raw, "hits", "volume", "users"); err != nil {
		return got, err
	}
	cells, err := s.metric("recount_batch_rows_total")
	got.cells = fmt.Sprintf("%.0f", cells)
	return got, err
}

// startPeer starts a peer over a new folder, and remove ends it and removes the folder.
func (r *run) startPeer(name string) (p *peer, remove func(), err error) {
	folder, removeFolder, err := r.folder()
	if err != nil {
		return nil, nil, err
	}
	if p, err = startPeer(r.ctx, r.root, name, folder); err != nil {
		removeFolder()
		return nil, nil, err
	}
	remove = func() {
		p.kill()
		removeFolder()
	}
	version, err := p.rows("select version()")
	if err != nil {
		remove()
		return nil, nil, err
	}
	r.report.Versions[name] = version[0][0]
	return p, remove, nil
}

// peerPipeline does the same in a peer: it reads the file into a table, and makes cells of the lake's objects.
func (r *run) peerPipeline(s *shape, in *input, name string) (got results, err error) {
	p, remove, err := r.startPeer(name)
	if err != nil {
		return got, err
	}
	defer remove()
	sql := statementsOf(name, s, in.folder)
	if err := r.peerIngest(p, s, in, s.name+": ingest"); err != nil {
		return got, err
	}
	f, err := p.measure(sql.recompute)
	if err != nil {
		return got, err
	}
	r.addFigures(s.name+": recompute", name, in.lines, f, false)
	if got.hours, err = p.rows(sql.hours); err != nil {
		return got, err
	}
	cells, err := p.rows(sql.cells)
	if err == nil {
		got.cells = cells[0][0]
	}
	return got, err
}

// peerIngest measures how a peer reads the file into a table.
func (r *run) peerIngest(p *peer, s *shape, in *input, row string) error {
	sql := statementsOf(p.name, s, in.folder)
	if err := p.run(sql.create...); err != nil {
		return err
	}
	f, err := p.measure(sql.ingest)
	if err == nil {
		r.addFigures(row, p.name, in.lines, f, true)
	}
	return err
}

// aloneRow is the name of the row of ingestAlone.
const aloneRow = "dense: ingest and log alone"

// ingestAlone measures a server with the role ingest only, over its log.
func (r *run) ingestAlone() error {
	s := &shapes()[0]
	in, remove, err := r.makeInput(s, r.events)
	if err != nil {
		return err
	}
	defer remove()
	r.say("alone: the roles ingest and log alone; %d events", in.lines)
	for range r.rounds {
		for _, p := range r.programs {
			if err := r.ingestOnce(s, in, p); err != nil {
				return err
			}
		}
		for _, name := range peers {
			p, remove, err := r.startPeer(name)
			if err != nil {
				return err
			}
			err = r.peerIngest(p, s, in, aloneRow)
			remove()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) ingestOnce(s *shape, in *input, p program) error {
	server, remove, err := r.startRecount(s, p, "ingest")
	if err != nil {
		return err
	}
	defer remove()
	f, err := server.measure(func() error {
		_, err := server.sendAll(in.bodies)
		return err
	})
	if err == nil {
		r.addFigures(aloneRow, p.system, in.lines, f, true)
	}
	return err
}

// bytes measures what an event takes on disk, and what it takes in Parquet that the peers write with zstd.
func (r *run) bytes() error {
	for _, s := range shapes() {
		if s.name != "dense" && s.name != "uuid" && s.name != "flights" {
			continue
		}
		in, remove, err := r.makeInput(&s, r.events)
		if err != nil {
			return err
		}
		err = r.bytesOf(&s, in)
		remove()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) bytesOf(s *shape, in *input) error {
	r.say("bytes: %s, %d events", s.name, in.lines)
	perEvent := func(name, system string, size float64) {
		r.report.add(s.name+": "+name, "bytes/event", system, size/float64(in.lines))
	}
	lake := filepath.Join(in.folder, "lake")
	for i, p := range r.programs {
		log, landed, snapshot, err := r.bytesStored(s, in, p, filepath.Join(in.folder, fmt.Sprint("lake", i)))
		if err != nil {
			return err
		}
		perEvent("log", p.system, log)
		perEvent("snapshot", p.system, snapshot)
		perEvent("lake", p.system, landed)
		perEvent("lake, the event's columns alone", p.system, landed)
	}
	if err := os.Remove(lake); err != nil {
		return err
	}
	if err := os.Rename(lake+"0", lake); err != nil {
		return err
	}
	for _, name := range []string{clickhouse, duckdb} {
		sizes, err := r.parquetSizes(s, in, name)
		if err != nil {
			return err
		}
		perEvent("lake", name, sizes[0])
		perEvent("lake, the event's columns alone", name, sizes[1])
	}
	return nil
}

// bytesStored returns the bytes of the log, the lake and the snapshots before anything is published.
func (r *run) bytesStored(s *shape, in *input, p program, lake string) (log, landed, snapshot float64, err error) {
	server, remove, err := r.startRecount(s, p)
	if err != nil {
		return 0, 0, 0, err
	}
	defer remove()
	if _, err = server.sendAll(in.bodies); err != nil {
		return 0, 0, 0, err
	}
	if err = server.waitUntilLanded(in.lines); err != nil {
		return 0, 0, 0, err
	}
	if log, err = server.metric("recount_log_stored_bytes"); err != nil {
		return 0, 0, 0, err
	}
	if err = server.stop(); err != nil { // The end of a server writes snapshots.
		return 0, 0, 0, err
	}
	if err = os.Mkdir(lake, 0o750); err != nil {
		return 0, 0, 0, err
	}
	size, err := server.copyLake(lake)
	if err != nil {
		return 0, 0, 0, err
	}
	_, speed, err := folderSize(filepath.Join(server.data(), "speed"))
	return log, float64(size), float64(speed), err
}

// parquetSizes has a peer write the columns of the lake, and the columns of the events alone.
func (r *run) parquetSizes(s *shape, in *input, name string) (sizes []float64, err error) {
	folder, removeFolder, err := r.folder()
	if err != nil {
		return nil, err
	}
	defer removeFolder()
	p, remove, err := r.startPeer(name)
	if err != nil {
		return nil, err
	}
	defer remove()
	sql := statementsOf(name, s, in.folder)
	if err := p.run(append(sql.create, sql.ingest...)...); err != nil {
		return nil, err
	}
	for i, statement := range sql.parquet {
		path := filepath.Join(folder, fmt.Sprintf("out%d.parquet", i))
		if err := p.run(fmt.Sprintf(statement, path)); err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, float64(info.Size()))
	}
	return sizes, nil
}
