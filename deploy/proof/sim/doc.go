// Package sim drives the real code of landing, publication, real-time views, queries and
// trimming through one seeded scheduler. The log, the object store and ClickHouse are fakes in
// memory that keep only the promises that the real ones make. The package has tests only.
//
// # One seed is one schedule
//
// A seed runs in a bubble of testing/synctest, so its clock is virtual. Every operation of a
// process on anything outside itself is parked in the scheduler. When nothing else can happen,
// the scheduler sorts the parked operations, draws one and draws its fate: it is done, refused,
// done with a lost reply, done later, answered 409, 412 or 500, or done with an altered effect.
// Instead of an operation the scheduler may let ten seconds pass, kill or pause a process, fail
// the power, or remove rows from ClickHouse and objects from the store. A step of the clock is
// longer than every random pause of the code under test, so those pauses do not change the
// schedule.
//
// Some seeds have two owners of the partitions, a log that fills up, other views or another cut
// rule after a restart, pinned publications, or more than a thousand users. The test counts how
// often each situation occurs (-v prints the counts). A run of 2,000 seeds or more fails if a
// required situation does not occur.
//
// # What must hold
//
// Every answer is compared with a naive count of the log prefix that it claims to cover. Some
// answers have windows of months or of local days, which are not equally wide. The range of an
// answer that was asked without a beginning or an end has every acknowledged event. After
// the faults end, every acknowledged event must be counted once in the modes exact and merged.
// Publications only grow, and their cuts are boundaries of the commit chain. Nothing that a kept
// publication names is collected, and pinned publications always answer. Lost rows are restored
// by a recompute. A healthy process never stops. At the end of a seed, the newest commit records of
// a partition are removed, then the newest publication. The jobs of a new process must refuse both.
//
// A failing seed prints its schedule. To play it again, run
// go test ./deploy/proof/sim -run TestSimulation$ -sim.from N -sim.seeds 1.
package sim
