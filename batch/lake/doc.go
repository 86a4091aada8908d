// Package lake keeps recount's raw events and records in an object store. It is the
// only package that speaks S3.
//
//	Store        objects: Put, Get, Open for ranged reads, Head, List, Delete
//	CommitLog    create-only records in a Store (schemas/PROTOCOL.md, "The one trick")
//	Store.Probe  refuses a store whose create-only writes are not (C9)
//
// # Invariants
//
//	O1  Create says Created or Exists only after the store itself did, either in its answer
//	    or when the record was read back (C5). A lost reply, a 409, a 5xx or a timeout by
//	    itself is never an outcome.
//	O2  After an error of Create nothing is known: the record may be there, or still arrive.
//	O3  Bodies are compared byte for byte. Two writers of equal bodies both get Created, so a
//	    record that must have one winner names its attempt.
//	O4  Nothing here deletes on an unknown outcome. An upload is aborted only while it cannot
//	    have become an object.
package lake
