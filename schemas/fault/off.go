//go:build !faults

package fault

// Enabled reports whether this is a test build.
const Enabled = false

// Off reports whether the rule is switched off.
func Off(Rule) bool { return false }

// Point is a named place at which a test build may stop or end the process.
func Point(string) {}
