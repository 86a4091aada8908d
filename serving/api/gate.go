package api

import (
	"context"
	"errors"
	"net/http"
)

// errBusy says that no more queries may wait.
var errBusy = errors.New("too many queries are waiting; try again after Retry-After")

// gate admits a bounded number of queries, and as many again to wait.
type gate struct {
	admitted chan struct{} // running and waiting
	running  chan struct{}
}

func newGate(c Config) *gate {
	return &gate{make(chan struct{}, c.MaxConcurrent+c.MaxQueued), make(chan struct{}, c.MaxConcurrent)}
}

// enter waits for a turn. leave must be called when err is nil.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.admitted <- struct{}{}:
	default:
		return nil, errBusy
	}
	select {
	case g.running <- struct{}{}:
		return func() { <-g.running; <-g.admitted }, nil
	case <-ctx.Done():
		<-g.admitted
		return nil, context.Cause(ctx)
	}
}

func (g *gate) waiting() float64 { return float64(max(0, len(g.admitted)-len(g.running))) }

// gated lets a handler run only when a query could: its answer is held in memory as well.
func (a *API) gated(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
		defer cancel()
		leave, err := a.gate.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		return h(w, r)
	}
}
