package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Auditor adds up conservation (A1) from the stored facts: nothing is remembered between
// runs but what the last one came to, for people to read.
type Auditor struct {
	audit   func(context.Context) (*Audit, error)
	log     *slog.Logger
	now     func() time.Time
	last    atomic.Pointer[AuditRun]
	residue *prometheus.GaugeVec
	ran     prometheus.Gauge
}

// AuditRun is an audit and when it was.
type AuditRun struct {
	At time.Time `json:"at"`
	Audit
}

// NewAuditor returns an auditor. audit reads the facts anew and adds them up.
func NewAuditor(audit func(context.Context) (*Audit, error), o Options) *Auditor {
	a := &Auditor{audit: audit, log: o.Logger, now: o.Now,
		residue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_audit_residue_events",
			Help: "Events that went in at a tier and did not come out of it at the last audit; anything but 0 is an alarm."}, []string{"tier"}),
		ran: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_last_run_seconds", Help: "Unix time of the last audit."}),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.residue, a.ran)
	}
	return a
}

// Job returns the job. A residue fails its run, so that the ledger has it too.
func (a *Auditor) Job(schedule string) Job {
	return Job{Name: "audit", Schedule: schedule, Run: a.run}
}

func (a *Auditor) run(ctx context.Context) (Report, error) {
	audit, err := a.audit(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	a.note(&AuditRun{At: a.now().UTC(), Audit: *audit})
	if audit.Residue != 0 {
		a.log.Error("conservation does not hold: events went in at a tier and did not come out; run recount verify",
			"residue", audit.Residue, "lost", audit.lost(), "landing", audit.landing(), "publication", audit.publication())
		return Report{}, fmt.Errorf("the residue is %d events: GET /v1/audit says where, recount verify --server what is at fault", audit.Residue)
	}
	return Report{Message: fmt.Sprintf("%d events of %d partitions, residue 0", audit.logged(), len(audit.Partitions))}, nil
}

func (a *Auditor) note(r *AuditRun) {
	a.last.Store(r)
	a.ran.Set(float64(r.At.UnixMicro()) / 1e6)
	for tier, n := range map[string]int64{"log": r.lost(), "landed": r.landing(), "published": r.publication()} {
		a.residue.WithLabelValues(tier).Set(float64(n))
	}
}

// Handler serves GET /v1/audit: what the newest run came to.
func (a *Auditor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/audit", func(w http.ResponseWriter, _ *http.Request) {
		r := a.last.Load()
		if r == nil {
			problem(w, http.StatusNotFound, "no_audit", "no audit has run since the server started; POST /v1/jobs/audit/runs runs one")
			return
		}
		writeJSON(w, http.StatusOK, "application/json", r)
	})
	mux.HandleFunc("/v1/audit", only(http.MethodGet))
	return mux
}

// The residue by the tier that lacks the events.

func (a *Audit) lost() (n int64) {
	for _, p := range a.Partitions {
		n += p.Lost
	}
	return n
}

func (a *Audit) landing() (n int64) {
	for _, p := range a.Partitions {
		for _, r := range p.Ranges {
			n += r.Residue
		}
	}
	return n
}

func (a *Audit) publication() (n int64) {
	for _, p := range a.Publications {
		n += p.Residue
	}
	return n
}

func (a *Audit) logged() (n int64) {
	for _, p := range a.Partitions {
		n += p.Logged
	}
	return n
}
