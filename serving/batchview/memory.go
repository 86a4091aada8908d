package batchview

import (
	"recount/schemas/catalog"
	"recount/schemas/query"
)

const (
	// leastMemory is what ClickHouse gets for any scan: the blocks that its threads read.
	leastMemory = 32 << 20
	// memoryFactor is how much more ClickHouse gets when a scan needed more. So the attempts that fail
	// cost at most a third of the last one.
	memoryFactor = 4
	// distinctBytes is what a group's set of hashes needs in ClickHouse.
	distinctBytes = 768
	// binsBytes is what a group's bins need in ClickHouse.
	binsBytes = 4096
	// stateFactor is how many bytes ClickHouse needs for each byte of the states that it unites: a table of hashes for
	// each thread, a larger one while it grows, and the result.
	stateFactor = 10
	// copiesOfResult is how many copies of a result exist on its way from ClickHouse.
	copiesOfResult = 3
	// maxStates is up to how many bytes of states in all pinned rows the united sets are returned.
	maxStates = 64 << 20
)

// firstMemory returns how much memory ClickHouse gets in the first attempt of a scan. No scan has more
// groups than pinned rows. states is how many bytes the states in the pinned rows have, or 0 if it is not known.
func (v *Views) firstMemory(scan *query.Scan, p *pins, states int64) int64 {
	groups := min(p.rows, int64(v.cfg.MaxGroups))
	if len(scan.GroupBy) == 0 {
		groups = min(groups, int64(scan.Windows.Len()))
	}
	group := rowBytes(scan)
	for _, m := range scan.Measures {
		switch m.Kind {
		case catalog.Distinct:
			group += distinctBytes
		case catalog.Quantile:
			group += binsBytes
		}
	}
	if !hasDistinct(scan) {
		states = 0
	}
	return min(leastMemory+groups*group+stateFactor*states, scan.Memory.Room(v.cfg.MaxMemory)/4*3)
}

// rowBytes is what a row of a part needs, without its strings, registers and bins.
func rowBytes(scan *query.Scan) int64 {
	const window = 4 + 8 // and the number of events
	const dimension = 16 + 1
	bytes := window + dimension*int64(len(scan.GroupBy))
	for i := range scan.Measures {
		bytes += scan.Measures[i].AccBytes()
	}
	return bytes
}
