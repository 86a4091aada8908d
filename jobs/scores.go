package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/query"
	"recount/schemas/record"
	"recount/serving/scores"
)

// GradedPublications are the publications a grader is given: the newest and the kept ones.
type GradedPublications interface {
	State() *record.State
	At(ctx context.Context, n uint64) (*record.State, error)
}

// Grader grades the speed layer after every publication (A2).
type Grader struct {
	publications GradedPublications
	partitions   int
	grade        func(ctx context.Context, before, now *record.State) (*scores.Grade, error)
	log          *slog.Logger
	last         atomic.Pointer[scores.Grade]

	worst  *prometheus.GaugeVec
	stated *prometheus.CounterVec
	missed *prometheus.CounterVec
}

// NewGrader returns a grader. grade compares two publications that follow each other.
func NewGrader(p GradedPublications, partitions int, grade func(ctx context.Context, before, now *record.State) (*scores.Grade, error), o Options) *Grader {
	o = o.filled()
	labels := []string{"view", "measure"}
	g := &Grader{publications: p, partitions: partitions, grade: grade, log: o.Logger,
		worst: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_scores_error_ratio",
			Help: "How far the speed layer was off, relative to the exact value, in the newest grade."}, append(labels, "quantile")),
		stated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_scores_bounds_total", Help: "Stated bounds that were compared with the exact value."}, labels),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "recount_scores_bounds_missed_total", Help: "Of those, bounds the exact value lay outside of."}, labels),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(g.worst, g.stated, g.missed)
	}
	return g
}

// Job returns the job. A publication is graded once; one that cannot be compared, because
// the speed layer began behind it or is behind it, is no failure: the next one is.
func (g *Grader) Job(schedule string) Job {
	return Job{Name: "score", Schedule: schedule, Run: g.run}
}

func (g *Grader) run(ctx context.Context) (Report, error) {
	now := g.publications.State()
	if last := g.last.Load(); now.N == 0 || last != nil && last.Publication == now.N {
		return Report{Publication: now.N, Message: "nothing new is published"}, nil
	}
	before := record.EmptyState(g.partitions)
	var err error
	if now.N > 1 {
		if before, err = g.publications.At(ctx, now.N-1); errors.Is(err, query.ErrCollected) {
			return Report{Publication: now.N, Message: "not compared: the publication before it is not kept"}, nil
		}
		if err != nil {
			return Report{}, err
		}
	}
	grade, err := g.grade(ctx, before, now)
	switch {
	case errors.Is(err, scores.ErrStale) || errors.Is(err, query.ErrPinExpired) || errors.Is(err, query.ErrCollected):
		return Report{Publication: now.N, Message: fmt.Sprintf("not compared: %v", err)}, nil
	case err != nil:
		return Report{}, err
	}
	return g.note(grade), nil
}

// note keeps the grade and says what it came to.
func (g *Grader) note(grade *scores.Grade) Report {
	g.last.Store(grade)
	groups, stated, held := 0, 0, 0
	for _, v := range grade.Views {
		groups += v.Groups
		for _, m := range v.Measures {
			g.worst.WithLabelValues(v.View, m.Measure, "0.5").Set(m.P50)
			g.worst.WithLabelValues(v.View, m.Measure, "0.99").Set(m.P99)
			g.worst.WithLabelValues(v.View, m.Measure, "1").Set(m.Max)
			g.stated.WithLabelValues(v.View, m.Measure).Add(float64(m.BoundsStated))
			g.missed.WithLabelValues(v.View, m.Measure).Add(float64(m.BoundsStated - m.BoundsHeld))
			stated, held = stated+m.BoundsStated, held+m.BoundsHeld
			if m.BoundsHeld < m.BoundsStated {
				g.log.Warn("stated bounds did not hold", "view", v.View, "measure", m.Measure, "stated", m.BoundsStated, "held", m.BoundsHeld, "publication", grade.Publication)
			}
		}
	}
	return Report{Publication: grade.Publication, Message: fmt.Sprintf("%d groups of %d views compared, %d of %d stated bounds held", groups, len(grade.Views), held, stated)}
}

// Handler serves GET /v1/scores: the newest grade. It is for who runs the installation,
// because the grade is of the largest tenants together.
func (g *Grader) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/scores", only(http.MethodGet))
	mux.HandleFunc("GET /v1/scores", func(w http.ResponseWriter, _ *http.Request) {
		grade := g.last.Load()
		if grade == nil {
			problem(w, http.StatusNotFound, "no_scores", "nothing was compared since the server started; POST /v1/jobs/score/runs compares the newest publication")
			return
		}
		writeJSON(w, http.StatusOK, "application/json", grade)
	})
	return mux
}
