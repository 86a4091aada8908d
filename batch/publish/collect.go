package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/failpoint"
	"recount/schemas/query"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

const (
	collectPairs   = 4000   // pairs of bucket and version that one run deletes in one table
	collectObjects = 10_000 // objects that one run deletes
)

// CollectResult is what a collection removed.
type CollectResult struct {
	Rows    int64 // rows in ClickHouse
	Objects int64 // objects of the lake
	Tables  int64 // tables of old definitions

	Publications int64 // records of publications
}

// Collect removes rows and tables that no kept publication names (P3, U4), objects that no commit
// record names (C8), and publications that no kept one needs (P3). One run removes a bounded number, so that it
// never takes long; the next run continues. It removes nothing if records are missing (record.ErrMissing).
//
// A version is safe to remove whatever its age. It holds the number of the publication it was
// written for, and each number is given once (P2). When that publication exists and does not name
// the version, no record ever will.
func (p *Publisher) Collect(ctx context.Context) (CollectResult, error) {
	p.running.Lock()
	defer p.running.Unlock()
	var r CollectResult
	err := p.useNewest(ctx)
	if err == nil {
		err = p.collect(ctx, &r)
	}
	for kind, n := range map[string]int64{"rows": r.Rows, "objects": r.Objects, "tables": r.Tables,
		"publications": r.Publications} {
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
	n, kept, err := p.checkKept(ctx)
	if err != nil {
		return err
	}
	if err := p.project(ctx); err != nil {
		return err
	}
	if n == 0 {
		return nil // No publication names anything yet, so garbage cannot be recognized.
	}
	if err := p.setHorizon(ctx); err != nil {
		return err
	}
	failpoint.Point("publish.collect.before")
	if err := p.collectTables(ctx, n, kept, r); err != nil {
		return err
	}
	failpoint.Point("publish.collect.after")
	rows, err := p.views.DeleteProjection(ctx, p.OldestKept().N)
	if err != nil {
		return err
	}
	r.Rows += rows
	if err := p.collectObjects(ctx, r); err != nil {
		return err
	}
	return p.forget(ctx, r)
}

func (p *Publisher) keptStates(ctx context.Context) (kept []*record.State, err error) {
	for _, n := range p.Kept() {
		s, err := p.StateAt(ctx, n)
		if errors.Is(err, query.ErrNoPublication) || errors.Is(err, query.ErrCollected) {
			continue // The pin is of a future publication, or the publication has just expired.
		}
		if err != nil {
			return nil, err
		}
		kept = append(kept, s)
	}
	return kept, nil
}

func (p *Publisher) collectTables(ctx context.Context, n uint64, kept []*record.State, r *CollectResult) error {
	tables, err := p.views.Tables(ctx)
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
	for _, name := range tables {
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

// collectVersions deletes rows of a table in use if no kept publication names their version.
func (p *Publisher) collectVersions(ctx context.Context, table string, newest uint64, views []record.ViewState,
	result *CollectResult) error {
	var garbage []record.BucketVersion
	var rows int64
	for b, err := range p.views.Versions(ctx, table, (newest+1)<<32) {
		if err != nil {
			return err
		}
		if isNamed(views, b.Bucket, b.Ver) {
			continue
		}
		garbage = append(garbage, b)
		rows = rows + b.Rows
		if len(garbage) == collectPairs {
			break
		}
	}
	if len(garbage) == 0 {
		return nil
	}
	if err := p.views.DeleteVersions(ctx, table, garbage); err != nil {
		return err
	}
	result.Rows += rows
	return nil
}

func isNamed(views []record.ViewState, bucket int64, ver uint64) bool {
	return slices.ContainsFunc(views, func(v record.ViewState) bool {
		b := v.VersionsBetween(bucket, bucket+1)
		return len(b) > 0 && b[0].Ver == ver
	})
}

// collectTable removes the table of a definition that is neither published nor declared here.
// Another process may be filling it with versions of the next publication. Then those rows stay,
// and so does the table.
func (p *Publisher) collectTable(ctx context.Context, table string, newest uint64, r *CollectResult) error {
	rows, dropped, err := p.views.DropTable(ctx, table, (newest+1)<<32)
	r.Rows += rows
	if dropped {
		r.Tables++
	}
	return err
}
