// Package landing copies the log into the lake and records what has landed. The batch view
// sees an event only after landing has recorded it.
//
// # State machine, per partition
//
//	RECOVER  walk the commit chain to its head; nothing else is remembered (C4)
//	CONSUME  read messages from the head on, and collect their columns by event type
//	CUT      a message begins a new segment (C1), so the open segment ends before it
//	ENCODE   make one Parquet object of each event type (C2)
//	PUT      store it under a name that no other attempt can have
//	VERIFY   read it back, and compare its size and SHA-256
//	COMMIT   create the record at (epoch, head), or adopt the one that another created (C3, C5)
//	ACK      tell the process that the head has moved; this is a hint (C4)
//
// Objects that a step before COMMIT leaves do not count, so a process may end between any two steps.
// After COMMIT the chain itself says where to continue.
//
// # Invariants
//
//	N1  The records of a partition form one chain without gaps. A record is created only at
//	    the key that continues the chain as this process has read it.
//	N2  A record is tried with the same bytes until its outcome is known, so its writer
//	    recognizes it after a lost reply. Adopting it as another's would be as right, but the
//	    open messages would have to be read again.
//	N3  This package deletes nothing.
//	N4  A segment accepts a message only under the sequence that is wanted next. A message
//	    that the log no longer has stops the partition (C7). It is never skipped.
//
// The package does no I/O of its own: it uses a Source, a record.CommitLog and Objects.
package landing
