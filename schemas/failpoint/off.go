//go:build !failpoints

package failpoint

import "time"

// Enabled reports whether this is a test build.
const Enabled = false

// Off reports whether the rule is switched off.
func Off(Rule) bool { return false }

// Point is a named place at which a test build may stop or end the process.
func Point(string) {}

// Now is time.Now; the clock of a test build may be ahead of it or lag.
func Now() time.Time { return time.Now() }
