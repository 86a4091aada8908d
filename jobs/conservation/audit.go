package conservation

import (
	"cmp"
	"slices"

	"recount/schemas/openapi"
	"time"
)

// Tier is a stage that events pass. A residue at a tier means that events of the tier before
// it are missing there.
type Tier string

// The tiers, in the order in which events pass them.
const (
	Log       Tier = "logged"
	Landed    Tier = "landed"
	Published Tier = "published"
	Counted   Tier = "counted"
)

// Tiers lists the tiers in order.
var Tiers = []Tier{Log, Landed, Published, Counted}

// maxResidues is how many residues an audit lists. Its sums include all of them.
const maxResidues = 100

// Audit is the result of checking conservation, for all tenants or for one.
type Audit struct {
	// Tenant is empty in the audit of all tenants.
	Tenant       string             `json:"tenant,omitempty"`
	Partitions   []PartitionAudit   `json:"partitions"`
	Publications []PublicationAudit `json:"publications"`
	// Residue is the sum over all places. It is 0 if conservation holds.
	Residue int64 `json:"residue"`
	// Residues are the first hundred places.
	Residues []Residue     `json:"residues"`
	Tenants  []TenantAudit `json:"tenants,omitempty"`

	tenants map[string]*Audit
	tiers   map[Tier]int64
}

// AuditRun is an audit with its time, and the last recheck.
type AuditRun struct {
	At time.Time `json:"at"`
	// Alarm is true if there is a residue, a difference, or a log that cannot be counted.
	Alarm bool `json:"alarm"`
	Audit
	Recheck *openapi.RecheckRun `json:"recheck,omitempty"`
}

// Numbers are the events of a range at each tier.
type Numbers struct {
	// Acknowledged is what this process acknowledged. It is nil where the log is trimmed and in
	// a process without ingest.
	Acknowledged *int64 `json:"acknowledged"`
	// Logged is nil where the log is trimmed.
	Logged *int64 `json:"logged"`
	// Waiting is the part of Logged that has not landed yet.
	Waiting int64 `json:"waiting"`
	// Voided is what this process acknowledged and an operator gave up with a hole. Logged lacks it.
	Voided int64 `json:"voided"`
	Landed int64 `json:"landed"`
	// Published is Counted + Duplicates + Rejected + Uncounted.
	Published  int64 `json:"published"`
	Counted    int64 `json:"counted"`
	Duplicates int64 `json:"duplicates"`
	// Conflicts is the part of Duplicates with another payload or time than the event that counts.
	Conflicts int64 `json:"conflicts"`
	// Rejected are dead letters.
	Rejected int64 `json:"rejected"`
	// Uncounted are events of types without a view, or of buckets to which none is filled yet (B8). A new view moves
	// them to Counted.
	Uncounted int64 `json:"uncounted"`
	Residue   int64 `json:"residue"`

	// missing is how many landed events the publication's ledgers lack.
	missing int64
}

// RangeAudit is the audit of a range [From, To) of a partition's offsets.
type RangeAudit struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Publication is the first kept publication that covers the range, or 0 if none does yet.
	Publication uint64 `json:"publication,omitempty"`
	Numbers
}

// PartitionAudit is the audit of a partition: its ranges, and sums over them. Logged may
// exceed Acknowledged, because an append whose answer was lost is not acknowledged.
type PartitionAudit struct {
	Partition int `json:"partition"`
	// Acknowledged is nil in a process without ingest.
	Acknowledged *int64 `json:"acknowledged"`
	// Logged is what has landed, and what is in the log after that.
	Logged int64 `json:"logged"`
	// Voided is what was acknowledged, then lost by the log and given up by a seal or a hole.
	Voided int64 `json:"voided"`
	// Lost is what was acknowledged and is neither logged nor voided.
	Lost int64 `json:"lost"`
	// Unreadable names the corrupt message, if there is one. Nothing from it on was counted.
	Unreadable string       `json:"unreadable,omitempty"`
	Ranges     []RangeAudit `json:"ranges"`
}

// PublicationAudit is everything below one publication's H, in all partitions.
type PublicationAudit struct {
	Publication uint64 `json:"publication"`
	// Landed is counted from the commit records.
	Landed int64 `json:"landed"`
	// Published is what the publication says of itself.
	Published  int64 `json:"published"`
	Counted    int64 `json:"counted"`
	Duplicates int64 `json:"duplicates"`
	// Conflicts is the part of Duplicates with another payload or time than the event that counts.
	Conflicts int64 `json:"conflicts"`
	// Rejected are dead letters.
	Rejected int64 `json:"rejected"`
	// Uncounted are events of types without a view, or of buckets to which none is filled yet.
	Uncounted int64 `json:"uncounted"`
	Residue   int64 `json:"residue"`
}

// TenantAudit is the line of one tenant in the audit of all tenants.
type TenantAudit struct {
	Tenant string `json:"tenant"`
	// Events is how many events of the tenant are logged.
	Events  int64 `json:"events"`
	Residue int64 `json:"residue"`
}

// Residue is a place where a tier has another number of events than the tier before it.
type Residue struct {
	// Tenant is empty if the tenant is unknown.
	Tenant    string `json:"tenant,omitempty"`
	Partition *int   `json:"partition,omitempty"`
	// From and To are the range [From, To) of offsets.
	From        uint64 `json:"from,omitempty"`
	To          uint64 `json:"to,omitempty"`
	Publication uint64 `json:"publication,omitempty"`
	View        string `json:"view,omitempty"`
	// Tier is the tier that differs from the one before it.
	Tier Tier `json:"tier"`
	// Events is how many events are missing at Tier. It is negative if there are too many.
	Events int64 `json:"events"`
	// Do is what the operator should do.
	Do string `json:"do"`
}

// advice says what an operator should do about a residue at a tier.
var advice = map[Tier]string{
	Log: "acknowledged events are not in the log: check its storage, let the clients of that time send again " +
		"with the same ids, and run recount verify --ack-log to see which events are missing",
	Landed: "run recount verify: V1, V2 and V10 name the damaged commit record or object; restore it from a " +
		"copy of the object store",
	Published: "run recount verify: V5, V6 and V8 name the publication or the bucket; the next event in the bucket " +
		"makes the next recompute compute it again in full",
	Counted: "run recount verify: V6 and V9 name the bucket and version whose rows were changed, added or lost in " +
		"ClickHouse; restore the rows, or declare the view again",
}

// ForTenant returns one tenant's part of the audit of all tenants.
func (a *Audit) ForTenant(tenant string) *Audit {
	if t := a.tenants[tenant]; t != nil {
		return t
	}
	return &Audit{Tenant: tenant, Partitions: []PartitionAudit{}, Publications: []PublicationAudit{},
		Residues: []Residue{}}
}

// Missing returns the residue of a tier.
func (a *Audit) Missing(tier Tier) int64 { return a.tiers[tier] }

// Logged returns how many events are logged.
func (a *Audit) Logged() (n int64) {
	for _, p := range a.Partitions {
		n += p.Logged
	}
	return n
}

// Uncounted returns the partitions whose log cannot be counted to its end.
func (a *Audit) Uncounted() (partitions []int) {
	for _, p := range a.Partitions {
		if p.Unreadable != "" {
			partitions = append(partitions, p.Partition)
		}
	}
	return partitions
}

// addResidue adds a residue to the audit and to its tenant's part.
func (a *Audit) addResidue(r Residue) {
	if r.Events == 0 {
		return
	}
	r.Do = advice[r.Tier]
	for _, audit := range []*Audit{a, a.tenants[r.Tenant]} {
		if audit == nil {
			continue
		}
		audit.Residue += abs(r.Events)
		audit.tiers[r.Tier] += abs(r.Events)
		if len(audit.Residues) < maxResidues {
			audit.Residues = append(audit.Residues, r)
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

func newAudit(tenant string) *Audit {
	return &Audit{Tenant: tenant, Partitions: []PartitionAudit{}, Publications: []PublicationAudit{},
		Residues: []Residue{}, tiers: map[Tier]int64{}}
}

// listTenants fills Tenants, the largest residue first.
func (a *Audit) listTenants() {
	for name, t := range a.tenants {
		a.Tenants = append(a.Tenants, TenantAudit{Tenant: name, Events: t.Logged(), Residue: t.Residue})
	}
	slices.SortFunc(a.Tenants, func(x, y TenantAudit) int {
		return cmp.Or(cmp.Compare(y.Residue, x.Residue), cmp.Compare(x.Tenant, y.Tenant))
	})
}

// add adds another tenant's numbers of the same range.
func (n *Numbers) add(m Numbers) {
	n.Acknowledged = addKnown(n.Acknowledged, m.Acknowledged)
	n.Logged = addKnown(n.Logged, m.Logged)
	n.Waiting += m.Waiting
	n.Voided += m.Voided
	n.Landed += m.Landed
	n.Published += m.Published
	n.Counted += m.Counted
	n.Duplicates += m.Duplicates
	n.Conflicts += m.Conflicts
	n.Rejected += m.Rejected
	n.Uncounted += m.Uncounted
	n.Residue += m.Residue
}

// addKnown returns a + b, or the one that is known.
func addKnown(a, b *int64) *int64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a + *b
	return &sum
}
