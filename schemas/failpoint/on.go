//go:build failpoints

package failpoint

import (
	"sync"
	"sync/atomic"
)

// Enabled reports whether this is a test build.
const Enabled = true

var (
	off    atomic.Pointer[Rule]
	mu     sync.Mutex
	points = map[string]func(){}
)

// Off reports whether the rule is switched off.
func Off(r Rule) bool {
	p := off.Load()
	return p != nil && *p == r
}

// Switch turns one rule off until restore is called. Only one can be off at a time.
func Switch(r Rule) (restore func()) {
	if !off.CompareAndSwap(nil, &r) {
		panic("failpoint: a rule is switched off already")
	}
	return func() { off.Store(nil) }
}

// OnReach calls f whenever the named place is reached; nil removes it.
func OnReach(name string, f func()) {
	mu.Lock()
	defer mu.Unlock()
	if points[name] = f; f == nil {
		delete(points, name)
	}
}

// Point is a named place at which a test build may stop or end the process.
func Point(name string) {
	mu.Lock()
	f := points[name]
	mu.Unlock()
	if f != nil {
		f()
	}
}
