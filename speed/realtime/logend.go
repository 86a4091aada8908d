package realtime

import (
	"sync"
	"time"
)

// samplesPerLag is how many samples of the log's end are kept for MaxLag, so a lag is known to a
// sixteenth of MaxLag.
const samplesPerLag = 16

// logEnd is what the process knows of the end of a partition's log: from Open or Renew, and from Observe.
type logEnd struct {
	maxLag  time.Duration // Config.MaxLag
	mu      sync.Mutex
	start   uint64   // the log's end when the views were opened or renewed; the partition is level from there on
	next    uint64   // every message before it is known to be in the log
	samples []sample // in order; the first is the newest that is older than MaxLag, if one is so old
}

// sample says where the log was known to end at a time.
type sample struct {
	at   time.Time
	next uint64
}

// begin sets the log's end of Open or Renew. If the log has lost its end, what was known is forgotten.
func (l *logEnd) begin(next uint64, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost {
		l.next = 0
		l.samples = nil
	}
	l.start = next
	l.raise(next)
}

// observe records that every message before next is in the log.
func (l *logEnd) observe(next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raise(next)
}

// raise raises the known end. mu must be held.
func (l *logEnd) raise(next uint64) {
	if next <= l.next {
		return
	}
	now := time.Now()
	l.next = next
	if n := len(l.samples); n > 0 && now.Sub(l.samples[n-1].at) < l.maxLag/samplesPerLag {
		l.samples[n-1].next = next
		return
	}
	l.samples = append(l.samples, sample{now, next})
	l.dropOld(now)
}

// dropOld drops the samples before the newest one that is older than MaxLag. mu must be held.
func (l *logEnd) dropOld(now time.Time) {
	for len(l.samples) > 1 && now.Sub(l.samples[1].at) > l.maxLag {
		l.samples = l.samples[1:]
	}
}

// ends returns the log's end as of start, and the end that is known now.
func (l *logEnd) ends() (start, known uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.next
}

// lags reports whether a message at or after next was known to be in the log more than MaxLag ago.
func (l *logEnd) lags(next uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.dropOld(now)
	return len(l.samples) > 0 && now.Sub(l.samples[0].at) > l.maxLag && next < l.samples[0].next
}

// Observe records that every message of a partition before next is in the log. A scan then says if the
// partition lags it by more than Config.MaxLag, and Known returns it.
func (v *Views) Observe(partition int, next uint64) {
	v.partitions[partition].logEnd.observe(next)
}

// Known returns, for each partition, the sequence before which every message is known to be in the log:
// what the log held at Open or Renew, what Observe was told, and what the partition has consumed.
func (v *Views) Known() []uint64 {
	out := make([]uint64, len(v.partitions))
	for i, p := range v.partitions {
		p.mu.RLock()
		out[i] = p.known()
		p.mu.RUnlock()
	}
	return out
}

// known returns the known end of the log. mu must be held.
func (p *partition) known() uint64 {
	_, known := p.logEnd.ends()
	return max(known, p.next)
}
