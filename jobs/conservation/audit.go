package conservation

import (
	"cmp"
	"slices"
)

// Tier is where events are missing that the tier before has.
type Tier string

// The tiers, in the order events pass them.
const (
	Log       Tier = "logged"
	Landed    Tier = "landed"
	Published Tier = "published"
	Counted   Tier = "counted"
)

// Tiers lists them.
var Tiers = []Tier{Log, Landed, Published, Counted}

// maxResidues is how many places an audit names; all are in its sums.
const maxResidues = 100

// Audit is what conservation came to, of all tenants or of one.
type Audit struct {
	Tenant       string             `json:"tenant,omitempty"` // whose; absent: everybody's
	Partitions   []PartitionAudit   `json:"partitions"`
	Publications []PublicationAudit `json:"publications"`
	Residue      int64              `json:"residue"`  // of all places; 0
	Residues     []Residue          `json:"residues"` // the places, the first hundred
	Tenants      []TenantAudit      `json:"tenants,omitempty"`

	tenants map[string]*Audit
	tiers   map[Tier]int64
}

// Numbers are the events of a range at the tiers.
type Numbers struct {
	Acknowledged *int64 `json:"acknowledged"` // by this process; null where the log is trimmed or nobody counts
	Logged       *int64 `json:"logged"`       // null where the log is trimmed
	Waiting      int64  `json:"waiting"`      // of the logged ones, not landed yet
	Voided       int64  `json:"voided"`       // in a hole, as far as the log still has them
	Landed       int64  `json:"landed"`
	Published    int64  `json:"published"`
	Counted      int64  `json:"counted"`    // of the published ones
	Duplicates   int64  `json:"duplicates"` // of the published ones
	Rejected     int64  `json:"rejected"`   // of the published ones, dead letters
	// of the published ones, of types without a view; a new view takes them out again
	Uncounted int64 `json:"uncounted"`
	Residue   int64 `json:"residue"`

	missing int64 // of the landed ones in the publication's ledgers
}

// RangeAudit is a range of a partition's offsets [From, To).
type RangeAudit struct {
	From        uint64 `json:"from"`
	To          uint64 `json:"to"`
	Publication uint64 `json:"publication,omitempty"` // the first kept one that covers the range; none yet
	Numbers
}

// PartitionAudit is what can be said of a partition as a whole, and its ranges. More events
// may be logged than acknowledged: those of an append whose answer was lost.
type PartitionAudit struct {
	Partition    int    `json:"partition"`
	Acknowledged *int64 `json:"acknowledged"` // null where nobody counts
	Logged       int64  `json:"logged"`       // landed, or in the log behind what has landed
	Voided       int64  `json:"voided"`       // acknowledged, then lost by the log and given up by a seal
	Lost         int64  `json:"lost"`         // acknowledged and neither logged nor voided
	// the message that is stored spoilt: nothing from it on was counted
	Unreadable string       `json:"unreadable,omitempty"`
	Ranges     []RangeAudit `json:"ranges"`
}

// PublicationAudit is everything below one publication's H, in all partitions.
type PublicationAudit struct {
	Publication uint64 `json:"publication"`
	Landed      int64  `json:"landed"`    // by the commit records
	Published   int64  `json:"published"` // by the publication
	Counted     int64  `json:"counted"`
	Duplicates  int64  `json:"duplicates"`
	Rejected    int64  `json:"rejected"`  // dead letters
	Uncounted   int64  `json:"uncounted"` // of types without a view
	Residue     int64  `json:"residue"`
}

// TenantAudit is one line of the audit of everybody.
type TenantAudit struct {
	Tenant  string `json:"tenant"`
	Events  int64  `json:"events"` // logged
	Residue int64  `json:"residue"`
}

// Residue is a place at which a tier has another number of events than the tier before it.
type Residue struct {
	Tenant      string `json:"tenant,omitempty"` // absent: nobody can tell
	Partition   *int   `json:"partition,omitempty"`
	From        uint64 `json:"from,omitempty"` // [From, To)
	To          uint64 `json:"to,omitempty"`
	Publication uint64 `json:"publication,omitempty"`
	View        string `json:"view,omitempty"`
	Tier        Tier   `json:"tier"`   // that has not what the one before it has
	Events      int64  `json:"events"` // missing there; too many if negative
	Do          string `json:"do"`
}

// todo says what a residue at a tier means for who runs the system.
var todo = map[Tier]string{
	Log: "acknowledged events are not in the log: look at its storage, and have the clients of that time send again " +
		"with the same ids; " +
		"recount verify --ack-log says which events",
	Landed: "run recount verify: V1, V2 and V10 name the commit record or the object that is at fault; restore " +
		"it from a copy of the object store",
	Published: "run recount verify: V5, V6 and V8 name the publication or the bucket; the next event in the bucket " +
		"computes it again in full",
	Counted: "run recount verify: V6 and V9 name the bucket and version whose rows were changed, added or lost in " +
		"ClickHouse; restore them, or declare the view anew",
}

// Of returns a tenant's own part of the audit of everybody.
func (a *Audit) Of(tenant string) *Audit {
	if t := a.tenants[tenant]; t != nil {
		return t
	}
	return &Audit{Tenant: tenant, Partitions: []PartitionAudit{}, Publications: []PublicationAudit{},
		Residues: []Residue{}}
}

// Missing is the residue of a tier.
func (a *Audit) Missing(tier Tier) int64 { return a.tiers[tier] }

// Logged is how many events there are.
func (a *Audit) Logged() (n int64) {
	for _, p := range a.Partitions {
		n += p.Logged
	}
	return n
}

// Uncounted are the partitions whose log cannot be counted to its end.
func (a *Audit) Uncounted() (partitions []int) {
	for _, p := range a.Partitions {
		if p.Unreadable != "" {
			partitions = append(partitions, p.Partition)
		}
	}
	return partitions
}

// find notes a residue, in the whole and in the tenant's part.
func (a *Audit) find(r Residue) {
	if r.Events == 0 {
		return
	}
	r.Do = todo[r.Tier]
	for _, of := range []*Audit{a, a.tenants[r.Tenant]} {
		if of == nil {
			continue
		}
		of.Residue += abs(r.Events)
		of.tiers[r.Tier] += abs(r.Events)
		if len(of.Residues) < maxResidues {
			of.Residues = append(of.Residues, r)
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }

func newAudit(tenant string) *Audit {
	return &Audit{Tenant: tenant, Partitions: []PartitionAudit{}, Publications: []PublicationAudit{},
		Residues: []Residue{}, tiers: map[Tier]int64{}}
}

// finish makes the lines of single tenants.
func (a *Audit) finish() {
	for name, t := range a.tenants {
		a.Tenants = append(a.Tenants, TenantAudit{Tenant: name, Events: t.Logged(), Residue: t.Residue})
	}
	slices.SortFunc(a.Tenants, func(x, y TenantAudit) int {
		return cmp.Or(cmp.Compare(y.Residue, x.Residue), cmp.Compare(x.Tenant, y.Tenant))
	})
}

// plus adds the numbers of another tenant's same range.
func (n *Numbers) plus(m Numbers) {
	n.Acknowledged = add(n.Acknowledged, m.Acknowledged)
	n.Logged = add(n.Logged, m.Logged)
	n.Waiting = n.Waiting + m.Waiting
	n.Voided = n.Voided + m.Voided
	n.Landed = n.Landed + m.Landed
	n.Published = n.Published + m.Published
	n.Counted = n.Counted + m.Counted
	n.Duplicates = n.Duplicates + m.Duplicates
	n.Rejected = n.Rejected + m.Rejected
	n.Uncounted = n.Uncounted + m.Uncounted
	n.Residue = n.Residue + m.Residue
}

func add(a, b *int64) *int64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a + *b
	return &sum
}
