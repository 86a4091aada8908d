// Package verify is the checker of the protocol's promises V1 to V10: it reads what a
// recount has stored, from outside, and says of everything that is not as promised
// what it is, where it is and what to do.
//
// # Independence
//
// A checker that runs the code it checks repeats its mistakes, so what decides is found
// another way wherever that is the point. Commit chains are walked without
// landing.LoadChain, which stops at the first fault; here one broken record must not hide
// the others. Acknowledged ids are looked for in the events themselves, not in counts.
// Recorded answers are worked out event by event. Rows of publications are the exception:
// B1 says that a recomputation gives the same rows bit for bit, so V6 recomputes them with
// batch/exact from the objects, whose bytes V2 has compared, and compares three witnesses:
// publication, recomputation, and the rows in ClickHouse.
//
// # Reading only
//
// Nothing here writes. Evidence comes from whoever opened it: offline from engines that were
// opened for reading only, or from a running server over its own live engines. There the
// world moves: publications are read before chains and chains before the log, so that
// what an older one refers to is in the newer ones, and a version that is missing
// counts only while its publication is still kept.
package verify
