package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"recount/batch/landing"
	"recount/deploy/server/janitor"
	"recount/jobs"
	"recount/schemas/position"
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// HoleOptions name the messages of a partition that an operator gives up (C7).
type HoleOptions struct {
	landing.Hole
	Partition int
	Logger    *slog.Logger // nil discards
}

// GiveUp gives up messages that the log cannot give any more. With embedded engines no server may run.
func GiveUp(ctx context.Context, cfg Config, o HoleOptions) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Partition < 0 || o.Partition >= cfg.Log.Partitions {
		return fmt.Errorf("partition %d does not exist: use 0 to %d", o.Partition, cfg.Log.Partitions-1)
	}
	if !hasData(cfg) {
		return fmt.Errorf("data_dir: %s holds no data: name the folder of a server with --data-dir or the "+
			"configuration", cfg.DataDir)
	}
	if cfg.embedsAnything() {
		lock, err := lockDataDir(cfg.DataDir)
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	e := &engines{}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.openLake(ctx, cfg, o.Logger, nil); err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	if err := checkSameData(ctx, cfg, e); err != nil {
		return err
	}
	if err := e.openLog(ctx, cfg, o.Logger, nil); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return giveUp(ctx, cfg, e, o)
}

// checkSameLog returns an error if the log is not the one that the partition's chain follows (I8, L8). Another log has
// none of the messages, so all of them would look lost.
func checkSameLog(ctx context.Context, cfg Config, e *engines, chain *record.Chain) error {
	i, err := readInstallation(ctx, e.records)
	if err != nil {
		return fmt.Errorf("find out which log belongs to the object store: %w; start the server once, it writes the "+
			"record", err)
	}
	current := janitor.CurrentLog(chain, i.Log)
	if e.log.Installation() != i.ID || current != e.log.ID() {
		return fmt.Errorf("%w: the log %s is %q of installation %q, and partition %d follows log %s of installation "+
			"%s; put that log back", errForeign, placeName(cfg.Log.URL, cfg.DataDir, "log"), e.log.ID(),
			e.log.Installation(), chain.Partition, current, i.ID)
	}
	return nil
}

// giveUp is GiveUp with engines that are open.
func giveUp(ctx context.Context, cfg Config, e *engines, o HoleOptions) error {
	chain, err := landing.LoadChain(ctx, e.records, o.Partition)
	if err != nil {
		return err
	}
	if !chain.Begun() {
		return fmt.Errorf("partition %d has no data", o.Partition)
	}
	if err := checkSameLog(ctx, cfg, e, chain); err != nil {
		return err
	}
	_, next, err := e.log.Bounds(ctx, o.Partition)
	if err != nil {
		return err
	}
	if o.To > next {
		return fmt.Errorf("%w: the log ends at message %d", landing.ErrRefused, next)
	}
	o.Logger.Info("looking for the messages that are given up", "partition", o.Partition, "from", o.From, "to", o.To)
	lc := landing.Config{Logger: o.Logger, Published: publishedIn(ctx, e.records)}
	return landing.GiveUp(ctx, lc, chain, o.Hole, source{e.log}, e.records, e.lake,
		func(ctx context.Context, seq uint64) (bool, error) { return readable(ctx, e.log, o.Partition, seq) })
}

// publishedIn returns what reads the newest publication from the records once, for a command that does not open
// ClickHouse. Of the witnesses of a missing one (P2) it asks the runs.
func publishedIn(ctx context.Context, records record.CommitLog) landing.Published {
	read := sync.OnceValues(func() (*record.Publication, error) {
		n, run, err := jobs.NewestPublication(ctx, records)
		if err != nil {
			return nil, err
		}
		newest, err := landing.NewestStored(ctx, records)
		if err == nil && (newest == nil && n > 0 || newest != nil && newest.N < n) {
			err = fmt.Errorf("%w: %s names publication %d, and the newest is an earlier one; start the server, whose "+
				"/readyz says what to do", record.ErrMissing, run, n)
		}
		return newest, err
	})
	return func(context.Context) (*record.Publication, error) { return read() }
}

// readable reports whether the log has a message as it was written.
func readable(ctx context.Context, log *eventlog.Log, partition int, seq uint64) (bool, error) {
	m, err := log.Get(ctx, partition, seq)
	switch {
	case errors.Is(err, position.ErrTrimmed) || errors.Is(err, eventlog.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	return whole(reread(ctx, log, partition, m).Data), nil
}
