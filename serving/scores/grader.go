package scores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/openapi"
	"recount/schemas/query"
	"recount/schemas/record"
)

// Publications gives the newest publication and the kept ones.
type Publications interface {
	Newest(ctx context.Context) (*record.State, error)
	// StateAt returns publication n, or query.ErrCollected if it is no longer kept.
	StateAt(ctx context.Context, n uint64) (*record.State, error)
}

// Grader grades each newest publication once, and keeps the last grade. It is safe for concurrent use.
type Grader struct {
	publications Publications
	partitions   int
	compare      func(ctx context.Context, before, now *record.State) (*openapi.Scores, error)
	logger       *slog.Logger
	last         atomic.Pointer[openapi.Scores]

	errors *prometheus.GaugeVec
	stated *prometheus.CounterVec
	missed *prometheus.CounterVec
}

// NewGrader returns a grader. compare is Config.Run, and is called with a publication and the
// publication before it. A nil logger discards log lines. A nil registerer registers nothing.
func NewGrader(p Publications, partitions int,
	compare func(ctx context.Context, before, now *record.State) (*openapi.Scores, error), logger *slog.Logger,
	reg prometheus.Registerer) *Grader {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	labels := []string{"view", "measure"}
	g := &Grader{publications: p, partitions: partitions, compare: compare, logger: logger,
		errors: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_scores_error_ratio",
			Help: "Relative error of live values against the exact value, in the newest grade."},
			append(labels, "percentile")),
		stated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_scores_bounds_total",
			Help: "Stated bounds that were compared with the exact value."}, labels),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_scores_bounds_missed_total",
			Help: "Stated bounds that did not contain the exact value."}, labels),
	}
	if reg != nil {
		reg.MustRegister(g.errors, g.stated, g.missed)
	}
	return g
}

// Last returns the newest grade. It returns nil before the first grade, and for a nil grader.
func (g *Grader) Last() *openapi.Scores {
	if g == nil {
		return nil
	}
	return g.last.Load()
}

// Grade grades the newest publication, unless it has a grade, and returns the outcome in one line.
// It is no error if the publication cannot be compared: the speed layer's data may begin after the
// previous publication's cut or lag before this one's. The next publication is compared again.
func (g *Grader) Grade(ctx context.Context) (n uint64, outcome string, err error) {
	now, err := g.publications.Newest(ctx)
	if err != nil {
		return 0, "", err
	}
	if last := g.last.Load(); now.N == 0 || last != nil && last.Publication == now.N {
		return now.N, "nothing new is published", nil
	}
	before := record.EmptyState(g.partitions)
	if now.N > 1 {
		before, err = g.publications.StateAt(ctx, now.N-1)
	}
	var grade *openapi.Scores
	if err == nil {
		grade, err = g.compare(ctx, before, now)
	}
	switch {
	case errors.Is(err, ErrStale) || errors.Is(err, query.ErrPinExpired) || errors.Is(err, query.ErrCollected):
		return now.N, fmt.Sprintf("not compared: %v", err), nil
	case err != nil:
		return now.N, "", fmt.Errorf("compare publication %d with the one before it: %w", now.N, err)
	}
	return now.N, g.record(grade), nil
}

// record keeps the grade, sets the metrics and returns the outcome in one line.
func (g *Grader) record(grade *openapi.Scores) string {
	g.last.Store(grade)
	groups := 0
	stated := 0
	held := 0
	for _, v := range grade.Views {
		groups += v.Groups
		for _, m := range v.Measures {
			g.errors.WithLabelValues(v.View, m.Measure, "50").Set(m.P50)
			g.errors.WithLabelValues(v.View, m.Measure, "99").Set(m.P99)
			g.errors.WithLabelValues(v.View, m.Measure, "100").Set(m.Max)
			g.stated.WithLabelValues(v.View, m.Measure).Add(float64(m.BoundsStated))
			g.missed.WithLabelValues(v.View, m.Measure).Add(float64(m.BoundsStated - m.BoundsHeld))
			stated += m.BoundsStated
			held += m.BoundsHeld
			if m.BoundsHeld < m.BoundsStated {
				g.logger.Warn("stated bounds did not contain the exact value", "view", v.View,
					"measure", m.Measure, "stated", m.BoundsStated, "held", m.BoundsHeld,
					"publication", grade.Publication)
			}
		}
	}
	return fmt.Sprintf("compared %d groups of %d views; %d of %d stated bounds held", groups, len(grade.Views), held,
		stated)
}
