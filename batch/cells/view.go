package cells

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/catalog"
	"recount/schemas/quantile"
	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// viewMark begins the comment of every SQL VIEW that recount has created.
const viewMark = "recount"

// refusedMark ends the comment of a VIEW that Refuse made.
const refusedMark = " refused"

// sqlView is the SELECT of a view's SQL VIEW. It shows the cells of the newest publication whose
// projection is complete. Of a view that is being filled it leaves out earlier buckets (B8), because the projection may
// have some of them from before the view was removed or redefined.
func sqlView(c *catalog.Catalog, v *catalog.View, fill *record.Fill) string {
	digest := c.Digest(v)
	columns := []string{sqlschema.Quote(sqlschema.ColTime), sqlschema.Quote(sqlschema.ColTenant)}
	for _, d := range v.Dimensions {
		columns = append(columns, sqlschema.Quote(d))
	}
	for _, m := range v.Measures {
		columns = append(columns, viewColumns(c, v, m)...)
	}
	filled := ""
	if fill != nil {
		filled = " AND bucket >= " + bucketSQL(fill.From)
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE (%s, %s) IN (SELECT bucket, argMax(ver, n) FROM %s WHERE view = "+
		"'%s' AND digest = '%s'%s AND n <= (SELECT max(n) FROM %s WHERE view = '') GROUP BY bucket)",
		strings.Join(columns, ", "), sqlschema.Quote(sqlschema.Table(v, digest)), sqlschema.Quote(sqlschema.ColBucket),
		sqlschema.Quote(sqlschema.ColVer),
		sqlschema.Published, v.Name, digest, filled, sqlschema.Published)
}

// filledMark ends the comment of the VIEW of a view that is being filled (B8). SQL has no other place for it.
func filledMark(v record.ViewState) string {
	if v.Fill == nil {
		return ""
	}
	return " filled from " + time.UnixMicro(v.Fill.From).UTC().Format(time.RFC3339)
}

// viewColumns is the columns of a measure in the SQL VIEW: its value and, for an average or a distinct
// count, what a query needs to combine cells.
func viewColumns(c *catalog.Catalog, v *catalog.View, m catalog.Measure) []string {
	q := func(suffix string) string { return sqlschema.Quote(m.Name + suffix) }
	sum := q("__sum")
	named := sum
	if c.MeasureType(v, m) == catalog.Float64 {
		sum = sqlschema.ReadableSum(q("__near"), q("__far"))
		named = sum + " AS " + q("__sum")
	}
	switch m.Kind {
	case catalog.Sum:
		return []string{"if(" + q("__n") + " = 0, NULL, " + sum + ") AS " + q("")}
	case catalog.Avg:
		return []string{"if(" + q("__n") + " = 0, NULL, toFloat64(" + sum + ") / " + q("__n") + ") AS " + q(""),
			named, q("__n")}
	case catalog.Distinct:
		typed := "CAST(" + sqlschema.Quote(sqlschema.Table(v, c.Digest(v))) + "." + q("__state") +
			", 'AggregateFunction(uniqExact, UInt64)')"
		return []string{"finalizeAggregation(" + typed + ") AS " + q(""), typed + " AS " + q("__state")}
	case catalog.Quantile:
		return append(quantileColumns(m, c.MeasureType(v, m)), q(sqlschema.BinsSuffix))
	}
	return []string{q("")}
}

// quantileColumns are the quantiles that a measure is answered for if nothing else is asked.
func quantileColumns(m catalog.Measure, t catalog.FieldType) (columns []string) {
	for _, r := range quantile.Defaults {
		columns = append(columns, sqlschema.Quantile(sqlschema.Quote(m.Name+sqlschema.BinsSuffix), r, t)+" AS "+
			sqlschema.Quote(m.Name+"__"+r.String()))
	}
	return columns
}

// syncViews creates, replaces and drops SQL VIEWs, so that they are those of the publication. A
// redefined view keeps its old VIEW until its first publication, so that SQL never shows an empty
// VIEW. A view that is gone from both the configuration and the publication loses its VIEW.
func (s *Store) syncViews(ctx context.Context, published map[string]record.ViewState) error {
	there, err := s.tableComments(ctx)
	if err != nil {
		return err
	}
	c := s.catalog()
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		comment, exists := there[name]
		ours := strings.HasPrefix(comment, viewMark+" ")
		if exists && !ours {
			return fmt.Errorf("view %s: the database has a table of this name that is not recount's; rename one of "+
				"them", name)
		}
		selection := sqlView(c, c.Views[name], published[name].Fill)
		if _, counts := published[name]; !counts {
			selection += " AND 0" // The projection may have rows from before the view was removed.
		}
		mark := fmt.Sprintf("%s %s %016x%s", viewMark, c.Digest(c.Views[name]), xxhash.Sum64String(selection),
			filledMark(published[name]))
		if comment == mark || exists && published[name].Digest != c.Digest(c.Views[name]) {
			continue
		}
		if err := s.db.Exec(ctx,
			"CREATE OR REPLACE VIEW "+sqlschema.Quote(name)+" AS "+selection+" COMMENT '"+mark+"'"); err != nil {
			return fmt.Errorf("create VIEW %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		_, counts := published[name]
		if c.Views[name] != nil || counts || !strings.HasPrefix(there[name], viewMark+" ") {
			continue
		}
		if err := s.db.Exec(ctx, "DROP VIEW IF EXISTS "+sqlschema.Quote(name)); err != nil {
			return fmt.Errorf("drop VIEW %s: %w", name, err)
		}
	}
	return nil
}

// Refuse makes every VIEW of the declared views fail with a message, until the next Project.
func (s *Store) Refuse(ctx context.Context, message string) error {
	there, err := s.tableComments(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.catalog().Views)) {
		if !strings.HasPrefix(there[name], viewMark+" ") || strings.HasSuffix(there[name], refusedMark) {
			continue
		}
		selection := sqlView(s.catalog(), s.catalog().Views[name], nil)
		selection += " AND throwIf(_ver > 0, '" + message + "') = 0"
		if err := s.db.Exec(ctx, "CREATE OR REPLACE VIEW "+sqlschema.Quote(name)+" AS "+selection+" COMMENT '"+
			viewMark+refusedMark+"'"); err != nil {
			return fmt.Errorf("refuse VIEW %s: %w", name, err)
		}
	}
	return nil
}

// tableComments returns the comments of all tables of the database, by table.
func (s *Store) tableComments(ctx context.Context) (map[string]string, error) {
	rows, err := s.db.Query(readContext(ctx),
		"SELECT name, comment FROM system.tables WHERE database = currentDatabase()")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	comments := map[string]string{}
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		comments[name] = comment
	}
	return comments, rows.Err()
}
