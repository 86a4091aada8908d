package openapi

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckName is a check's number in the protocol, V1 to V13.
type CheckName string

// Place says where a finding is. Members that do not apply are left out.
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

// AtOffsets adds the range [from, to) of offsets to a place.
func (p Place) AtOffsets(epoch uint32, from, to uint64) Place {
	p.Epoch = epoch
	p.From = from
	p.To = to
	return p
}

// InFile adds a key to a place.
func (p Place) InFile(key string) Place {
	p.File = key
	return p
}

// InBucket adds a bucket's start to a place.
func (p Place) InBucket(micros int64) Place {
	t := time.UnixMicro(micros).UTC()
	p.Bucket = &t
	return p
}

// String names what applies, from the partition to the file.
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
	Check CheckName `json:"check"`
	What  string    `json:"what"`
	Where Place     `json:"where"`
	Do    string    `json:"do"`
}

// Check is what became of one check.
type Check struct {
	Name     CheckName `json:"name"`
	Title    string    `json:"title"`
	Examined int64     `json:"examined"` // things looked at
	Unit     string    `json:"unit,omitempty"`
	Findings int64     `json:"findings"`          // all of them, also those beyond the first hundred
	Skipped  string    `json:"skipped,omitempty"` // why there was nothing to check
	Failed   string    `json:"failed,omitempty"`  // why it could not be checked, or not to its end
}

// VerifyReport is what a verification came to.
type VerifyReport struct {
	Checks   []Check   `json:"checks"`
	Findings []Finding `json:"findings"`
	Notes    []string  `json:"notes,omitempty"` // what is worth knowing and no fault
}

// Clean reports whether every check that had something to check found nothing.
func (r VerifyReport) Clean() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Findings > 0 || c.Failed != "" })
}

// Check returns the outcome of a check.
func (r VerifyReport) Check(name CheckName) Check {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{Name: name, Failed: "the report does not have it"}
	}
	return r.Checks[i]
}

// VerifyProgress is how far a run is.
type VerifyProgress struct {
	Step  string `json:"step"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// VerifyLine is a line of a running server's answer: progress, or in the end the report or an error.
type VerifyLine struct {
	Progress *VerifyProgress `json:"progress,omitempty"`
	Report   *VerifyReport   `json:"report,omitempty"`
	Error    string          `json:"error,omitempty"`
}
