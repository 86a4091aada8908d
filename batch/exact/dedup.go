package exact

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// identities are the identity columns of one part, as flat arrays in visiting order.
type identities struct {
	keys        []eventbatch.Key
	hashes      []uint64
	positions   []uint64 // the row's position within its segment
	assigned    []bool
	ofValues    []bool   // the hash is of values (eventbatch.FlagHashOfValues)
	tenantCodes []uint32 // given by tenantCoder
	tenantCoder coder
}

var identityColumns = []string{eventbatch.ColKey, eventbatch.ColTenant, eventbatch.ColHash, eventbatch.ColFlags, ColSeq,
	ColIndex}

// dedup marks the duplicates among one partition's rows and counts them by bucket. It needs no
// other partition, because all copies of an event are in one (I1).
func (r *run) dedup(ctx context.Context, s *span, p *part) (Counts, error) {
	failpoint.Point("exact.load.before")
	if p.rows >= 1<<32-1 {
		return Counts{}, fmt.Errorf("a bucket has %d rows in one partition, more than %d: use a smaller batch.bucket "+
			"or more partitions", p.rows, uint32(1<<32-2))
	}
	d := r.newDeduper(p)
	defer r.recycleDeduper(d, p)
	ids := &d.ids
	if err := r.load(ctx, s, p, ids); err != nil {
		return Counts{}, err
	}
	failpoint.Point("exact.load.after")
	p.drop = make([]bool, p.rows)
	d.drop = p.drop
	d.accounts = make([]record.Account, len(ids.tenantCoder.values.Strings))
	d.onCopy = r.in.OnCopy
	d.objects = r.objects
	byBucket := map[int64][]*piece{}
	for _, x := range p.pieces {
		byBucket[x.bucket] = append(byBucket[x.bucket], x)
		d.starts = append(d.starts, r.objects[x.object].Start)
	}
	counts := make([]record.BucketCount, len(s.buckets))
	for i, b := range s.buckets {
		d.counted = int(p.fresh)
		if r.in.Whole[b] {
			d.counted = 0
		}
		counts[i] = d.markBucket(byBucket[b], byBucket[b-r.width], byBucket[b+r.width])
	}
	found := Counts{Buckets: counts, Accounts: map[Owner]record.Account{}}
	for code, a := range d.accounts {
		if a != (record.Account{}) {
			found.Accounts[Owner{ids.tenantCoder.values.Strings[code], p.partition}] = a
		}
	}
	return found, nil
}

// deduper finds the duplicates of a part, bucket by bucket.
type deduper struct {
	ids       identities
	drop      []bool
	pieces    []*piece // of the part, by offset
	starts    []uint64 // by piece, where its segment starts
	current   table    // rows of the bucket
	neighbour table    // rows with assigned times of a bucket beside it
	losers    []int    // rows of the bucket that are copies of another

	onCopy  func(Copy) // Input.OnCopy
	objects []Object   // plan.objects

	counted  int              // first row that goes into the accounts, if it is in the bucket
	accounts []record.Account // by the tenant's code
}

// newDeduper returns the deduper of a part. It has the memory of one that is done if there is one, because fresh memory
// costs more than what is done with it.
func (r *run) newDeduper(p *part) *deduper {
	d, _ := r.dedupers.Get().(*deduper)
	if d == nil {
		d = &deduper{}
	}
	d.ids.reset(p.rows)
	d.pieces = p.pieces
	d.starts = d.starts[:0]
	return d
}

// recycleDeduper keeps the memory of a deduper, unless it is a large part of what the run may hold.
func (r *run) recycleDeduper(d *deduper, p *part) {
	if p.rows*dedupBytes > r.limit/8 {
		return
	}
	d.drop = nil
	d.pieces = nil
	r.dedupers.Put(d)
}

// reset empties the arrays and makes room for so many rows.
func (ids *identities) reset(rows int64) {
	n := int(rows)
	ids.keys = slices.Grow(ids.keys[:0], n)
	ids.hashes = slices.Grow(ids.hashes[:0], n)
	ids.positions = slices.Grow(ids.positions[:0], n)
	ids.assigned = slices.Grow(ids.assigned[:0], n)
	ids.ofValues = slices.Grow(ids.ofValues[:0], n)
	ids.tenantCodes = slices.Grow(ids.tenantCodes[:0], n)
	ids.tenantCoder = *newCoder(eventbatch.ColTenant, catalog.String)
}

// markBucket marks and counts the duplicates in the pieces of one bucket. before and after are the pieces of
// the buckets beside it.
func (d *deduper) markBucket(pieces, before, after []*piece) (count record.BucketCount) {
	for _, x := range pieces {
		count.Rows += x.to - x.from
		d.countRows(x)
	}
	d.markCopies(&count, pieces)
	for _, beside := range [][]*piece{before, after} {
		if anyAssigned(pieces) && anyAssigned(beside) && !failpoint.Off(failpoint.D1) {
			d.markCarried(&count, pieces, beside)
		}
	}
	return count
}

// countRows counts the rows of a piece in the accounts that no run before has counted.
func (d *deduper) countRows(x *piece) {
	end := x.offset + x.to - x.from
	first := min(max(x.offset, int64(d.counted)), end)
	for _, code := range d.ids.tenantCodes[first:end] {
		d.accounts[code].Rows++
	}
}

// markCopies marks the rows whose key has a row of a lower position in the bucket (B2).
func (d *deduper) markCopies(count *record.BucketCount, pieces []*piece) {
	d.losers = d.losers[:0]
	d.fillTable(&d.current, pieces, false)
	for _, loser := range d.losers {
		d.drop[loser] = !failpoint.Off(failpoint.B2)
		if !failpoint.Off(failpoint.A1) {
			d.countDuplicate(count, loser, d.find(&d.current, loser))
		}
	}
}

// markCarried marks the rows with assigned times whose key has an assigned time at a lower position in a
// bucket beside theirs, too (I3).
func (d *deduper) markCarried(count *record.BucketCount, pieces, beside []*piece) {
	d.fillTable(&d.neighbour, beside, true)
	for _, x := range pieces {
		if x.assigned == 0 {
			continue
		}
		for i := int(x.offset); i < int(x.offset+x.to-x.from); i++ {
			if d.drop[i] || !d.ids.assigned[i] {
				continue
			}
			if winner := d.find(&d.neighbour, i); winner >= 0 && d.isBefore(winner, i) {
				d.drop[i] = true
				d.countDuplicate(count, i, winner)
			}
		}
	}
}

// isBefore reports whether row a has a lower position than row b.
func (d *deduper) isBefore(a, b int) bool {
	x := d.starts[d.pieceWith(a)]
	y := d.starts[d.pieceWith(b)]
	return x < y || x == y && d.ids.positions[a] < d.ids.positions[b]
}

// pieceWith returns the index of the piece that has the row.
func (d *deduper) pieceWith(row int) int {
	return sort.Search(len(d.pieces), func(i int) bool { return d.pieces[i].offset > int64(row) }) - 1
}

// countDuplicate counts that row i is a copy of the row winner, and a conflict if payload or time differ. If row
// i is before d.counted, an earlier run has counted it in the accounts already: it is a copy of an event at a lower
// position.
func (d *deduper) countDuplicate(count *record.BucketCount, i, winner int) {
	account := &record.Account{}
	if i >= d.counted {
		account = &d.accounts[d.ids.tenantCodes[i]]
	}
	count.Duplicates++
	account.Duplicates++
	conflict := d.ids.conflict(winner, i)
	if conflict {
		count.Conflicts++
		account.Conflicts++
	}
	if d.onCopy != nil {
		d.onCopy(Copy{d.rowOf(i), d.rowOf(winner), conflict})
	}
}

// rowOf returns where row i of the part is.
func (d *deduper) rowOf(i int) Row {
	x := d.pieces[d.pieceWith(i)]
	return Row{d.objects[x.object].Key, x.from + int64(i) - x.offset}
}

func anyAssigned(pieces []*piece) bool {
	for _, x := range pieces {
		if x.assigned > 0 {
			return true
		}
	}
	return false
}

// fillTable fills t with, for every key, the row of the lowest position, and appends the other rows
// to losers. With assignedOnly it looks at rows with an assigned time alone and leaves losers as it
// is. Pieces come in segment order, so positions are compared within one object only.
func (d *deduper) fillTable(t *table, pieces []*piece, assignedOnly bool) {
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
			slot := d.slot(t, i)
			winner := int(uint32(*slot)) - 1
			switch {
			case winner < 0:
				*slot = entry(&d.ids.keys[i], i)
				continue
			case winner >= start && d.ids.positions[i] < d.ids.positions[winner]:
				*slot = entry(&d.ids.keys[i], i)
			default:
				winner = i
			}
			if !assignedOnly {
				d.losers = append(d.losers, winner)
			}
		}
	}
}

// find returns the row that t holds for the key of row i, or -1.
func (d *deduper) find(t *table, i int) int { return int(uint32(*d.slot(t, i))) - 1 }

// table is an open-addressing table of rows by key. The upper half of an entry is bits of the
// key, the lower half is the row + 1, and 0 is an empty slot. Keys are cryptographic hashes, so
// their own bytes spread them over the slots, and no tenant can choose keys that collide.
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

// load reads the identity columns of the part. Where the span is sliced it also reads the times,
// to find where in each piece the slices begin.
func (r *run) load(ctx context.Context, s *span, p *part, ids *identities) error {
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
				f.recordCuts(s, row, c.Time)
			}
			row += c.Rec.NumRows()
			return ids.append(c, start)
		})
		if err != nil {
			return err
		}
		f.finishCuts(s)
	}
	return nil
}

// conflict reports whether two copies are known to differ in their payload (B2). Hashes of two forms cannot be
// compared.
func (ids *identities) conflict(a, b int) bool {
	return ids.ofValues[a] == ids.ofValues[b] && ids.hashes[a] != ids.hashes[b]
}

func (ids *identities) append(c eventbatch.Columns, start uint64) error {
	seq, ok1 := c.Field(ColSeq).(*array.Int64)
	index, ok2 := c.Field(ColIndex).(*array.Int32)
	tenant := c.Field(eventbatch.ColTenant)
	if !ok1 || !ok2 || c.Key == nil || c.Hash == nil || c.Flags == nil || tenant == nil {
		return fmt.Errorf("identity columns %v: one is missing or has another type in %v", identityColumns,
			c.Rec.Schema())
	}
	for i := range int(c.Rec.NumRows()) {
		ids.keys = append(ids.keys, eventbatch.Key(c.Key.Value(i)))
		// A message has fewer than 2^20 events, so sequence and index fit one word.
		ids.positions = append(ids.positions, (uint64(seq.Value(i))-start)<<20|uint64(index.Value(i)))
		ids.assigned = append(ids.assigned, c.Flags.Value(i)&eventbatch.FlagTimeAssigned != 0)
		ids.ofValues = append(ids.ofValues, c.Flags.Value(i)&eventbatch.FlagHashOfValues != 0)
	}
	ids.hashes = append(ids.hashes, c.Hash.Uint64Values()...)
	if err := ids.tenantCoder.code(tenant, int(c.Rec.NumRows())); err != nil {
		return err
	}
	ids.tenantCodes = append(ids.tenantCodes, ids.tenantCoder.codes...)
	return nil
}
