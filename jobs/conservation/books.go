// Package conservation checks rule A1: accepted = counted + duplicates + rejected + voided, for
// every tenant, partition and range of offsets, at four tiers.
//
// Each tier's number has a source of its own. A number that is derived from another tier's
// number could never show a residue. The sources are:
//
//	acknowledged  the events that ingest acknowledged, counted where it answers
//	logged        the tenants of the events in the log's messages, read again for each audit
//	landed        the commit records; landing counts what it writes
//	published     the ledgers of publications; batch counts the rows that it reads
//
// After these, the audit asks ClickHouse how many events its rows count.
package conservation

import (
	"context"
	"errors"
	"fmt"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Books are the stored facts that conservation is computed from.
type Books struct {
	Catalog    *catalog.Catalog
	Partitions []Partition
	// States are the kept publications, ascending.
	States []*record.State
	// Counted is how many events the rows of the newest publication count, by view and
	// tenant. A view with a filter counts fewer events than there are, so it is left out.
	Counted map[string]map[string]int64
}

// Partition is the facts about one partition.
type Partition struct {
	// Landed holds the segments with events, in order.
	Landed []*record.Commit
	// Holes holds the ranges that an operator gave up (C7).
	Holes []*record.Commit
	Head  position.Offset
	// First and Next are the log's bounds. They are equal where the log is empty or cannot be read.
	First, Next uint64
	// Messages calls each with the tenants of every message in [from, to), a range that the log
	// has. A message that is corrupt or missing ends it with an *UnreadableError.
	Messages func(ctx context.Context, from, to uint64, each func(seq uint64, tenants map[string]int64)) error
	// Acknowledged is what ingest has acknowledged. It is nil in a process without ingest.
	Acknowledged *Acknowledged
	// Voided is how many acknowledged events were given up before this process began, because the log had
	// lost them: by a seal (L5) or by a hole (C7).
	Voided int64
}

// UnreadableError says that messages of the log are missing or not as they were written. Their events and
// the tenants are unknown.
type UnreadableError struct {
	Seq uint64 // the first message that cannot be read
	End uint64 // the next message, or the log's end
	Err error
}

// Unreadable returns the *UnreadableError of a message that the log should have. err is the error of
// reading or decoding it. Any other error than a gap is about the message alone.
func Unreadable(seq uint64, err error) *UnreadableError {
	e := &UnreadableError{Seq: seq, End: seq + 1, Err: err}
	var gap position.GapError
	if errors.As(err, &gap) && gap.Got > gap.Want {
		e.Seq = gap.Want
		e.End = gap.Got
	}
	return e
}

func (e *UnreadableError) Error() string {
	if e.End > e.Seq+1 {
		return fmt.Sprintf("messages [%d, %d): %v", e.Seq, e.End, e.Err)
	}
	return fmt.Sprintf("message %d: %v", e.Seq, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Acknowledged is what ingest has acknowledged in one partition.
type Acknowledged struct {
	// Total is the number of events. It survives restarts of the process, without their tenants.
	Total int64
	// Tenants is the number of events by tenant: those in the log when the process began, and
	// those acknowledged since.
	Tenants map[string]int64
	// Recent holds the promises of this process, as far back as it remembers them.
	Recent []Promise
	// GivenUp holds the promises of this process that are in a hole (C7).
	GivenUp []Promise
}

// Promise says that some events of a tenant are in a message.
type Promise struct {
	Seq    uint64
	Tenant string
	Events int64
}

// tenantsOf returns the rows of an object by tenant. Old records count tenants for the whole
// segment only, so the tenant of their objects is known only where the segment has one tenant.
func tenantsOf(c *record.Commit, o *record.Object) map[string]int64 {
	if o.Tenants != nil {
		return o.Tenants
	}
	for tenant := range c.Tenants {
		if len(c.Tenants) == 1 {
			return map[string]int64{tenant: o.Rows}
		}
	}
	return map[string]int64{"": o.Rows}
}
