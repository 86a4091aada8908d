package publish

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/catalog"
	"recount/schemas/fault"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

const (
	collectPairs   = 4000   // (bucket, ver) of one table deleted in one run
	collectObjects = 10_000 // objects deleted in one run
	notEmpty       = 705    // ClickHouse's code of DROP TABLE IF EMPTY
)

// tableName matches what sqlschema.Table makes.
var tableName = regexp.MustCompile("^" + sqlschema.TablePrefix + "[a-z][a-z0-9_]*_[0-9a-f]{16}$")

// CollectResult is what a collection removed.
type CollectResult struct {
	Rows    int64 // of ClickHouse
	Objects int64 // of the lake
	Tables  int64 // of old definitions
}

// Collect removes what no kept publication (P3) and no commit record (C8) names: a
// bounded part of it, so that a run never takes long; the next one goes on.
//
// A version is safe to remove without asking its age. It holds the number of the
// publication it was written for, and numbers are given once (P2): when that number
// is taken and the record does not name the version, no record ever will.
func (p *Publisher) Collect(ctx context.Context) (CollectResult, error) {
	p.running.Lock()
	defer p.running.Unlock()
	var r CollectResult
	err := p.collect(ctx, &r)
	for kind, n := range map[string]int64{"rows": r.Rows, "objects": r.Objects, "tables": r.Tables} {
		p.metrics.collected.WithLabelValues(kind).Add(float64(n))
	}
	if err != nil {
		p.metrics.failures.WithLabelValues("collect").Inc()
		return r, fmt.Errorf("collect: %w", err)
	}
	return r, nil
}

func (p *Publisher) collect(ctx context.Context, r *CollectResult) error {
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	if err := p.project(ctx); err != nil {
		return err
	}
	if err := p.loadPins(ctx); err != nil {
		return err
	}
	// n is taken before the kept states are: a publication seen only now is among
	// them or above n, never below n and not among them.
	n := p.State().N
	if n == 0 {
		return nil // Nothing is named yet, so nothing can be told apart.
	}
	kept, err := p.keptStates(ctx)
	if err != nil {
		return err
	}
	fault.Point("publish.collect.before")
	if err := p.collectTables(ctx, n, kept, r); err != nil {
		return err
	}
	fault.Point("publish.collect.after")
	if err := p.collectProjection(ctx, r); err != nil {
		return err
	}
	return p.collectObjects(ctx, r)
}

func (p *Publisher) keptStates(ctx context.Context) (kept []*record.State, err error) {
	for _, n := range p.Kept() {
		s, err := p.At(ctx, n)
		if errors.Is(err, ErrNoPublication) || errors.Is(err, ErrExpired) {
			continue // A pin of a publication yet to come, or one that expired this moment.
		}
		if err != nil {
			return nil, err
		}
		kept = append(kept, s)
	}
	return kept, nil
}

func (p *Publisher) collectTables(ctx context.Context, n uint64, kept []*record.State, r *CollectResult) error {
	there, err := p.tableComments(ctx)
	if err != nil {
		return err
	}
	named := map[string][]record.ViewState{}
	for _, s := range kept {
		for view, v := range s.Views {
			name := sqlschema.Table(&catalog.View{Name: view}, v.Digest)
			named[name] = append(named[name], v)
		}
	}
	for _, v := range p.cfg.Catalog.Views {
		name := sqlschema.Table(v, p.cfg.Catalog.Digest(v))
		named[name] = append(named[name], record.ViewState{})
	}
	for name, comment := range there {
		if !tableName.MatchString(name) || strings.HasPrefix(comment, viewMark+" ") {
			continue
		}
		if views, ok := named[name]; ok {
			err = p.collectVersions(ctx, name, n, views, r)
		} else {
			err = p.collectTable(ctx, name, n, r)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	return nil
}

// collectVersions deletes rows of a table in use whose version no kept publication names.
func (p *Publisher) collectVersions(ctx context.Context, table string, newest uint64, views []record.ViewState, r *CollectResult) error {
	rows, err := p.db.Query(readContext(ctx), fmt.Sprintf("SELECT toUnixTimestamp64Micro(%[1]s), %[2]s, count() FROM %[3]s WHERE %[2]s < %[4]d GROUP BY %[1]s, %[2]s",
		sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer), sqlschema.Quote(table), (newest+1)<<32))
	if err != nil {
		return err
	}
	defer rows.Close()
	var pairs []string
	var deleted int64
	for rows.Next() && len(pairs) < collectPairs {
		var bucket int64
		var ver, n uint64
		if err := rows.Scan(&bucket, &ver, &n); err != nil {
			return err
		}
		if !isNamed(views, bucket, ver) {
			pairs = append(pairs, fmt.Sprintf("(%s, %d)", bucketSQL(bucket), ver))
			deleted += int64(n)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(pairs) == 0 {
		return err
	}
	err = p.db.Exec(readContext(ctx), fmt.Sprintf("DELETE FROM %s WHERE (%s, %s) IN (%s)",
		sqlschema.Quote(table), sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer), strings.Join(pairs, ", ")))
	if err != nil {
		return err
	}
	r.Rows += deleted
	return nil
}

func isNamed(views []record.ViewState, bucket int64, ver uint64) bool {
	return slices.ContainsFunc(views, func(v record.ViewState) bool {
		b := v.Between(bucket, bucket+1)
		return len(b) > 0 && b[0].Ver == ver
	})
}

// collectTable removes the table of a definition that is neither published nor
// declared here. Another process may just be filling it, with versions of the next
// publication: those rows stay, and the engine itself drops the table only if it
// is empty, however long ago this process looked.
func (p *Publisher) collectTable(ctx context.Context, table string, newest uint64, r *CollectResult) error {
	where := fmt.Sprintf("%s < %d", sqlschema.Quote(sqlschema.ColVer), (newest+1)<<32)
	var rows uint64
	if err := p.db.QueryRow(readContext(ctx), "SELECT count() FROM "+sqlschema.Quote(table)+" WHERE "+where).Scan(&rows); err != nil {
		return err
	}
	if rows > 0 {
		// DELETE FROM only masks rows, and a table of masked rows is not empty.
		if err := p.db.Exec(readContext(ctx), "ALTER TABLE "+sqlschema.Quote(table)+" DELETE WHERE "+where+" SETTINGS mutations_sync = 2"); err != nil {
			return err
		}
		r.Rows += int64(rows)
	}
	err := p.db.Exec(ctx, "DROP TABLE IF EMPTY "+sqlschema.Quote(table))
	var e *clickhouse.Exception
	if errors.As(err, &e) && e.Code == notEmpty {
		return nil
	}
	if err == nil {
		r.Tables++
	}
	return err
}

// collectProjection deletes rows of publications before the newest complete list of
// buckets that no reader of the VIEWs can be behind of any more.
func (p *Publisher) collectProjection(ctx context.Context, r *CollectResult) error {
	var full, rows uint64
	row := p.db.QueryRow(ctx, fmt.Sprintf("SELECT max(n) FROM %s WHERE view = '' AND ver = 1 AND n <= %d", sqlschema.Published, p.OldestKept().N))
	if err := row.Scan(&full); err != nil {
		return fmt.Errorf("read the projection: %w", err)
	}
	if err := p.db.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE n < %d", sqlschema.Published, full)).Scan(&rows); err != nil {
		return fmt.Errorf("read the projection: %w", err)
	}
	if rows == 0 {
		return nil
	}
	if err := p.db.Exec(readContext(ctx), fmt.Sprintf("DELETE FROM %s WHERE n < %d", sqlschema.Published, full)); err != nil {
		return fmt.Errorf("delete the projection before publication %d: %w", full, err)
	}
	r.Rows += int64(rows)
	return nil
}
