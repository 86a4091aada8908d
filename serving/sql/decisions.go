package sql

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"recount/schemas/catalog"
	"recount/serving/sql/guard"
)

// decision is what was found about a statement that may run.
type decision struct {
	reads      *guard.Reads // what it reads; nobody changes it
	takesLimit bool         // the engine can cut the result (guard.TakesLimit)
}

// The bounds of decisions that are kept: how many, and how many names and bytes a statement has.
const (
	maxDecisions     = 1000
	maxDecidedNames  = 100
	maxDecidedLength = 16 << 10
)

// decisions are those about statements that ran before. A page that asks the same again need not have it parsed.
//
// A decision depends on what the engine parses, which is all in its key, and on the tables and columns that there are,
// which follow from the catalog. Which rows a tenant sees is no part of it. So tenants share it, and another catalog
// forgets all. Refusals and errors are not kept.
type decisions struct {
	mu      sync.Mutex
	catalog *catalog.Catalog
	byKey   map[[sha256.Size]byte]decision
}

// decisionKey is a hash of what the engine parses: the text, the parameters, whose values are in the tree, and the
// settings, some of which say how to read the text.
func decisionKey(r *Request) (key [sha256.Size]byte) {
	var b []byte
	add := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	add(r.SQL)
	for _, values := range []map[string]string{r.Parameters, r.settings} {
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, name := range slices.Sorted(maps.Keys(values)) {
			add(name)
			add(values[name])
		}
	}
	return sha256.Sum256(b)
}

func (d *decisions) find(c *catalog.Catalog, key [sha256.Size]byte) (found decision, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.catalog == c {
		found, ok = d.byKey[key]
	}
	return found, ok
}

// add keeps a decision. Where there are too many, all go: those of statements that come again are soon back.
func (d *decisions) add(key [sha256.Size]byte, r *Request) {
	if len(r.SQL) > maxDecidedLength || len(r.reads.Columns)+len(r.reads.Tables) > maxDecidedNames {
		return
	}
	made := r.decision
	made.reads = r.reads.Clone()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.catalog != r.catalog || len(d.byKey) >= maxDecisions {
		d.catalog = r.catalog
		d.byKey = map[[sha256.Size]byte]decision{}
	}
	d.byKey[key] = made
}
