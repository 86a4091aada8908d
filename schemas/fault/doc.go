// Package fault is how a test build breaks recount on purpose. In an ordinary build
// every function here is a constant that the compiler removes. With the build tag
// "faults" the same places can turn a rule of the protocol off, end or stop the
// process by name, or set its clock off:
//
//	if fault.Off(fault.C5) { … }           // the code as it would be without the rule
//	fault.Point("landing.create.before")   // before or after an arrow of a state machine
//	now := fault.Now                       // the clock that is handed to everything
//
// A process started with RECOUNT_FAULT runs the script in it (see Script); one started
// with RECOUNT_FAULT_CLOCK adds the duration in that file to its clock.
//
// It is the only state that belongs to no value, and exists in test builds alone: a
// switch handed through every constructor would put testing into every signature. One
// process has one set of switches, so tests that throw them do not run in parallel.
package fault

// Rule is the number of a rule, as the protocol and the code cite it.
type Rule string

// The variables of the environment that a test build reads.
const (
	ScriptEnv = "RECOUNT_FAULT"
	ClockEnv  = "RECOUNT_FAULT_CLOCK"
)
