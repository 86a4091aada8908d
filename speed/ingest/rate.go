package ingest

import "sync"

// burstSeconds is how many seconds of a rate may be used at once. A user who sent a whole
// file with the wrong type should find all of it among the dead letters.
const burstSeconds = 10

// rate bounds how many dead letters are kept per second, and how many bytes of them.
type rate struct {
	deadLetters float64 // per second
	bytes       float64 // per second

	mu              sync.Mutex
	deadLettersLeft float64
	bytesLeft       float64
	updated         int64 // microseconds since 1970
}

// rates are the rate of the process and those of its tenants. Where there are several
// tenants, each may use at most a half, so that the rejected events of one leave room for
// those that the others will look for.
type rates struct {
	process *rate
	cfg     *Config
	tenants sync.Map // tenant to *rate; at most one for each tenant that has a key
}

func newRates(cfg *Config) *rates {
	return &rates{process: newRate(cfg.DeadLetters, cfg.DeadLetterBytes), cfg: cfg}
}

// allow reports whether a dead letter of size bytes may be kept now. If so, it counts it.
func (r *rates) allow(tenant string, size int, now int64) bool {
	if !r.cfg.Fair {
		return r.process.allow(size, now)
	}
	share, ok := r.tenants.Load(tenant)
	if !ok {
		share, _ = r.tenants.LoadOrStore(tenant, newRate((r.cfg.DeadLetters+1)/2, (r.cfg.DeadLetterBytes+1)/2))
	}
	return share.(*rate).allow(size, now) && r.process.allow(size, now)
}

func newRate(deadLetters, bytes int) *rate {
	r := &rate{deadLetters: float64(deadLetters), bytes: float64(bytes)}
	r.deadLettersLeft = burstSeconds * r.deadLetters
	r.bytesLeft = burstSeconds * r.bytes
	return r
}

// allow reports whether a dead letter of size bytes may be kept now. If so, it counts it.
func (r *rate) allow(size int, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed := float64(now-r.updated) / 1e6; passed > 0 {
		r.deadLettersLeft = min(burstSeconds*r.deadLetters, r.deadLettersLeft+passed*r.deadLetters)
		r.bytesLeft = min(burstSeconds*r.bytes, r.bytesLeft+passed*r.bytes)
		r.updated = now
	}
	if r.deadLettersLeft < 1 || r.bytesLeft < float64(size) {
		return false
	}
	r.deadLettersLeft--
	r.bytesLeft -= float64(size)
	return true
}
