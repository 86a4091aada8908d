package exact

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// identities are the identity columns of one part, flat, in visiting order.
type identities struct {
	keys     []eventbatch.Key
	hashes   []uint64
	order    []uint64 // position within the object's segment
	assigned []bool
	tenants  []uint32 // codes of tenant
	tenant   coder
}

var identityColumns = []string{eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColHash, eventbatch.ColFlags, ColSeq,
	ColIndex}

// dedup marks the duplicates of one partition's rows and counts them by bucket.
// Copies of an event share a partition, so no other part need be asked (I1).
func (r *run) dedup(ctx context.Context, s *span, p *part) (Found, error) {
	failpoint.Point("exact.load.before")
	ids, err := r.load(ctx, s, p)
	if err != nil {
		return Found{}, err
	}
	failpoint.Point("exact.load.after")
	p.drop = make([]bool, p.rows)
	d := deduper{ids: ids, drop: p.drop, fresh: int(p.fresh),
		accounts: make([]record.Account, len(ids.tenant.values.Strings))}
	byBucket := map[int64][]*piece{}
	for _, x := range p.pieces {
		byBucket[x.bucket] = append(byBucket[x.bucket], x)
	}
	counts := make([]record.BucketCount, len(s.buckets))
	for i, b := range s.buckets {
		counts[i] = d.bucket(byBucket[b], byBucket[b-r.width])
	}
	found := Found{Buckets: counts, Accounts: map[Owner]record.Account{}}
	for code, a := range d.accounts {
		if a != (record.Account{}) {
			found.Accounts[Owner{ids.tenant.values.Strings[code], p.partition}] = a
		}
	}
	return found, nil
}

// deduper finds the duplicates of a part, bucket by bucket.
type deduper struct {
	ids    *identities
	drop   []bool
	own    table
	before table
	losers []int

	fresh    int              // the first row that goes into the accounts
	accounts []record.Account // by code of the tenant
}

// bucket applies B2 and I3 to the pieces of one bucket, given those of the bucket before.
func (d *deduper) bucket(pieces, before []*piece) (c record.BucketCount) {
	d.losers = d.losers[:0]
	d.first(&d.own, pieces, false)
	for _, l := range d.losers {
		d.drop[l] = !failpoint.Off(failpoint.B2)
		if !failpoint.Off(failpoint.A1) {
			c.Duplicates++
			d.drops(l, l)
		}
		if w := d.find(&d.own, l); d.ids.hashes[w] != d.ids.hashes[l] {
			c.Conflicts++
		}
	}
	carried := anyAssigned(pieces) && anyAssigned(before) && !failpoint.Off(failpoint.D1)
	if carried {
		d.first(&d.before, before, true)
	}
	for _, x := range pieces {
		c.Rows += x.to - x.from
		for _, code := range d.ids.tenants[min(max(x.offset, int64(d.fresh)),
			x.offset+x.to-x.from) : x.offset+x.to-x.from] {
			d.accounts[code].Rows++
		}
		if !carried || x.assigned == 0 {
			continue
		}
		for i := int(x.offset); i < int(x.offset+x.to-x.from); i++ {
			if d.drop[i] || !d.ids.assigned[i] {
				continue
			}
			if w := d.find(&d.before, i); w >= 0 {
				d.drop[i] = true
				c.Duplicates++
				d.drops(i, w)
				if d.ids.hashes[w] != d.ids.hashes[i] {
					c.Conflicts++
				}
			}
		}
	}
	return c
}

// drops notes in the accounts that row i is a duplicate because of row by: if either is
// fresh, it was none before.
func (d *deduper) drops(i, by int) {
	if max(i, by) >= d.fresh {
		d.accounts[d.ids.tenants[i]].Duplicates++
	}
}

func anyAssigned(pieces []*piece) bool {
	for _, x := range pieces {
		if x.assigned > 0 {
			return true
		}
	}
	return false
}

// first fills t with the row of the lowest position of every key, of rows with an
// assigned time only where asked, and appends the others to losers unless only
// assigned rows count. Pieces come in segment order, so positions need comparing
// only within one object.
func (d *deduper) first(t *table, pieces []*piece, assignedOnly bool) {
	var n int64
	for _, x := range pieces {
		if assignedOnly {
			n += x.assigned
		} else {
			n += x.to - x.from
		}
	}
	t.reset(n)
	for _, x := range pieces {
		start := int(x.offset)
		for i := start; i < start+int(x.to-x.from); i++ {
			if assignedOnly && !d.ids.assigned[i] {
				continue
			}
			s := d.slot(t, i)
			w := int(uint32(*s)) - 1
			switch {
			case w < 0:
				*s = entry(&d.ids.keys[i], i)
				continue
			case w >= start && d.ids.order[i] < d.ids.order[w]:
				*s = entry(&d.ids.keys[i], i)
			default:
				w = i
			}
			if !assignedOnly {
				d.losers = append(d.losers, w)
			}
		}
	}
}

// find returns the row that t holds for row i's key, or -1.
func (d *deduper) find(t *table, i int) int { return int(uint32(*d.slot(t, i))) - 1 }

// table is an open-addressing table of rows by key: the upper half of an entry is
// key bits, the lower the row + 1, and 0 is empty. Keys are cryptographic hashes,
// so their own bytes spread them and no tenant can aim at a slot.
type table struct {
	slots []uint64
	mask  uint64
}

func (t *table) reset(n int64) {
	size := 1 << bits.Len64(uint64(max(2*n, 8)-1))
	if cap(t.slots) < size {
		t.slots = make([]uint64, size)
	}
	t.slots = t.slots[:size]
	clear(t.slots)
	t.mask = uint64(size - 1)
}

func (d *deduper) slot(t *table, row int) *uint64 {
	key := &d.ids.keys[row]
	h := binary.LittleEndian.Uint64(key[:8])
	for i := h & t.mask; ; i = (i + 1) & t.mask {
		e := t.slots[i]
		if e == 0 || e>>32 == h>>32 && d.ids.keys[uint32(e)-1] == *key {
			return &t.slots[i]
		}
	}
}

func entry(key *eventbatch.Key, row int) uint64 {
	return uint64(binary.LittleEndian.Uint32(key[4:8]))<<32 | uint64(uint32(row+1))
}

// load reads the identity columns of the part, and where the span is sliced the
// times, to find where in each piece the slices begin.
func (r *run) load(ctx context.Context, s *span, p *part) (*identities, error) {
	if p.rows >= 1<<32-1 {
		return nil, fmt.Errorf("a bucket holds %d rows of one partition; at most %d: use a smaller batch.bucket or "+
			"more partitions", p.rows, uint32(1<<32-2))
	}
	ids := &identities{
		keys: make([]eventbatch.Key, 0, p.rows), hashes: make([]uint64, 0, p.rows), order: make([]uint64, 0, p.rows),
		assigned: make([]bool, 0, p.rows), tenants: make([]uint32, 0, p.rows),
		tenant: coder{name: eventbatch.ColTenant, typ: catalog.String},
	}
	columns := identityColumns
	if s.slices > 1 {
		columns = append([]string{eventbatch.ColTime}, columns...)
	}
	for _, f := range stretches(p.pieces, 0, 1) {
		start := r.objects[f.object].Start
		row := f.from
		err := r.read(ctx, f.object, columns, f.from, f.to, func(c eventbatch.Columns) error {
			if s.slices > 1 {
				if c.Time == nil {
					return fmt.Errorf("column %s is missing", eventbatch.ColTime)
				}
				f.cut(s, row, c.Time)
			}
			row += c.Rec.NumRows()
			return ids.append(c, start)
		})
		if err != nil {
			return nil, err
		}
		f.finishCuts(s)
	}
	return ids, nil
}

func (ids *identities) append(c eventbatch.Columns, start uint64) error {
	seq, ok1 := c.Field(ColSeq).(*array.Int64)
	index, ok2 := c.Field(ColIndex).(*array.Int32)
	tenant := c.Field(eventbatch.ColTenant)
	if !ok1 || !ok2 || c.Key == nil || c.Hash == nil || c.Flags == nil || tenant == nil {
		return fmt.Errorf("columns %v: identity columns %v are missing or of another type", c.Rec.Schema(),
			identityColumns)
	}
	for i := range int(c.Rec.NumRows()) {
		ids.keys = append(ids.keys, eventbatch.Key(c.Key.Value(i)))
		// A message has fewer than 2^20 events, so sequence and index fit one word.
		ids.order = append(ids.order, (uint64(seq.Value(i))-start)<<20|uint64(index.Value(i)))
		ids.assigned = append(ids.assigned, c.Flags.Value(i)&eventbatch.FlagTimeAssigned != 0)
	}
	ids.hashes = append(ids.hashes, c.Hash.Uint64Values()...)
	if err := ids.tenant.code(tenant, int(c.Rec.NumRows()), nil); err != nil {
		return err
	}
	ids.tenants = append(ids.tenants, ids.tenant.codes...)
	return nil
}
