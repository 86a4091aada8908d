package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/schemas/access"
)

// ReloadEvery is how often the file is read: a revocation counts after at most this long.
const ReloadEvery = 5 * time.Second

// Config says where keys come from. All fields but Path may be zero.
type Config struct {
	Path       string
	Logger     *slog.Logger // nil discards
	Now        func() time.Time
	Registerer prometheus.Registerer
}

// Watcher holds the keys of a file and follows its changes. It is safe for concurrent use.
type Watcher struct {
	cfg     Config
	keys    atomic.Pointer[map[string]Key] // by id; a stored map is never changed
	raw     []byte                         // the file that keys come from; only Run uses it
	problem string                         // what is wrong with the file now; only Run uses it
	stale   prometheus.Gauge
}

// Open reads the file. The file must exist and be valid: a server must not start without knowing
// which requests to allow.
func Open(cfg Config) (*Watcher, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Watcher{cfg: cfg, stale: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recount_keys_stale",
		Help: "1 while the keys file cannot be read and the keys that were read last stay valid, else 0."})}
	known := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "recount_keys",
		Help: "Keys that are neither revoked nor expired."}, w.countValid)
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(w.stale), cfg.Registerer.Register(known)); err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
	}
	if err := w.load(); err != nil {
		return nil, fmt.Errorf("auth.keys_file: %w", err)
	}
	return w, nil
}

// Run follows the file until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(ReloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.reload()
		}
	}
}

// reload reads the file and logs each problem with it once.
func (w *Watcher) reload() {
	err := w.load()
	switch {
	case err == nil && w.problem != "":
		w.cfg.Logger.Info("the keys file can be read again", "file", w.cfg.Path)
		w.problem = ""
		w.stale.Set(0)
	case err != nil && err.Error() != w.problem:
		w.cfg.Logger.Error("the keys file cannot be read; the keys that were read last stay valid, and revocations "+
			"are not seen", "file", w.cfg.Path, "error", err)
		w.problem = err.Error()
		w.stale.Set(1)
	}
}

// load reads the whole file every time. A comparison of times and sizes would save little, and would miss
// a change within one tick of the file system's clock.
func (w *Watcher) load() error {
	keys, raw, err := Read(w.cfg.Path)
	if err != nil || bytes.Equal(raw, w.raw) {
		return err
	}
	byID := make(map[string]Key, len(keys))
	for _, k := range keys {
		byID[k.ID] = k
	}
	if w.raw != nil {
		w.cfg.Logger.Info("the keys have changed", "file", w.cfg.Path, "keys", len(keys))
	}
	w.raw = raw
	w.keys.Store(&byID)
	return nil
}

// countValid returns how many keys are neither revoked nor expired.
func (w *Watcher) countValid() float64 {
	n := 0.0
	now := w.cfg.Now()
	for _, k := range *w.keys.Load() {
		if k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires)) {
			n++
		}
	}
	return n
}

// Shared reports whether the keys are those of several tenants.
func (w *Watcher) Shared() bool {
	tenants := map[string]bool{}
	for _, k := range *w.keys.Load() {
		tenants[k.Tenant] = true
	}
	return len(tenants) > 1
}

// The reasons why a key is refused. Only a sender of the whole key learns that it was revoked or has
// expired.
var (
	errUnknown = errors.New("this server does not know the key")
	errRevoked = errors.New("the key was revoked")
	errExpired = errors.New("the key has expired")
)

// Find returns the owner of the key with this text.
func (w *Watcher) Find(text string) (access.Principal, error) {
	k, ok := w.known(text)
	switch {
	case !ok:
		return access.Principal{}, errUnknown
	case !k.Revoked.IsZero():
		return access.Principal{}, errRevoked
	case !k.Expires.IsZero() && !w.cfg.Now().Before(k.Expires):
		return access.Principal{}, errExpired
	}
	return access.Principal{Tenant: k.Tenant, KeyID: k.ID, Scopes: k.Scopes, Collect: k.Collect}, nil
}

// known returns the key with this text, also if it was revoked or has expired.
func (w *Watcher) known(text string) (k Key, ok bool) {
	id, ok := parseID(text)
	if !ok {
		return Key{}, false
	}
	k = (*w.keys.Load())[id] // An unknown id has a zero hash, which no text has.
	sum := sha256.Sum256([]byte(text))
	if subtle.ConstantTimeCompare(sum[:], k.SHA256[:]) != 1 {
		return Key{}, false
	}
	return k, true
}
