// Package failpoint is how a test build breaks recount on purpose. In an ordinary build
// every function here is a constant that the compiler removes. With the build tag
// "failpoints" the same places can turn a rule of the protocol off, end or stop the
// process by name, or set its clock off:
//
//	if failpoint.Off(failpoint.C5) { … }     // the code as it would be without the rule
//	failpoint.Point("landing.create.before") // before or after an arrow of a state machine
//	now := failpoint.Now                     // the clock that every component is given
//
// A process started with RECOUNT_FAILPOINT runs the script in it (see Script); one started
// with RECOUNT_FAILPOINT_CLOCK adds the duration in that file to its clock.
//
// The switches are the only global state of recount, and exist in test builds alone. Passing
// them through every constructor would put testing into every signature. One process has one
// set of switches, so tests that use them do not run in parallel.
package failpoint

// Rule is the number of a rule, as the protocol and the code cite it.
type Rule string

// The rules that can be switched off. Those about what surrounds recount (L1, L2, L3, L4)
// are switched in the simulation's log and writer, the others in the code that keeps them.
const (
	L1 Rule = "L1"
	L2 Rule = "L2"
	L3 Rule = "L3"
	L4 Rule = "L4"
	L5 Rule = "L5"
	L6 Rule = "L6"

	C1 Rule = "C1"
	C2 Rule = "C2"
	C3 Rule = "C3"
	C4 Rule = "C4"
	C5 Rule = "C5"
	C6 Rule = "C6"
	C7 Rule = "C7"
	C8 Rule = "C8"
	C9 Rule = "C9"

	C10 Rule = "C10"

	B1 Rule = "B1"
	B2 Rule = "B2"
	B3 Rule = "B3"
	B4 Rule = "B4"
	B5 Rule = "B5"
	B7 Rule = "B7"
	B8 Rule = "B8"
	P1 Rule = "P1"
	P2 Rule = "P2"
	P3 Rule = "P3"

	S1 Rule = "S1"
	S2 Rule = "S2"
	S3 Rule = "S3"
	S4 Rule = "S4"
	S5 Rule = "S5"
	S7 Rule = "S7"
	D1 Rule = "D1"
	D2 Rule = "D2"

	Q1 Rule = "Q1"
	Q2 Rule = "Q2"
	Q3 Rule = "Q3"
	Q4 Rule = "Q4"
	Q5 Rule = "Q5"
	Q6 Rule = "Q6"
	A1 Rule = "A1"
	G4 Rule = "G4"
	G5 Rule = "G5"
)

// The variables of the environment that a test build reads.
const (
	ScriptEnv = "RECOUNT_FAILPOINT"
	ClockEnv  = "RECOUNT_FAILPOINT_CLOCK"
)
