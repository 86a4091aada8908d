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
	"recount/schemas/problem"
)

// Auditor checks conservation (A1) from the stored facts. Between runs it remembers only the last
// result, which it serves over HTTP.
type Auditor struct {
	audit   func(context.Context) (*conservation.Audit, error)
	logger  *slog.Logger
	now     func() time.Time
	last    atomic.Pointer[conservation.AuditRun]
	residue *prometheus.GaugeVec
	tenants *prometheus.GaugeVec
	unread  prometheus.Gauge
	voided  prometheus.Gauge
	ran     prometheus.Gauge
	recheck *Rechecker
}

// NewAuditor returns an auditor. audit reads the facts again for each run and compares them. The
// last result of recheck is served with the audit.
func NewAuditor(audit func(context.Context) (*conservation.Audit, error), recheck *Rechecker, o Options) *Auditor {
	o = o.withDefaults()
	a := &Auditor{audit: audit, recheck: recheck, logger: o.Logger, now: o.Now,
		residue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_audit_residue_events",
			Help: "Events missing at a tier, or too many, at the last audit. Any value but 0 is an alarm."},
			[]string{"tier"}),
		tenants: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "recount_audit_tenant_residue_events",
			Help: "Residue of the last audit by tenant: the hundred tenants with the largest residue. " +
				"The label ~others has the sum of the rest. Tenants without residue have no series."},
			[]string{"tenant"}),
		unread: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_uncounted_partitions",
			Help: "Partitions whose log the last audit could not count to its end. Any value but 0 is an alarm."}),
		voided: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_voided_events",
			Help: "Acknowledged events that the log lost and a seal or a hole gave up, at the last audit."}),
		ran: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_audit_last_run_timestamp_seconds",
			Help: "Unix time of the last audit."}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.residue, a.tenants, a.unread, a.voided, a.ran)
	}
	return a
}

// Job returns the job. A residue makes the run fail, so that the ledger shows it.
func (a *Auditor) Job(schedule string) Job {
	return Job{Name: "audit", Schedule: schedule, Run: a.run}
}

func (a *Auditor) run(ctx context.Context) (Report, error) {
	audit, err := a.audit(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	a.record(&conservation.AuditRun{At: a.now().UTC(), Audit: *audit})
	uncounted := audit.Uncounted()
	for _, p := range uncounted {
		a.logger.Error("the log of a partition cannot be counted", "partition", p,
			"unreadable", audit.Partitions[p].Unreadable)
	}
	if audit.Residue != 0 {
		for _, r := range audit.Residues {
			a.logger.Error("conservation does not hold", "tier", r.Tier, "events_missing", r.Events,
				"tenant", r.Tenant, "partition", partitionNumber(r.Partition), "from", r.From, "to", r.To,
				"publication", r.Publication, "view", r.View, "do", r.Do)
		}
		return Report{}, fmt.Errorf("the residue is %s: GET /v1/audit says where, and recount verify --server "+
			"says which record, object or row is damaged", count(audit.Residue, "event"))
	}
	if len(uncounted) > 0 {
		return Report{}, fmt.Errorf("the log of partitions %v cannot be counted; of the others the residue is 0: "+
			"GET /v1/audit says which message is corrupt", uncounted)
	}
	return Report{Message: fmt.Sprintf("%s of %s and %s, residue 0", count(audit.Logged(), "event"),
		count(len(audit.Partitions), "partition"), count(len(audit.Tenants), "tenant"))}, nil
}

// partitionNumber returns -1 for an unknown partition.
func partitionNumber(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

// maxTenantLabels bounds how many tenants have a series of their own.
const maxTenantLabels = 100

// record keeps the run for the handler and sets the metrics.
func (a *Auditor) record(r *conservation.AuditRun) {
	a.last.Store(r)
	a.unread.Set(float64(len(r.Uncounted())))
	voided := int64(0)
	for _, p := range r.Partitions {
		voided += p.Voided
	}
	a.voided.Set(float64(voided))
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

// Handler serves GET /v1/audit, the result of the newest run. A key with the scope admin sees all
// tenants or, with ?tenant=, one of them. Any other key sees its own tenant.
func (a *Auditor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/audit", a.serve)
	mux.HandleFunc("/v1/audit", refuseAllBut(http.MethodGet))
	return mux
}

func (a *Auditor) serve(w http.ResponseWriter, r *http.Request) {
	principal, known := access.FromContext(r.Context())
	tenant := principal.Tenant
	params := r.URL.Query()
	if principal.Scopes.Has(access.Admin) {
		tenant = params.Get("tenant")
	}
	for name := range params {
		if name != "tenant" {
			problem.Write(w, problem.New(http.StatusBadRequest, problem.InvalidRequest,
				fmt.Sprintf("parameter %.80q is unknown; the only parameter is tenant", name)))
			return
		}
	}
	run := a.last.Load()
	switch {
	case !known:
		problem.Write(w, problem.New(http.StatusForbidden, problem.Forbidden, "the request carries no identity"))
	case params.Has("tenant") && params.Get("tenant") != tenant:
		problem.Write(w, problem.New(http.StatusForbidden, problem.Forbidden,
			"this key sees the audit of its own tenant only; other tenants need a key with the scope admin"))
	case run == nil:
		problem.Write(w, problem.New(http.StatusNotFound, problem.NoAudit,
			"no audit has run since the server started; POST /v1/jobs/audit/runs starts one"))
	default:
		answer := *run
		if tenant != "" {
			answer.Audit = *run.ForTenant(tenant)
		}
		answer.Recheck = a.recheck.lastRun(tenant)
		answer.Alarm = answer.Residue != 0 || len(answer.Uncounted()) > 0 || answer.Recheck != nil &&
			len(answer.Recheck.Differences) > 0
		writeJSON(w, http.StatusOK, answer)
	}
}
