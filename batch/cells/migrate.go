package cells

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/sqlschema"
)

// MigrationsTable is the table that records which migrations of sqlschema were applied.
const MigrationsTable = "recount_migrations"

const createMigrations = "CREATE TABLE IF NOT EXISTS " + MigrationsTable +
	" (name String, sha256 String, applied DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree ORDER BY name"

// Prepare brings the tables up to date. It fails when an applied migration was edited.
func (s *Store) Prepare(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.CreateTables(ctx)
}

// migrate applies the migrations that were not applied yet. A migration may run twice, when its
// record was lost or when two processes start at once, so each must allow that. A migration that
// was edited after it was applied is refused, because nothing says what the table looks like now.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := sqlschema.Migrations()
	if err != nil {
		return err
	}
	if err := s.db.Exec(ctx, createMigrations); err != nil {
		return fmt.Errorf("create table %s: %w", MigrationsTable, err)
	}
	applied, err := s.appliedMigrations(ctx)
	if err != nil {
		return err
	}
	for _, m := range steps {
		switch sum, done := applied[m.Name]; {
		case done && sum == m.SHA256:
			continue
		case done:
			return fmt.Errorf("migration %s was applied with checksum %s and now has checksum %s; restore the file "+
				"and add a new migration instead", m.Name, sum, m.SHA256)
		}
		if err := s.db.Exec(ctx, m.SQL); err != nil {
			return fmt.Errorf("apply migration %s: %w", m.Name, err)
		}
		if err := s.db.Exec(ctx,
			fmt.Sprintf("INSERT INTO %s (name, sha256) VALUES ('%s', '%s')", MigrationsTable, m.Name,
				m.SHA256)); err != nil {
			return fmt.Errorf("record migration %s: %w", m.Name, err)
		}
	}
	return nil
}

func (s *Store) appliedMigrations(ctx context.Context) (map[string]string, error) {
	rows, err := s.db.Query(ctx, "SELECT name, sha256 FROM "+MigrationsTable)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", MigrationsTable, err)
	}
	defer rows.Close()
	applied := map[string]string{}
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, fmt.Errorf("read %s: %w", MigrationsTable, err)
		}
		applied[name] = sum
	}
	return applied, rows.Err()
}

// CreateTables creates the table of every declared view that has none.
func (s *Store) CreateTables(ctx context.Context) error {
	c := s.catalog()
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		if err := s.db.Exec(ctx, sqlschema.CreateTable(c, c.Views[name])); err != nil {
			return fmt.Errorf("create the table of view %s: %w", name, err)
		}
	}
	return nil
}
