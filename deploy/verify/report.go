package verify

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Name is a check's number in the protocol.
type Name string

// The checks, in the order of a report.
const (
	V1  Name = "V1"
	V2  Name = "V2"
	V3  Name = "V3"
	V4  Name = "V4"
	V5  Name = "V5"
	V6  Name = "V6"
	V7  Name = "V7"
	V8  Name = "V8"
	V9  Name = "V9"
	V10 Name = "V10"
)

// titles say what each check means when it finds nothing.
var titles = map[Name]string{
	V1:  "commit chains are contiguous and their hash chains whole",
	V2:  "every object is present, with the digest and counts of its record",
	V3:  "every acknowledged event is landed or in the log, and counts once",
	V4:  "nothing counts that was not acknowledged or of unknown outcome",
	V5:  "publications are monotone, each H on a boundary of its chain",
	V6:  "rows of each kept publication are those of a recomputation",
	V7:  "every recorded answer is that of the events before its S",
	V8:  "accepted = counted + duplicates + rejected + voided: the residue is 0",
	V9:  "nothing that is referenced was collected or trimmed",
	V10: "no two values at one position",
}

// Title says what a check means when it finds nothing.
func Title(n Name) string { return titles[n] }

// Names lists the checks in order.
var Names = []Name{V1, V2, V3, V4, V5, V6, V7, V8, V9, V10}

// MaxFindings bounds the findings a report holds of one check; the rest is counted.
const MaxFindings = 100

// Place says where a finding is. What does not apply is left out.
type Place struct {
	Partition   *int       `json:"partition,omitempty"`
	Epoch       uint32     `json:"epoch,omitempty"`
	From        uint64     `json:"from,omitempty"` // offsets [From, To)
	To          uint64     `json:"to,omitempty"`
	File        string     `json:"file,omitempty"` // key of an object or a record
	Publication uint64     `json:"publication,omitempty"`
	Type        string     `json:"type,omitempty"`
	Tenant      string     `json:"tenant,omitempty"`
	View        string     `json:"view,omitempty"`
	Bucket      *time.Time `json:"bucket,omitempty"`
	Version     uint64     `json:"version,omitempty"`
	ID          string     `json:"id,omitempty"`   // of an event, or first..last of several
	Line        int        `json:"line,omitempty"` // of the acknowledgement log
}

// in is the place of a partition.
func in(p int) Place { return Place{Partition: &p} }

// at adds a range of offsets to a place.
func (p Place) at(epoch uint32, from, to uint64) Place {
	p.Epoch = epoch
	p.From = from
	p.To = to
	return p
}

// file adds a key to a place.
func (p Place) file(key string) Place {
	p.File = key
	return p
}

// bucket adds a bucket's start to a place.
func (p Place) bucket(micros int64) Place {
	t := time.UnixMicro(micros).UTC()
	p.Bucket = &t
	return p
}

func (p Place) String() string {
	var parts []string
	add := func(set bool, format string, args ...any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	if p.Partition != nil {
		add(true, "partition %d", *p.Partition)
	}
	add(p.Epoch > 0, "epoch %d", p.Epoch)
	add(p.To > p.From, "offsets [%d, %d)", p.From, p.To)
	add(p.To <= p.From && p.From > 0, "offset %d", p.From)
	add(p.Publication > 0, "publication %d", p.Publication)
	add(p.Type != "", "type %s", p.Type)
	add(p.View != "", "view %s", p.View)
	add(p.Tenant != "", "tenant %s", p.Tenant)
	if p.Bucket != nil {
		add(true, "bucket %s", p.Bucket.Format(time.RFC3339))
	}
	add(p.Version > 0, "version %d", p.Version)
	add(p.ID != "", "event %s", p.ID)
	add(p.Line > 0, "line %d of the acknowledgement log", p.Line)
	add(p.File != "", "%s", p.File)
	return strings.Join(parts, ", ")
}

// Finding is one thing that is not as the protocol promises.
type Finding struct {
	Check Name   `json:"check"`
	What  string `json:"what"`
	Where Place  `json:"where"`
	Do    string `json:"do"`
}

// Check is what became of one check.
type Check struct {
	Name     Name   `json:"name"`
	Title    string `json:"title"`
	Examined int64  `json:"examined"` // things looked at
	Unit     string `json:"unit,omitempty"`
	Findings int64  `json:"findings"`          // all of them, also those beyond MaxFindings
	Skipped  string `json:"skipped,omitempty"` // why there was nothing to check
	Failed   string `json:"failed,omitempty"`  // why it could not be checked, or not to its end
}

// Report is what a verification came to.
type Report struct {
	Checks   []Check   `json:"checks"`
	Findings []Finding `json:"findings"`
	Notes    []string  `json:"notes,omitempty"` // what is worth knowing and no fault
}

// Clean reports whether every check that had something to check found nothing.
func (r Report) Clean() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Findings > 0 || c.Failed != "" })
}

// Of returns the outcome of a check.
func (r Report) Of(name Name) Check {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{Name: name, Failed: "the report does not have it"}
	}
	return r.Checks[i]
}

// recorder gathers a report. It is safe for concurrent use.
type recorder struct {
	mu     sync.Mutex
	report Report
	tell   func(Progress)
}

func newRecorder(tell func(Progress)) *recorder {
	r := &recorder{tell: tell}
	if r.tell == nil {
		r.tell = func(Progress) {}
	}
	for _, n := range Names {
		r.report.Checks = append(r.report.Checks, Check{Name: n, Title: titles[n]})
	}
	r.report.Findings = []Finding{}
	return r
}

func (r *recorder) check(name Name) *Check { return &r.report.Checks[slices.Index(Names, name)] }

// find records a finding.
func (r *recorder) find(name Name, where Place, do, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.check(name)
	if c.Findings++; c.Findings <= MaxFindings {
		r.report.Findings = append(r.report.Findings,
			Finding{Check: name, What: fmt.Sprintf(format, args...), Where: where, Do: do})
	}
}

// examine counts what a check has looked at.
func (r *recorder) examine(name Name, n int64, unit string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.check(name)
	c.Examined = c.Examined + n
	c.Unit = unit
}

// skip says why a check has nothing to look at.
func (r *recorder) skip(name Name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check(name).Skipped = fmt.Sprintf(format, args...)
}

// fail says why a check could not look at everything. The first reasons are kept. One that was
// skipped has nothing to look at.
func (r *recorder) fail(name Name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.check(name)
	reason := fmt.Sprintf(format, args...)
	switch n := strings.Count(c.Failed, "; "); {
	case c.Skipped != "" || strings.Contains(c.Failed, reason):
	case c.Failed == "":
		c.Failed = reason
	case n < 4:
		c.Failed += "; " + reason
	case n == 4:
		c.Failed += "; and more"
	}
}

// note records what is no fault.
func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Notes) < MaxFindings {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
	}
}

// Progress is how far a run is.
type Progress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Line is a line of a running server's answer: progress, or in the end the report or an error.
type Line struct {
	Progress *Progress `json:"progress,omitempty"`
	Report   *Report   `json:"report,omitempty"`
	Error    string    `json:"error,omitempty"`
}

func (r *recorder) progress(step string, done, total int64) {
	r.tell(Progress{Step: step, Done: done, Total: total})
}
