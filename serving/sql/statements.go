package sql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"recount/schemas/catalog"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/batchview"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// Session is one session of an engine, in which statements see each other's temporary tables.
type Session interface {
	// Exec runs a statement of ours. data is what an INSERT reads.
	Exec(sql string, data []byte) error
	// Set gives the session settings until its end.
	Set(settings map[string]string) error
	// Query runs a statement of a client and returns its result in a format. revision is that of the format Native.
	Query(sql string, parameters map[string]string, format string, revision uint64) ([]byte, error)
}

// Engine gives f a session for a statement of a tenant, which ends with f. When ctx ends first, it returns ctx's error
// at once, although f may still run. Exceptions of ClickHouse are an Exception.
type Engine func(ctx context.Context, tenant string, f func(Session) error) error

// Exception is an error of ClickHouse.
type Exception interface {
	error
	// ExceptionCode is ClickHouse's number of the error.
	ExceptionCode() int
}

// hasCode reports whether an error is ClickHouse's with this number.
func hasCode(err error, code int) bool {
	var e Exception
	return errors.As(err, &e) && e.ExceptionCode() == code
}

// Config is what statements need.
type Config struct {
	Catalog catalog.Source
	Reader  Snapshots
	Batch   Batch
	Events  Events
	Engine  Engine
	// CellsDatabase is the database of ClickHouse with the tables of cells.
	CellsDatabase string
	// Shared reports whether statements may be those of several tenants.
	Shared func() bool
	// Memory is what all queries together may hold. It may be nil, which means no limit.
	Memory *query.Budget
	Limits Limits
}

// Snapshots pins publications. *reader.Reader implements it.
type Snapshots interface {
	Snapshot(ctx context.Context, tables []reader.Table, tenant string, memory *query.Share,
		rows reader.Prover) (*reader.Snapshot, error)
}

// Batch proves which rows ClickHouse has. *batchview.Views implements it.
type Batch interface {
	reader.Prover
	Confirm(ctx context.Context, r *batchview.Rows) error
}

// Request is one statement of a client.
type Request struct {
	SQL string
	// Format is that of the result, if the statement has no clause FORMAT: a name of ClickHouse's, a short one such as
	// csv, or a media type. It may be empty.
	Format string
	// Revision is that of the format Native.
	Revision uint64
	// Parameters are values of {name:Type} in the statement, in the escaped form of the format TabSeparated.
	Parameters map[string]string
	// Settings are those beside the statement, which may have more.
	Settings map[string]string

	tenant   string
	settings map[string]string // all of them, checked
	catalog  *catalog.Catalog  // of the decision; its tables are read, whatever is declared meanwhile
	decision
	// eventsFrom and eventsTo bound the times of events.
	eventsFrom, eventsTo int64
}

// Answer is the result of a statement.
type Answer struct {
	Body   []byte
	Format string
	// Accuracy is about what the statement could read. It is the zero value for a statement that reads no view.
	Accuracy query.Accuracy
	// memory is what the answer holds.
	memory *query.Share
}

// Close gives back the memory of the answer.
func (a *Answer) Close() { a.memory.Close() }

// Statements runs statements. It is safe for concurrent use.
type Statements struct {
	cfg     Config
	decided decisions
}

// New returns what runs statements.
func New(cfg Config) (*Statements, error) {
	if cfg.Catalog == nil || cfg.Reader == nil || cfg.Batch == nil || cfg.Events == nil || cfg.Engine == nil ||
		cfg.CellsDatabase == "" || cfg.Shared == nil {
		return nil, errors.New("sql: a catalog, a reader, batch views, events, an engine, a database and whether it " +
			"is shared are required")
	}
	return &Statements{cfg: cfg}, cfg.Limits.Validate()
}

// maxReads is how often a statement runs while the parts of its tables change.
const maxReads = 8

// run runs a statement that was found to be safe and to read r.reads. The caller must close the answer.
func (s *Statements) run(ctx context.Context, tenant string, r Request) (*Answer, error) {
	r.tenant = tenant
	memory := s.cfg.Memory.Open(tenant)
	var err error
	for range maxReads {
		var a *Answer
		if a, err = s.attempt(ctx, tenant, r, memory); err == nil {
			return a, nil
		}
		memory.Close()
		if !errors.Is(err, batchview.ErrChanging) {
			break
		}
	}
	return nil, err
}

// attempt runs a statement once over a snapshot. The answer is thrown away if the tables' parts were others at its end,
// because it may then be of rows that were lost or edited (Q3). So is an exception, which such a row, or a table that
// is gone, may have caused.
func (s *Statements) attempt(ctx context.Context, tenant string, r Request, memory *query.Share) (*Answer, error) {
	c := r.catalog
	var tables []table
	var script []step
	all := tablesOf(c)
	for _, name := range r.reads.Tables {
		t, isRows := all[name]
		switch {
		case isRows:
			tables = append(tables, t)
		case slices.Contains(systemNames, name):
			script = append(script, systemSteps(name, c)...)
		default:
			return nil, guard.NoTable(name)
		}
	}
	a := &Answer{memory: memory}
	snapshot := &reader.Snapshot{}
	if len(tables) > 0 {
		var err error
		if snapshot, err = s.cfg.Reader.Snapshot(ctx, reads(tables), tenant, memory, s.cfg.Batch); err != nil {
			return nil, err
		}
		a.Accuracy = snapshot.Accuracy
	}
	for _, t := range snapshot.Tables {
		published := snapshot.State.Views[t.View.Name]
		script = append(script, steps(t, tables, s.cfg.CellsDatabase, tenant, isRounded(t, published),
			s.cfg.Shared(), r.reads)...)
	}
	var held int64 // by the events
	for _, t := range tables {
		if t.event == nil {
			continue
		}
		loaded, err := s.loadEvents(ctx, t, &r, held, query.EventsOf{Catalog: c, State: snapshot.State, Tenant: tenant,
			Memory: memory})
		if err != nil {
			return nil, err
		}
		script = append(script, loaded.steps...)
		held += loaded.bytes
		a.Accuracy.Unconverted += loaded.lost
		a.Accuracy.Exact = a.Accuracy.Exact && loaded.lost == 0
	}
	var err error
	a.Body, err = s.execute(ctx, script, r, memory)
	var e Exception
	if err != nil && !errors.As(err, &e) {
		return nil, err
	}
	if changed := s.confirm(ctx, snapshot); changed != nil && (err == nil || ctx.Err() == nil) {
		return nil, changed
	}
	memory.Shrink(held)
	return a, err
}

// confirm returns an error if the parts of a snapshot's tables are others now.
func (s *Statements) confirm(ctx context.Context, snapshot *reader.Snapshot) error {
	for _, t := range snapshot.Tables {
		if t.Rows == nil {
			continue
		}
		if err := s.cfg.Batch.Confirm(ctx, t.Rows); err != nil {
			return err
		}
	}
	return nil
}

// isRounded reports whether the published rows are from before sums of floats were exact.
func isRounded(t reader.SnapshotTable, published record.ViewState) bool {
	return published.Digest == t.Catalog.RoundedDigest(t.View) &&
		published.Digest != t.Catalog.SketchedDigest(t.View)
}

// The memory of a statement in the engine: of its first attempt, and how much more it gets when that was too little.
const (
	firstMemory  = 128 << 20
	memoryFactor = 4
)

// resultCopies is how many times a result is in memory on its way from the engine, whose buffer grows to up to twice of
// what is in it. A result of 198 MiB was seen to take 645 MiB.
const resultCopies = 3

// execute runs the script and the statement in one session, and again with more memory if the statement needed it.
func (s *Statements) execute(ctx context.Context, script []step, r Request, memory *query.Share) ([]byte, error) {
	limits := s.cfg.Limits.tightened(r.settings)
	settings := limits.settings(ctx)
	if r.takesLimit {
		maps.Copy(settings, cut(r.settings, limits.Rows))
	}
	room := memory.Room(limits.Memory)
	if err := memory.Grow(ctx, resultCopies*limits.ResultBytes); err != nil {
		return nil, err
	}
	size := min(firstMemory, room)
	for {
		if err := memory.Grow(ctx, size); err != nil {
			return nil, err
		}
		settings["max_memory_usage"] = strconv.FormatInt(size, 10)
		body, err := s.once(ctx, script, r, settings)
		if err == nil && int64(len(body)) > limits.ResultBytes {
			err = errResult
		}
		memory.Shrink(size)
		switch {
		case err == nil:
			memory.Shrink(resultCopies*limits.ResultBytes - int64(len(body)))
			return body, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case hasCode(err, codeMemory) && size < room:
			size = min(size*memoryFactor, room)
			continue
		}
		return nil, err
	}
}

// once runs the script and the statement in a session.
func (s *Statements) once(ctx context.Context, script []step, r Request, settings map[string]string) ([]byte, error) {
	var body []byte
	err := s.cfg.Engine(ctx, r.tenant, func(session Session) error {
		for _, st := range script {
			if err := session.Exec(st.sql, st.data); err != nil {
				return fmt.Errorf("%w: %w", errScript, err)
			}
		}
		if err := session.Exec("USE "+EmptyDatabase, nil); err != nil {
			return fmt.Errorf("%w: %w", errScript, err)
		}
		if err := setChosen(session, r.settings); err != nil {
			return err
		}
		if err := session.Set(settings); err != nil { // They come last: no limit can be changed by a client.
			return fmt.Errorf("%w: %w", errScript, err)
		}
		var err error
		body, err = session.Query(r.SQL, r.Parameters, r.Format, r.Revision)
		return err
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}
