package verify

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"recount/schemas/openapi"
)

// The types of a report are in package openapi, because clients of a running server read it too.
type (
	// Name is a check's number in the protocol.
	Name = openapi.CheckName
	// Place says where a finding is.
	Place = openapi.Place
	// Finding is one broken promise of the protocol.
	Finding = openapi.Finding
	// Check is the outcome of one check.
	Check = openapi.Check
	// Report is the outcome of a verification.
	Report = openapi.VerifyReport
	// Progress is how far a run is.
	Progress = openapi.VerifyProgress
	// Line is one line of a running server's answer.
	Line = openapi.VerifyLine
)

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
	V11 Name = "V11"
	V12 Name = "V12"
	V13 Name = "V13"
)

// titles say what is true when a check finds nothing.
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
	V11: "log, lake and ClickHouse belong to one installation",
	V12: "a start would refuse nothing, and give nothing up",
	V13: "the generations of the catalog are a whole chain",
}

// Title says what is true when a check finds nothing.
func Title(n Name) string { return titles[n] }

// Names lists the checks in order.
var Names = []Name{V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13}

// MaxFindings bounds the findings of one check in a report. Further findings are only counted.
const MaxFindings = 100

// placeOf returns the place of a partition.
func placeOf(p int) Place { return Place{Partition: &p} }

// recorder collects a report. It is safe for concurrent use.
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

// examine adds to the number of things that a check has examined.
func (r *recorder) examine(name Name, n int64, unit string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.check(name)
	c.Examined = c.Examined + n
	c.Unit = unit
}

// skip records why a check has nothing to examine.
func (r *recorder) skip(name Name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check(name).Skipped = fmt.Sprintf(format, args...)
}

// fail records why a check could not examine everything. It keeps the first five reasons, and none for
// a check that is skipped.
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

// addNote records a remark that is not a finding.
func (r *recorder) addNote(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Notes) < MaxFindings {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
	}
}

func (r *recorder) progress(step string, done, total int64) {
	r.tell(Progress{Step: step, Done: done, Total: total})
}
