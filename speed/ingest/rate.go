package ingest

import "sync"

// burstSeconds is how much of a rate may be used at once: whoever notices that a whole
// file had the wrong type should find all of it among the dead letters.
const burstSeconds = 10

// rate bounds how many dead letters a process keeps, and how many bytes of them.
type rate struct {
	letters, bytes float64 // per second

	mu          sync.Mutex
	lettersLeft float64
	bytesLeft   float64
	at          int64 // microseconds since 1970
}

// rates are the rate of a process and those of its tenants. Where there are several, none may
// use more than a half, so that the rubbish of one leaves room for what others will look for.
type rates struct {
	all     *rate
	cfg     *Config
	tenants sync.Map // name to *rate; as many as have keys
}

func newRates(cfg *Config) *rates {
	return &rates{all: newRate(cfg.Letters, cfg.LetterBytes), cfg: cfg}
}

// take reports whether a tenant's letter of size bytes may be kept now, and if so counts it.
func (r *rates) take(tenant string, size int, now int64) bool {
	if !r.cfg.Fair {
		return r.all.take(size, now)
	}
	of, ok := r.tenants.Load(tenant)
	if !ok {
		of, _ = r.tenants.LoadOrStore(tenant, newRate((r.cfg.Letters+1)/2, (r.cfg.LetterBytes+1)/2))
	}
	return of.(*rate).take(size, now) && r.all.take(size, now)
}

func newRate(letters, bytes int) *rate {
	r := &rate{letters: float64(letters), bytes: float64(bytes)}
	r.lettersLeft = burstSeconds * r.letters
	r.bytesLeft = burstSeconds * r.bytes
	return r
}

// take reports whether a letter of size bytes may be kept now, and if so counts it.
func (r *rate) take(size int, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed := float64(now-r.at) / 1e6; passed > 0 {
		r.lettersLeft = min(burstSeconds*r.letters, r.lettersLeft+passed*r.letters)
		r.bytesLeft = min(burstSeconds*r.bytes, r.bytesLeft+passed*r.bytes)
		r.at = now
	}
	if r.lettersLeft < 1 || r.bytesLeft < float64(size) {
		return false
	}
	r.lettersLeft--
	r.bytesLeft -= float64(size)
	return true
}
