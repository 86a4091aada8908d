// Package source tests the source tree itself: which layer and package may import what,
// that every cited rule is defined, and how statements and functions are written.
package source
