// Package fault is how a test build breaks recount on purpose. In an ordinary build
// every function here is a constant that the compiler removes. With the build tag
// "faults" the same places can turn a rule of the protocol off, or end or stop the
// process, by name:
//
//	if fault.Off(fault.C5) { … }   // the code as it would be without the rule
//	fault.Point("landing/created") // between two arrows of a state machine
//
// It is the only state that belongs to no value, and exists in test builds alone: a
// switch handed through every constructor would put testing into every signature. One
// process has one set of switches, so tests that throw them do not run in parallel.
package fault

// Rule is the number of a rule, as the protocol and the code cite it.
type Rule string
