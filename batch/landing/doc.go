// Package landing copies the log into the lake and records what has landed. It alone
// decides which events the batch view can see.
//
// # State machine, per partition
//
//	RECOVER  walk the commit chain to its head; nothing else is remembered (C4)
//	CONSUME  read messages from the head on, collect their columns by event type
//	CUT      a message begins a new segment (C1); the open one ends before it
//	ENCODE   one Parquet object per event type (C2)
//	PUT      under a name no other attempt can have
//	VERIFY   read back, compare size and SHA-256
//	COMMIT   create the record at (epoch, head): mine goes on, another's is adopted (C3, C5)
//	ACK      tell whoever waits that the head moved; a hint (C4)
//
// Every step before COMMIT leaves nothing that counts, so a process may end between any
// two of them. After COMMIT the chain itself says where to go on.
//
// # Invariants
//
//	N1  A partition's records form one chain without gaps: a record is created only at the
//	    key that continues the chain as this process has read it.
//	N2  A record is tried with the same bytes until its outcome is known, so a lost reply
//	    is found again as "mine". Adopting it as another's would be as right, and cost
//	    reading the open messages again.
//	N3  Nothing is deleted here.
//	N4  A message is handed to a segment only under the sequence that is wanted next. What
//	    the log no longer has stops the partition (C7), never is skipped.
//
// The package does no I/O of its own: it takes a Source, a CommitLog and Objects.
package landing
