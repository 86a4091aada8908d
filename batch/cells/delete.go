package cells

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

// notEmpty is the error code with which ClickHouse refuses DROP TABLE IF EMPTY for a table with rows.
const notEmpty = 705

// tableName matches the names that sqlschema.Table makes.
var tableName = regexp.MustCompile("^" + sqlschema.TablePrefix + "[a-z][a-z0-9_]*_[0-9a-f]{16}$")

// Tables lists all tables of cells. Some may belong to definitions that are no longer declared.
func (s *Store) Tables(ctx context.Context) ([]string, error) {
	there, err := s.tableComments(ctx)
	if err != nil {
		return nil, err
	}
	var tables []string
	for name, comment := range there {
		if tableName.MatchString(name) && !strings.HasPrefix(comment, viewMark+" ") {
			tables = append(tables, name)
		}
	}
	return tables, nil
}

// Versions lists the versions below a limit that a table holds, and how many rows each has.
func (s *Store) Versions(ctx context.Context, table string, below uint64) iter.Seq2[record.BucketVersion, error] {
	return func(yield func(record.BucketVersion, error) bool) {
		rows, err := s.db.Query(readContext(ctx), fmt.Sprintf("SELECT toUnixTimestamp64Micro(%[1]s), %[2]s, count() "+
			"FROM %[3]s WHERE %[2]s < %[4]d GROUP BY %[1]s, %[2]s",
			sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer), sqlschema.Quote(table), below))
		if err != nil {
			yield(record.BucketVersion{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var b record.BucketVersion
			var n uint64
			err := rows.Scan(&b.Bucket, &b.Ver, &n)
			b.Rows = int64(n)
			if !yield(b, err) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(record.BucketVersion{}, err)
		}
	}
}

// DeleteVersions deletes the rows of the buckets' versions.
func (s *Store) DeleteVersions(ctx context.Context, table string, versions []record.BucketVersion) error {
	return s.db.Exec(readContext(ctx), fmt.Sprintf("DELETE FROM %s WHERE (%s, %s) IN (%s)",
		sqlschema.Quote(table), sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer),
		pairSet(versions)))
}

// DropTable deletes the rows of versions below a limit, then the table if it is empty. ClickHouse
// checks in one step that it is empty and drops it, so rows that another process inserts meanwhile
// are safe.
func (s *Store) DropTable(ctx context.Context, table string, below uint64) (rows int64, dropped bool, err error) {
	where := fmt.Sprintf("%s < %d", sqlschema.Quote(sqlschema.ColVer), below)
	var n uint64
	if err := s.db.QueryRow(readContext(ctx),
		"SELECT count() FROM "+sqlschema.Quote(table)+" WHERE "+where).Scan(&n); err != nil {
		return 0, false, err
	}
	if n > 0 {
		// DELETE FROM only masks rows, and a table with masked rows is not empty to DROP TABLE IF EMPTY.
		if err := s.db.Exec(readContext(ctx),
			"ALTER TABLE "+sqlschema.Quote(table)+" DELETE WHERE "+where+" SETTINGS mutations_sync = 2"); err != nil {
			return 0, false, err
		}
	}
	err = s.db.Exec(ctx, "DROP TABLE IF EMPTY "+sqlschema.Quote(table))
	var e *clickhouse.Exception
	if errors.As(err, &e) && e.Code == notEmpty {
		return int64(n), false, nil
	}
	return int64(n), err == nil, err
}

// DeleteProjection deletes the projection before the newest complete list of buckets that belongs
// to publication oldest or an earlier one. No reader of the VIEWs can still use anything before it.
func (s *Store) DeleteProjection(ctx context.Context, oldest uint64) (int64, error) {
	var full, rows uint64
	row := s.db.QueryRow(ctx,
		fmt.Sprintf("SELECT max(n) FROM %s WHERE view = '' AND ver = 1 AND n <= %d", sqlschema.Published, oldest))
	if err := row.Scan(&full); err != nil {
		return 0, fmt.Errorf("read the projection: %w", err)
	}
	if err := s.db.QueryRow(ctx,
		fmt.Sprintf("SELECT count() FROM %s WHERE n < %d", sqlschema.Published, full)).Scan(&rows); err != nil {
		return 0, fmt.Errorf("read the projection: %w", err)
	}
	if rows == 0 {
		return 0, nil
	}
	if err := s.db.Exec(readContext(ctx),
		fmt.Sprintf("DELETE FROM %s WHERE n < %d", sqlschema.Published, full)); err != nil {
		return 0, fmt.Errorf("delete the projection before publication %d: %w", full, err)
	}
	return int64(rows), nil
}
