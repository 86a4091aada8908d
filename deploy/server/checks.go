package server

import (
	"context"
	"errors"
	"fmt"

	"recount/serving/api"
)

// checks are what /readyz asks before it calls the process ready.
func (s *Server) checks() []api.Check {
	return []api.Check{{Name: "log", Check: s.checkLog}, {Name: "audit", Check: s.checkTally},
		{Name: "landing", Check: s.checkLanding}, {Name: "real-time views", Check: s.checkViews}}
}

func (s *Server) checkLog(context.Context) error { return s.engines.log.Healthy() }

// checkTally names the partitions that hold a message that cannot be read.
func (s *Server) checkTally(context.Context) error { return s.tally.unreadable() }

// checkLanding names the partitions that have stopped landing. Their log fills up until it accepts no more.
func (s *Server) checkLanding(context.Context) error {
	if s.lander == nil {
		return nil
	}
	return s.lander.Stopped()
}

// checkViews names the partitions whose real-time views have stopped.
func (s *Server) checkViews(context.Context) error {
	if s.views == nil {
		return nil
	}
	var errs []error
	for _, st := range s.views.Status() {
		if st.Failed != nil {
			errs = append(errs, fmt.Errorf("partition %d has stopped: %w", st.Partition, st.Failed))
		}
	}
	return errors.Join(errs...)
}
