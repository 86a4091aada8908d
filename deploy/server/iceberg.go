package server

import (
	"context"
	"time"

	"recount/batch/iceberg"
	"recount/schemas/deadletter"
	"recount/schemas/failpoint"
)

// openTables makes the writer of Iceberg tables. Nothing else depends on the tables.
func (s *Server) openTables(context.Context) (err error) {
	if !s.roles.Has(Batch) || s.cfg.Iceberg != IcebergOn {
		return nil
	}
	s.tables, err = iceberg.New(iceberg.Config{Store: s.engines.lake, Records: s.engines.records,
		Installation: s.installation.ID, Logger: s.logger, Registerer: s.registry, Now: failpoint.Now,
		Newest: func() uint64 { return s.publisher.State().N },
		Kept: func(ctx context.Context) (*iceberg.Kept, error) {
			states, chains, horizons, err := s.publisher.Committed(ctx)
			return &iceberg.Kept{States: states, Chains: chains, Horizons: horizons}, err
		}})
	return err
}

// leaveWithin is how long retention waits for a table.
const leaveWithin = time.Minute

// leaveTable takes retired dead letters out of their table, before their objects go. If it fails, they go all the same:
// retention does not depend on a table.
func (s *Server) leaveTable(ctx context.Context) {
	if s.tables == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := s.tables.UpdateType(ctx, deadletter.Type); err != nil {
		s.logger.Warn("the Iceberg table of dead letters may name objects that were deleted, until it is written again",
			"error", err)
	}
}
