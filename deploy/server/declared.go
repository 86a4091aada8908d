package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"recount/batch/publish"
	"recount/deploy/server/generations"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// openCatalog reads the generations of the catalog, and applies what the configuration file declares. The first start
// makes the first generation of it, also over data that an older program has stored (G2).
func (s *Server) openCatalog(ctx context.Context) (err error) {
	if s.namedBefore, err = namedGeneration(ctx, s.engines); err != nil {
		return err
	}
	s.generations, err = generations.Open(ctx, generations.Config{Bucket: s.cfg.Bucket, Code: Version(),
		Named: s.namedGeneration, Now: failpoint.Now, Logger: s.logger, Registerer: s.registry}, s.engines.records)
	if err != nil {
		return err
	}
	if s.replace.Catalog {
		if err := s.generations.Replace(ctx, s.namedBefore.N); err != nil {
			return err
		}
	}
	if err := generations.CheckNamed(s.generations.Current(), s.namedBefore); err != nil {
		return err
	}
	if s.cfg.declares() || s.generations.Current().N == 0 {
		_, d, err := s.generations.Apply(ctx, s.declared, false)
		if err != nil {
			return fmt.Errorf("apply the declarations of the configuration: %w", err)
		}
		logDifference(s.logger, d)
	}
	s.catalog = s.generations.Catalog()
	changes, err := storedChanges(ctx, s.engines.records, s.catalog)
	if err != nil {
		s.logger.Warn("cannot say whether stored events have the declared types", "error", err)
	}
	for _, change := range changes {
		s.logger.Info("a field is declared otherwise than before", "field", change)
	}
	return nil
}

// namedGeneration returns the highest generation that is known to have existed (G1).
func (s *Server) namedGeneration() generations.Named {
	if s.publisher == nil {
		return s.namedBefore // Publications are read after the catalog.
	}
	if newest := s.publisher.State(); newest.Generation() > s.namedBefore.N {
		return generations.Named{N: newest.Generation(), By: fmt.Sprint("publication ", newest.N)}
	}
	return s.namedBefore
}

// namedGeneration returns the highest generation that the newest publication or one of the last messages of the log
// names (G1). A caller reads it before the catalog, because a generation may be made meanwhile.
func namedGeneration(ctx context.Context, e *engines) (named generations.Named, err error) {
	publication, n, err := publish.NamedGeneration(ctx, e.records)
	if err != nil {
		return named, err
	}
	named = generations.Named{N: n, By: fmt.Sprint("publication ", publication)}
	for p := range e.log.Partitions() {
		first, next, err := e.log.Bounds(ctx, p)
		if err != nil {
			return named, err
		}
		for seq := next; seq > first && next-seq < askedMessages; {
			seq--
			m, err := e.log.Get(ctx, p, seq)
			if errors.Is(err, position.ErrTrimmed) || errors.Is(err, eventlog.ErrNotFound) {
				continue
			}
			if err != nil {
				return named, err
			}
			// A message that is corrupt stops its partition (C7), and says nothing here.
			if h, err := eventbatch.ReadHeader(m.Data); err == nil && h.Generation > named.N {
				named = generations.Named{N: h.Generation, By: fmt.Sprintf("message %d of partition %d", seq, p)}
			}
		}
	}
	return named, nil
}

// askedMessages is how many of the last messages of a partition are asked for the generation by which they were
// decoded. Messages that are gone have been published. Heartbeats name none. Processes that had not yet read a new
// generation may have appended a few after others had.
const askedMessages = 16

// declares reports whether the configuration declares anything. One that does not leaves the catalog as it is stored.
func (c *Config) declares() bool { return len(c.Events)+len(c.Views) > 0 }

// logDifference logs each declaration in which a file and the stored catalog differed before the file was applied.
func logDifference(logger *slog.Logger, d generations.Difference) {
	for _, e := range d.Edits {
		if d.Refused == nil {
			logger.Info("the configuration file changes the catalog", "declaration", e.String(), "before", e.Stored,
				"now", e.Declared)
		}
	}
	for _, e := range d.Kept {
		logger.Info("a declaration was changed by a request since a file was last applied, and stays as it is",
			"declaration", string(e.Kind)+"."+e.Name, "file", e.Declared, "stored", e.Stored)
	}
	for _, e := range d.Conflicts {
		logger.Warn("the configuration file and a request have both changed a declaration since a file was last "+
			"applied; the stored one stays, and recount config apply takes the one of the file",
			"declaration", string(e.Kind)+"."+e.Name, "file", e.Declared, "stored", e.Stored)
	}
	if d.Refused != nil {
		logger.Warn("the configuration file changes nothing, because with what requests have changed it would be no "+
			"valid catalog; correct the file, or change the catalog by requests", "error", d.Refused)
	}
}

// describeDifference says what a start would do with a file, a line for each declaration.
func describeDifference(d generations.Difference) (lines []string) {
	for _, e := range d.Edits {
		if d.Refused == nil {
			lines = append(lines, "a start would "+e.String())
		}
	}
	for _, e := range d.Kept {
		lines = append(lines, fmt.Sprintf("%s.%s: changed by a request; a start leaves it as it is stored", e.Kind,
			e.Name))
	}
	for _, e := range d.Conflicts {
		lines = append(lines, fmt.Sprintf("%s.%s: changed by this file and by a request; a start leaves it as it is "+
			"stored, and recount config apply takes the one of the file", e.Kind, e.Name))
	}
	if d.Refused != nil {
		lines = append(lines, "a start would change nothing of the catalog, because with what requests have changed "+
			"it would not be valid: "+d.Refused.Error())
	}
	return lines
}

// storedCatalog returns the newest generation that the object store has, and the catalog of the configuration if there
// is none. It writes nothing.
func (c *Config) storedCatalog(ctx context.Context, records record.CommitLog) (*generations.Generation, error) {
	chain, err := generations.Open(ctx, generations.Config{Bucket: c.Bucket, Code: Version()}, records)
	if err != nil {
		return nil, err
	}
	return chain.Current(), nil
}
