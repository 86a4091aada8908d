package cells

import (
	"context"
	"fmt"
	"strings"

	"recount/schemas/sqlschema"
)

// Claim makes the database belong to an installation, and returns the one that it belongs to: this one, or
// the one that was there before (I8). The id is the comment of a table without rows, because a table is
// created with its comment in one step, and only once.
func (s *Store) Claim(ctx context.Context, installation string) (owner string, err error) {
	if strings.ContainsAny(installation, `'\`) {
		return "", fmt.Errorf("installation %q: an id has no quotes", installation)
	}
	err = s.db.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (id String) ENGINE = MergeTree ORDER BY id "+
		"COMMENT '%s'",
		sqlschema.Installation, installation))
	if err != nil {
		return "", fmt.Errorf("create table %s: %w", sqlschema.Installation, err)
	}
	return s.Installation(ctx)
}

// Installation returns the id of the installation that the database belongs to, or "" if it belongs to none yet.
func (s *Store) Installation(ctx context.Context) (owner string, err error) {
	err = s.db.QueryRow(ctx, "SELECT max(comment) FROM system.tables WHERE database = currentDatabase() AND name = '"+
		sqlschema.Installation+"'").Scan(&owner)
	if err != nil {
		return "", fmt.Errorf("read the comment of table %s: %w", sqlschema.Installation, err)
	}
	return owner, nil
}
