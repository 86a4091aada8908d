// Package conservation adds up A1: accepted = counted + duplicates + rejected + voided, for
// every tenant, partition and range of offsets, at four tiers.
//
// Each tier's number has a source of its own, because a number that is made from another
// tier's can show no residue:
//
//	acknowledged  what ingest answered for, counted where it answers
//	logged        the tenants of the events in the log's messages, read anew
//	landed        the commit records, counted by landing from what it wrote
//	published     the ledgers of publications, counted by batch from the rows it read
//
// and behind them the rows in ClickHouse, which are asked how many events they count.
package conservation

import (
	"context"
	"fmt"

	"recount/schemas/catalog"
	"recount/schemas/position"
	"recount/schemas/record"
)

// Books are the stored facts that conservation is computed from.
type Books struct {
	Catalog    *catalog.Catalog
	Partitions []Partition
	States     []*record.State // kept publications, ascending
	// Counted is how many events the rows of the newest publication count, by view and
	// tenant. Views with a filter count fewer than there are, so they are not in it.
	Counted map[string]map[string]int64
}

// Partition are the facts about one partition.
type Partition struct {
	Landed []*record.Commit // segments with events, in order
	Holes  []*record.Commit // given up by an operator (C7)
	Head   position.Offset
	// First and Next are the log's bounds; equal where it has nothing or cannot be read.
	First, Next uint64
	// Messages calls each with the tenants of every message of [from, to), which the log has. One
	// that is stored spoilt ends it with an *UnreadableError.
	Messages func(ctx context.Context, from, to uint64, each func(seq uint64, tenants map[string]int64)) error
	// Acknowledged is what has been promised. Voided is how many of those events a seal has
	// given up because the log had lost them (L5). Nil where nobody counts.
	Acknowledged *Acknowledged
	Voided       int64
}

// UnreadableError says that a message of the log is not as it was written. What it held, and
// from whom, nobody can tell.
type UnreadableError struct {
	Seq uint64
	Err error
}

func (e *UnreadableError) Error() string { return fmt.Sprintf("message %d: %v", e.Seq, e.Err) }

func (e *UnreadableError) Unwrap() error { return e.Err }

// Acknowledged is what ingest has promised in one partition.
type Acknowledged struct {
	Total int64 // events, over restarts of the process: whose they were is not kept that long
	// Tenants is the same by tenant: what the log had when the process began, and what it has
	// answered for since.
	Tenants map[string]int64
	Recent  []Promise // of this process, as far back as it remembers
}

// Promise is that some events of a tenant are in a message.
type Promise struct {
	Seq    uint64
	Tenant string
	Events int64
}

// tenantsOf are the tenants of an object's rows. Records older than the counts by object
// say only whose the whole segment is.
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
