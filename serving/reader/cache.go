package reader

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/query"
	"recount/schemas/record"
)

// cache keeps parts that the batch layer has answered, at most some bytes of them. Those that were asked for longest
// ago go first. The part of a publication never changes, so nothing in the cache grows old. Parts are read only. A nil
// cache keeps nothing. The methods may be called concurrently.
type cache struct {
	most int64
	hits prometheus.Counter
	miss prometheus.Counter

	mu     sync.Mutex // mu guards all that follows.
	held   int64
	newest *list.List // of *cachedPart
	places map[string]*list.Element
}

type cachedPart struct {
	key   string
	part  query.Part
	bytes int64
}

// largestShare is the share of the cache that one part may take. A larger one would push out all others.
const largestShare = 8

// newCache returns a cache, or nil if it may keep nothing.
func newCache(most int64, r prometheus.Registerer) *cache {
	if most == 0 {
		return nil
	}
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "recount_query_cache_lookups_total",
		Help: "Queries that looked for the part of a publication in the cache (query.cache), by result: hit or miss.",
	}, []string{"result"})
	c := &cache{most: most, hits: lookups.WithLabelValues("hit"), miss: lookups.WithLabelValues("miss"),
		newest: list.New(), places: map[string]*list.Element{}}
	if r != nil {
		r.MustRegister(lookups, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_query_cache_bytes",
			Help: "Memory of the parts in the cache, out of query.cache."}, c.size))
	}
	return c
}

func (c *cache) size() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.held)
}

// partKey names a part: the publication, the definition of the view in it, the tenant, and all that the scan asks of
// the batch layer. Every string is quoted, so two keys are equal only if all of it is.
func partKey(state *record.State, scan *query.Scan, sketches []int32) string {
	key := fmt.Appendf(nil, "%d %q %q %q %q %q %d %d %d %v %q", state.N, state.Digest, scan.View.Name, scan.Digest,
		state.Views[scan.View.Name].Digest, scan.Tenant, scan.Windows.From, scan.Windows.To, scan.Windows.Len(),
		scan.Windows.Runs(), scan.GroupBy)
	key = fmt.Appendf(key, " %d %q", scan.Overlap, query.FormatWhere(scan.Where))
	for _, m := range scan.Measures {
		key = fmt.Appendf(key, " %q", m.Name)
	}
	return string(fmt.Append(key, sketches))
}

// find returns the part with the key, or nil. The scan holds the memory of the part too, because the cache may drop it
// meanwhile.
func (c *cache) find(ctx context.Context, key string, scan *query.Scan) (*query.Part, error) {
	if c == nil {
		return nil, nil
	}
	c.mu.Lock()
	place := c.places[key]
	if place != nil {
		c.newest.MoveToFront(place)
	}
	c.mu.Unlock()
	if place == nil {
		c.miss.Inc()
		return nil, nil
	}
	c.hits.Inc()
	found := place.Value.(*cachedPart)
	part := found.part
	return &part, scan.Memory.Grow(ctx, found.bytes)
}

// keep adds a part, unless it is too large.
func (c *cache) keep(key string, part *query.Part) {
	if c == nil {
		return
	}
	added := &cachedPart{key: key, part: *part, bytes: partBytes(part) + int64(2*len(key))}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.places[key]; found || added.bytes > c.most/largestShare {
		return
	}
	c.places[key] = c.newest.PushFront(added)
	for c.held += added.bytes; c.held > c.most; {
		last := c.newest.Remove(c.newest.Back()).(*cachedPart)
		delete(c.places, last.key)
		c.held -= last.bytes
	}
}

// partBytes is the memory of a part, roughly.
func partBytes(p *query.Part) int64 {
	const (
		entry  = 512 // of the cache
		row    = 4 + 8
		text   = 16
		acc    = 72
		number = 8
		sum    = 56
		bin    = 40
	)
	bytes := int64(entry + row*p.Rows())
	for d := range p.Dims {
		c := &p.Dims[d]
		bytes += int64(text*len(c.Strings) + number*len(c.Ints) + len(c.Null))
		for _, s := range c.Strings {
			bytes += int64(len(s))
		}
	}
	for _, accs := range p.Measures {
		bytes += int64(acc * len(accs))
		for i := range accs {
			bytes += accs[i].Set.Bytes()
			if s := accs[i].Sum; s != nil {
				bytes += sum + bin*int64(len(s.Far))
			}
			if b := accs[i].Bins; b != nil {
				bytes += b.Bytes()
			}
		}
	}
	return bytes
}
