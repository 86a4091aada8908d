package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/jobs/conservation"
	"recount/schemas/access"
)

// Auditor adds up conservation (A1) from the stored facts: nothing is remembered between
// runs but what the last one came to, for people to read.
type Auditor struct {
	audit   func(context.Context) (*conservation.Audit, error)
	log     *slog.Logger
	now     func() time.Time
	last    atomic.Pointer[AuditRun]
	residue *prometheus.GaugeVec
	tenants *prometheus.GaugeVec
	unread  prometheus.Gauge
	ran     prometheus.Gauge
	recheck *Rechecker
}

// AuditRun is an audit and when it was, beside the last recheck.
type AuditRun struct {
	At    time.Time `json:"at"`
	Alarm bool      `json:"alarm"` // a residue, a difference, or a log that cannot be counted
	conservation.Audit
	Recheck *RecheckRun `json:"recheck,omitempty"`
}

// NewAuditor returns an auditor. audit reads the facts anew and adds them up. What recheck
// finds is shown beside it.
func NewAuditor(audit func(context.Context) (*conservation.Audit, error), recheck *Rechecker, o Options) *Auditor {
	o = o.filled()
	a := &Auditor{audit: audit, recheck: recheck, log: o.Logger, now: o.Now,
		residue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_audit_residue_events",
			Help: "Events that a tier lacks, or has too many of, at the last audit; anything but 0 is an alarm."},
			[]string{"tier"}),
		tenants: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_audit_tenant_residue_events",
			Help: "The same of tenants that have a residue at all, the largest first; the rest is ~others."},
			[]string{"tenant"}),
		unread: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_uncounted_partitions",
			Help: "Partitions whose log the last audit could not count to its end; anything but 0 is an alarm."}),
		ran: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_last_run_seconds",
			Help: "Unix time of the last audit."}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.residue, a.tenants, a.unread, a.ran)
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
	uncounted := audit.Uncounted()
	for _, p := range uncounted {
		a.log.Error("a partition cannot be counted", "partition", p, "unreadable", audit.Partitions[p].Unreadable)
	}
	if audit.Residue != 0 {
		for _, r := range audit.Residues {
			a.log.Error("conservation does not hold", "tier", r.Tier, "events_missing", r.Events, "tenant", r.Tenant,
				"partition", number(r.Partition),
				"from", r.From, "to", r.To, "publication", r.Publication, "view", r.View, "do", r.Do)
		}
		return Report{}, fmt.Errorf("the residue is %d events: GET /v1/audit says where, recount verify --server "+
			"what is at fault", audit.Residue)
	}
	if len(uncounted) > 0 {
		return Report{}, fmt.Errorf("the log of partitions %v cannot be counted; of the others the residue is 0: "+
			"GET /v1/audit says which message is spoilt", uncounted)
	}
	return Report{Message: fmt.Sprintf("%d events of %d partitions and %d tenants, residue 0", audit.Logged(),
		len(audit.Partitions), len(audit.Tenants))}, nil
}

func number(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

// maxTenantLabels bounds the tenants a metric tells apart.
const maxTenantLabels = 100

func (a *Auditor) note(r *AuditRun) {
	a.last.Store(r)
	a.unread.Set(float64(len(r.Uncounted())))
	a.ran.Set(float64(r.At.UnixMicro()) / 1e6)
	for _, tier := range conservation.Tiers {
		a.residue.WithLabelValues(string(tier)).Set(float64(r.Missing(tier)))
	}
	a.tenants.Reset()
	for i, t := range r.Tenants { // The largest residue comes first.
		switch {
		case t.Residue == 0:
			return
		case i < maxTenantLabels:
			a.tenants.WithLabelValues(t.Tenant).Set(float64(t.Residue))
		default:
			a.tenants.WithLabelValues("~others").Add(float64(t.Residue))
		}
	}
}

// Handler serves GET /v1/audit: what the newest run came to. Who may see the installation
// sees everybody's numbers or, with ?tenant=, one tenant's; a tenant sees its own.
func (a *Auditor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/audit", a.serve)
	mux.HandleFunc("/v1/audit", only(http.MethodGet))
	return mux
}

func (a *Auditor) serve(w http.ResponseWriter, r *http.Request) {
	who, known := access.FromContext(r.Context())
	tenant := who.Tenant
	asked := r.URL.Query()
	if who.Scopes.Has(access.Admin) {
		tenant = asked.Get("tenant")
	}
	for name := range asked {
		if name != "tenant" {
			problem(w, http.StatusBadRequest, "invalid_request",
				fmt.Sprintf("parameter %.80q: the only one is tenant", name))
			return
		}
	}
	run := a.last.Load()
	switch {
	case !known:
		problem(w, http.StatusForbidden, "forbidden", "nobody has said who is asking")
	case asked.Has("tenant") && asked.Get("tenant") != tenant:
		problem(w, http.StatusForbidden, "forbidden", "a tenant sees its own numbers; those of others need a key "+
			"with the scope admin")
	case run == nil:
		problem(w, http.StatusNotFound, "no_audit", "no audit has run since the server started; POST "+
			"/v1/jobs/audit/runs runs one")
	default:
		answer := *run
		if tenant != "" {
			answer.Audit = *run.Of(tenant)
		}
		answer.Recheck = a.recheck.of(tenant)
		answer.Alarm = answer.Residue != 0 || len(answer.Uncounted()) > 0 || answer.Recheck != nil &&
			len(answer.Recheck.Differences) > 0
		writeJSON(w, http.StatusOK, "application/json", answer)
	}
}
