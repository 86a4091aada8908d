// Package publish recomputes what is dirty, writes it to ClickHouse and makes it
// count by creating one small record, the publication.
//
//	PLAN (H := chain heads) → DIRTY → LOAD → DEDUP → AGGREGATE → WRITE(ver) → VERIFY → CREATE publication n+1 → COLLECT
//
// # Why a run may die anywhere
//
// Rows carry the version of the attempt that wrote them, and no attempt uses another's
// (B4). Readers ask for the versions a publication names, so rows count from the
// moment the record exists, all of them or none. A lost reply of an INSERT fails the
// attempt; a lost reply of the record's create fails the run, and the next one reads
// whatever is there.
//
// # Invariants
//
//	U1  A version names the publication it was written for, in its upper half, and a random
//	    number. A version that publication does not name is garbage for ever (B4, P2).
//	U2  A record is created only after every row it names was read back (B5) and every object
//	    it counts for the first time was seen in the store (C8).
//	U3  The state here follows the chain record by record; nothing but the chain changes it.
//	U4  Nothing kept is deleted: kept publications are the last Keep, those replaced less than twice the
//	    longest query ago, and the pinned ones (P3).
package publish
