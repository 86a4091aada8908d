package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/query"
	"recount/schemas/sqlschema"
	"recount/serving/reader"
	"recount/serving/sql/guard"
)

// Events reads raw events.
type Events interface {
	// Read calls f with the events that were asked for, in any order. Calls do not overlap.
	Read(ctx context.Context, q *query.EventsOf, f func(*query.EventRows) error) error
}

// The names of tables of an event type T: events_T, and events_T_all. A point and a dash of T are underscores in them,
// so that no statement needs quotes.
const (
	eventsPrefix = "events_"
	allSuffix    = "_all"
)

// colCopy is the column of events_T_all that is true for a copy of an event that came before.
const colCopy = "_copy"

var withoutSigns = strings.NewReplacer(".", "_", "-", "_")

// eventTables returns the tables of all declared event types by name. Of types whose names would give one table, it is
// that of the type which is called like it, or else of the first by name. events_T_all gives way to a type T_all.
func eventTables(c *catalog.Catalog) map[string]table {
	out := map[string]table{}
	types := slices.SortedFunc(maps.Values(c.Events), func(a, b *catalog.EventType) int {
		return cmp.Or(strings.Count(a.Name, ".")+strings.Count(a.Name, "-")-strings.Count(b.Name, ".")-
			strings.Count(b.Name, "-"), cmp.Compare(a.Name, b.Name))
	})
	for _, t := range []table{{kind: events}, {kind: eventsAll}} {
		for _, e := range types {
			t.event = e
			t.name = eventsPrefix + withoutSigns.Replace(e.Name)
			if t.kind == eventsAll {
				t.name += allSuffix
			}
			if _, taken := out[t.name]; !taken && !strings.HasPrefix(e.Name, catalog.ReservedPrefix) {
				out[t.name] = t
			}
		}
	}
	return out
}

// eventColumns are those of a table of an event type: the event's own, the declared fields, what nobody has declared,
// and the position. The expression of a column is its name in the lake.
func eventColumns(t table) []column {
	var out []column
	add := func(sqlType string, names ...string) {
		for _, n := range names {
			out = append(out, column{sqlschema.Column{Name: n, Type: sqlType}, n})
		}
	}
	add(timeType, eventbatch.ColTime)
	add("String", eventbatch.ColID, eventbatch.ColSource)
	add("Nullable(String)", eventbatch.ColSubject)
	for _, f := range t.event.Fields {
		add("Nullable("+sqlschema.Type(f.Type)+")", f.Name)
	}
	add("Nullable(String)", eventbatch.ColExtra)
	add("Int32", "_partition", "_epoch")
	add("Int64", "_seq")
	add("Int32", "_index")
	if t.kind == eventsAll {
		add("Bool", colCopy)
	}
	return out
}

// mentioned returns those of the columns that a statement reads, and one if it reads none.
func mentioned(columns []column, reads *guard.Reads) []column {
	if reads.AllColumns {
		return columns
	}
	used := slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return !reads.Columns[c.Name] })
	if len(used) == 0 {
		return columns[:1]
	}
	return used
}

// insertBytes is how much data of events one INSERT has. An INSERT ends with the row that reaches it, and not with the
// rows that were read together: a table shows its INSERTs as blocks, and how many rows of other tenants were among
// those that were read is none of this tenant's business.
const insertBytes = 4 << 20

// textMemory is what a text needs in the engine besides its bytes.
const textMemory = 8

// loading reads the events of one table of a statement into the INSERTs that fill it.
type loading struct {
	statements *Statements
	table      table
	columns    []column
	memory     *query.Share
	insert     string
	steps      []step
	rows       []byte // of the next INSERT
	texts      int64  // in rows
	before     int64  // as bytes, of the statement's tables before this one
	bytes      int64  // of all steps and of the table that they fill, as the share holds it
	lost       uint64 // events with a value that was lost
}

// loadEvents returns the steps that make the table of an event type in a session. The caller gives back l.bytes once
// they are done.
func (s *Statements) loadEvents(ctx context.Context, t table, r *Request, before int64,
	q query.EventsOf) (l *loading, err error) {
	l = &loading{statements: s, table: t, columns: mentioned(eventColumns(t), r.reads), memory: q.Memory,
		before: before}
	l.steps = temporary(t.name, names(l.columns), nil)
	l.insert = "INSERT INTO " + sqlschema.Quote(t.name) + " FORMAT RowBinary"
	for _, c := range l.columns {
		if c.Name != colCopy {
			q.Columns = append(q.Columns, c.from)
		}
	}
	q.Type = t.event.Name
	q.From = r.eventsFrom
	q.To = r.eventsTo
	err = s.cfg.Events.Read(ctx, &q, func(rows *query.EventRows) error { return l.add(ctx, rows) })
	if err == nil {
		err = l.flush(ctx)
	}
	return l, eventsError(ctx, err)
}

// eventsError classifies an error of the batch layer.
func eventsError(ctx context.Context, err error) error {
	var failure *Failure
	var tooMuch *query.TooMuchMemoryError
	switch {
	case err == nil || errors.As(err, &failure) || errors.As(err, &tooMuch) || errors.Is(err, query.ErrMemoryBusy):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", reader.ErrBatch, err)
}

func (l *loading) add(ctx context.Context, rows *query.EventRows) error {
	var writers []cellWriter
	var texts int64 // in a row
	for _, c := range l.columns {
		if c.Name == colCopy {
			writers = append(writers, flagWriter(rows.Copies))
			continue
		}
		w, err := newCellWriter(c.Column, rows.Field(c.from))
		if err != nil {
			return err
		}
		writers = append(writers, w)
		if strings.Contains(c.Type, "String") {
			texts++
		}
	}
	for _, row := range rows.Lost.Rows(l.fields()) {
		if rows.Wanted[row] && !rows.Copies[row] {
			l.lost++
		}
	}
	for row, wanted := range rows.Wanted {
		if !wanted || rows.Copies[row] && l.table.kind == events {
			continue
		}
		for _, write := range writers {
			l.rows = write(l.rows, row)
		}
		l.texts += texts
		if len(l.rows) < insertBytes {
			continue
		}
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fields returns the names of the columns.
func (l *loading) fields() (out []string) {
	for _, c := range l.columns {
		out = append(out, c.Name)
	}
	return out
}

// flush makes an INSERT of the rows. They are in memory until it has run, and then a second time in the engine.
func (l *loading) flush(ctx context.Context) error {
	if len(l.rows) == 0 {
		return nil
	}
	size := 2*int64(len(l.rows)) + textMemory*l.texts
	if limit := l.statements.cfg.Limits.Events; l.before+l.bytes+size > 2*limit {
		return &Failure{Kind: TooLarge, Text: fmt.Sprintf("the statement reads more than %d MiB of events "+
			"(sql.events); name fewer columns of %s instead of *, or write SETTINGS %s = '2024-05-01T00:00:00Z', "+
			"%s = '2024-05-02T00:00:00Z' with a shorter range; a condition in WHERE does not change what is read",
			limit>>20, l.table.name, eventsFrom, eventsTo)}
	}
	if err := l.memory.Grow(ctx, size); err != nil {
		return err
	}
	l.bytes += size
	l.steps = append(l.steps, step{l.insert, l.rows})
	l.rows = nil
	l.texts = 0
	return nil
}
