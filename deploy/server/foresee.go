package server

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"recount/batch/cells"
	"recount/batch/publish"
	"recount/deploy/server/generations"
	"recount/deploy/server/janitor"
	"recount/deploy/verify"
	"recount/speed/realtime"
)

// foresee runs the checks of a start over engines that are open for reading, in the order of a start and by the same
// functions. It says what the start would refuse and what it would give up (V12). It changes nothing.
func (s *Server) foresee(ctx context.Context, e *verify.Evidence) verify.Outlook {
	var o verify.Outlook
	o.Refusal = s.foreseeParts(ctx, e)
	if o.Refusal == nil {
		o.Refusal = s.foreseePublisher(ctx, e)
	}
	if o.Refusal == nil {
		o.Seals, o.Refusal = s.foreseeSeals(ctx)
	}
	for p := range s.cfg.Log.Partitions {
		if s.installation == nil {
			break
		}
		unused, err := realtime.UnusableSnapshots(snapshotDir(s.cfg), s.installation.ID, p)
		o.Unused = append(o.Unused, unused...)
		if o.Refusal == nil {
			o.Refusal = err
		}
	}
	return o
}

// foreseeParts is what openEngines and openInstallation check. A start fills a ClickHouse that is missing.
func (s *Server) foreseeParts(ctx context.Context, e *verify.Evidence) error {
	if e.LogError != nil {
		return fmt.Errorf("log: %w", e.LogError)
	}
	if e.CellsError != nil && !errors.Is(e.CellsError, os.ErrNotExist) {
		return fmt.Errorf("clickhouse: %w", e.CellsError)
	}
	if _, err := s.findInstallation(ctx); err != nil {
		return err
	}
	if err := s.checkLogOwner(ctx); err != nil {
		return err
	}
	if err := s.checkStreams(ctx); err != nil {
		return err
	}
	if e.Cells != nil {
		owner, err := e.Cells.Installation(ctx)
		if err == nil && owner != "" {
			err = s.checkSQLOwner(owner)
		}
		if err != nil {
			return err
		}
	}
	return s.foreseeCatalog(ctx)
}

// foreseeCatalog is what openCatalog checks before it applies what the configuration declares.
func (s *Server) foreseeCatalog(ctx context.Context) error {
	named, err := namedGeneration(ctx, s.engines)
	if err != nil {
		return err
	}
	stored, err := s.cfg.storedCatalog(ctx, s.engines.records)
	if err != nil {
		return err
	}
	return generations.CheckNamed(stored, named)
}

// foreseeSeals is what beginPartitions checks.
func (s *Server) foreseeSeals(ctx context.Context) ([]janitor.Seal, error) {
	marks, err := janitor.OpenMarks(snapshotDir(s.cfg), s.engines.log, s.logger)
	if err != nil {
		return nil, err
	}
	return janitor.Foresee(ctx, s.janitor(), s.engines.log, s.engines.records, marks)
}

// foreseePublisher is what openPublisher checks. An embedded ClickHouse is a copy, so its tables are prepared as by a
// start. The publisher says what may be sealed (C10).
func (s *Server) foreseePublisher(ctx context.Context, e *verify.Evidence) (err error) {
	pc := s.cfg.publisher(s.catalog)
	pc.Installation = s.installation.ID
	pc.Logger = s.logger
	pc.Registerer = prometheus.NewRegistry()
	pc.Runs = s.newestRun
	s.publisher, err = publish.New(pc, s.engines.records, s.engines.lake, cells.NewStore(s.engines.sql, s.catalog),
		s.currentChains, s.openObject)
	if err != nil {
		return err
	}
	if s.cfg.ClickHouse.URL != Embedded || e.Cells == nil {
		return s.publisher.Load(ctx)
	}
	s.publisher.Suspect()
	return s.publisher.Start(ctx)
}
