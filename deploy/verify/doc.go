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
// # What is checked
//
//	V1  Every commit record there is, in the order of keys: its digest, that it is what its key says, that it
//	    follows the one before by range and by hash. Behind a fault the walk goes on.
//	V2  Every object a record names: size, SHA-256, that it can be read, and that its rows lie in the buckets and
//	    are of the tenants its record says. Retired objects (record.Retired) may be gone.
//	V3  Every event the client was promised, in the lake or in the log, in one place that counts.
//	V4  Every event of the client's runs that is there: promised, or of unknown outcome.
//	V5  Every publication: number, hash chain, H that never goes back, on a boundary whose record it names.
//	V6  Of each kept publication the rows in ClickHouse by count and checksum, and the recomputation of its buckets;
//	    of older kept ones only what differs from the newest.
//	V7  Every recorded answer, worked out from the events of [0, S) in the order of their positions.
//	V8  Package conservation over what was read here; the tenants' sums in commit records; duplicates by bucket
//	    and, for the newest publication, its ledger by tenant and partition, against the recomputation.
//	V9  Every version a kept publication names has rows; every pin has its publication; no message that has not
//	    landed is trimmed away.
//	V10 Every position of a segment once, and the same event there in the log as far as it goes back; the identity
//	    that the id gives, in its partition; no object beside the named ones that repeats their events.
//
// Where commit records are missing nobody can say what should be there: V1 names the record, and what
// would only repeat it (V5, V6, V8) is called not checked.
//
// # Memory
//
// Segments are looked at one after the other, and copies by classes of keys, so the memory of most checks does not grow
// with the events. What does: V6 takes batch.memory, or one bucket; V3 has 4.4 bytes for each event the client
// names; V7 holds what the recorded questions count distinctly.
//
// # Reading only
//
// Nothing here writes. Evidence comes from whoever opened it: offline from engines that were
// opened for reading only, or from a running server over its own live engines. There the
// world moves: publications are read before chains and chains before the log, so that
// what an older one refers to is in the newer ones, and a version that is missing
// counts only while its publication is still kept.
package verify
