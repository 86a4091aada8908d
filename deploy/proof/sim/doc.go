// Package sim drives the real code of landing, publication, real-time views, query and
// trimming through one seeded scheduler, over a log, an object store and a ClickHouse
// that live in memory and keep none of the promises nobody made. It has tests alone.
//
// # One seed is one schedule
//
// A seed runs in a bubble of testing/synctest, so its clock is virtual. Every operation
// of every process on anything outside itself parks in one scheduler. When nothing else
// can happen, the scheduler sorts what is parked, draws an operation and its fate: done;
// refused; done and its reply lost; done later; answered 409, 412 or 500; done wrong. Or it
// lets ten seconds pass, kills or pauses a process, takes the power away, or takes rows from
// ClickHouse and objects from the store that counted already. A step of the clock is longer than any
// random pause of the code under test, so those do not change the schedule. Some seeds have
// two owners, a full log, other views or another cut rule at a restart, pinned publications,
// users by the thousand. How often each trouble came is counted (-v prints it), and 2,000
// seeds in which one never came fail.
//
// # What must hold
//
// Every answer is compared with a naive count of the log prefix it says it covers. When
// the faults end, everything acknowledged must be counted once in modes exact and merged.
// Publications only grow, their cuts are boundaries of the commit chain, nothing that a kept
// publication names is collected, pinned ones answer for ever, rows that were lost are back after
// a recompute, and a healthy process never stops.
//
// A failing seed prints its schedule; go test ./deploy/proof/sim -run TestSimulation$ -sim.from N
// -sim.seeds 1 plays it again.
package sim
