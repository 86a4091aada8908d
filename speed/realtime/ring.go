package realtime

// chunkSize is the number of identities in one chunk of a ring, 256 KiB.
const chunkSize = 1 << 14

// ring holds identities in the order of admission. Entries are numbered from 0 and never move or
// change. So a snapshot can read the chunks it was given while newer entries are appended.
type ring struct {
	chunks     []*[chunkSize]identity
	base       uint64 // number of the first entry of the first chunk
	first, end uint64 // the remembered entries
	lineage    uint64 // random; rings with the same one have the same entries as far as both go
}

func (r *ring) len() int { return int(r.end - r.first) }

func (r *ring) entry(n uint64) *identity {
	n -= r.base
	return &r.chunks[n/chunkSize][n%chunkSize]
}

// remembers reports whether the entry with the given low half of its number is still remembered. An
// entry that is 2^32 entries older than a remembered one looks remembered; holds compares identities.
func (r *ring) remembers(low uint32) bool { return uint64(low-uint32(r.first)) < r.end-r.first }

// holds reports whether a remembered entry with the given low half of its number is id.
func (r *ring) holds(low uint32, id identity) bool {
	return r.remembers(low) && *r.entry(r.first + uint64(low-uint32(r.first))) == id
}

func (r *ring) append(id identity) {
	n := r.end - r.base
	if n == uint64(len(r.chunks))*chunkSize {
		r.chunks = append(r.chunks, new([chunkSize]identity))
	}
	r.chunks[n/chunkSize][n%chunkSize] = id
	r.end++
}

// forget drops the entries before first.
func (r *ring) forget(first uint64) {
	r.first = max(r.first, first)
	drop := (r.first - r.base) / chunkSize
	clear(r.chunks[:drop])
	r.chunks = r.chunks[drop:]
	r.base += drop * chunkSize
}
