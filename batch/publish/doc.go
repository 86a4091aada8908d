// Package publish recomputes dirty buckets, writes their rows to ClickHouse and makes the rows
// count by creating one small record, the publication.
//
//	PLAN (H := chain heads) → DIRTY → LOAD → DEDUP → AGGREGATE
//	  → WRITE(version) → VERIFY → CREATE publication n+1 → COLLECT
//
// # Why a run may die anywhere
//
// Rows carry the version of the attempt that wrote them, and no attempt reuses a version (B4).
// Readers ask for the versions that a publication names. So all rows of a publication begin to
// count at the moment its record exists. A lost reply of an INSERT fails the attempt. A lost reply
// of the record's create fails the run, and the next run reads whether the record exists.
//
// # Invariants
//
//	U1  The upper half of a version is the number of the publication it was written for; the lower
//	    half is random. If that publication exists and does not name the version, the version is
//	    garbage for ever (B4, P2).
//	U2  A record is created only after every row it names was read back (B5) and every object that
//	    it counts for the first time was seen in the store (C8).
//	U3  The state of this process follows the chain record by record; only the chain changes it.
//	U4  Nothing that a kept publication names is deleted. Kept are the last Keep publications,
//	    those that were replaced less than twice the longest query ago, and the pinned ones (P3).
//	    Publications that none of these needs are forgotten (forget.go).
//	    Nothing at all is deleted or published while records are missing (CheckStored).
package publish
