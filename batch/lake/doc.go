// Package lake keeps the raw events and the records of recount in an object store. No other package
// speaks S3.
//
//	Store        objects: Put, Get, Open for ranged reads, Head, List, Delete
//	CommitLog    create-only records in a Store (schemas/PROTOCOL.md, "The one trick")
//	Store.Probe  refuses a store that overwrites on a create-only write (C9)
//
// # Invariants
//
//	O1  Create returns Created or Exists only after the store has said so: in its answer, or
//	    when the record was read back (C5). A lost reply, a 409, a 5xx or a timeout by itself
//	    is never an outcome.
//	O2  After an error of Create nothing is known. The record may be there, or still arrive.
//	O3  Bodies are compared byte by byte. Two writers of equal bodies both get Created, so a
//	    record that must have one winner names its attempt.
//	O4  Nothing here deletes on an unknown outcome. An upload is aborted only while it cannot
//	    have become an object.
package lake
