package server

import (
	"context"
	"errors"
	"fmt"

	"recount/batch/landing"
	"recount/jobs/conservation"
	"recount/schemas/position"
	"recount/serving/api"
	"recount/speed/realtime"
)

// checks are what /readyz asks before it calls the process ready.
func (s *Server) checks() []api.Check {
	return []api.Check{{Name: "log", Check: s.checkLog}, {Name: "audit", Check: s.checkTally},
		{Name: "landing", Check: s.checkLanding}, {Name: "real-time views", Check: s.checkViews},
		{Name: "publication", Check: s.checkPublication}, {Name: "clickhouse", Check: s.checkClickHouse}}
}

// checkClickHouse says that an external ClickHouse does not answer. Only the role serving cannot do without it: the
// others go on, and a recompute waits.
func (s *Server) checkClickHouse(ctx context.Context) error {
	if s.engines.probe == nil || !s.roles.Has(Serving) {
		return nil
	}
	return s.engines.probe.check(ctx)
}

// checkLog names what stops the log. The role serving alone needs no log: it answers from the batch views.
func (s *Server) checkLog(ctx context.Context) error {
	if s.roles == Serving {
		return nil
	}
	return s.engines.log.Healthy(ctx)
}

// checkTally names the partitions that hold a message that cannot be read.
func (s *Server) checkTally(context.Context) error { return s.tally.unreadable() }

// checkLanding names the partitions that have stopped landing or fail for minutes. Their log fills up until it accepts
// no more. If the log has lost the messages that should land next, checkLanding also says how to give them up (C7).
func (s *Server) checkLanding(ctx context.Context) error {
	if s.lander == nil {
		return nil
	}
	err := errors.Join(s.lander.Stopped(), s.lander.Failing())
	var stopped *landing.StoppedError
	if !errors.As(err, &stopped) || !errors.Is(stopped, position.ErrTrimmed) {
		return err
	}
	first, _, boundsErr := s.engines.log.Bounds(ctx, stopped.Partition)
	if boundsErr != nil || first <= stopped.At.Seq {
		return err
	}
	return fmt.Errorf("%w; %s", err,
		remedy(stopped.Partition, &conservation.UnreadableError{Seq: stopped.At.Seq, End: first}))
}

// checkPublication says why nothing is published until an operator restores what the object store has lost. Answers
// stay as they are, and the log fills up until it accepts no more.
func (s *Server) checkPublication(context.Context) error {
	if s.publisher == nil {
		return nil
	}
	return s.publisher.Refused()
}

// checkViews names the partitions whose real-time views have stopped, and those that have not read what the
// log held when the server started. Until then answers would be older than those before the start.
func (s *Server) checkViews(context.Context) error {
	if s.views == nil {
		return nil
	}
	var errs []error
	for _, st := range s.views.Status() {
		if st.Failed != nil {
			errs = append(errs, fmt.Errorf("partition %d has stopped: %w", st.Partition, st.Failed))
			continue
		}
		if err := checkLevel(st); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkLevel says how far a partition has to read until it is level with the log's end as of the start.
func checkLevel(st realtime.PartitionStatus) error {
	if st.Through.Seq >= st.Level {
		return nil
	}
	waits := ""
	if st.Stalled != "" {
		waits = "; it waits: " + st.Stalled
	}
	return fmt.Errorf("partition %d is reading the log: it is at message %d, and ready at %d, where the log ended at "+
		"the start%s", st.Partition, st.Through.Seq, st.Level, waits)
}
