// Package eventlog is the durable ordered log: bytes in, bytes out. It is the only
// importer of the NATS client and knows nothing of events.
//
// Each partition is one JetStream stream `<prefix>-p<N>` with one subject
// `<prefix>.p<N>`. The server may be embedded or a cluster; the code is the same.
//
// # What it promises
//
//	L1  Append returns a sequence only after the server's ack. With durability strict the log
//	    opens only where that ack means fsynced (embedded) or replicated three times (outside).
//	L4  A stream keeps every message until Trim: file storage, limits without age, discard new,
//	    no message delete. Open reads the settings in force back and refuses differences.
//	    A full log is ErrFull, never a lost message.
//	L7  The message id only absorbs resends within thirty seconds. Nothing relies on it.
//
// A Reader hands out every sequence exactly once and in order, or fails with ErrGap or ErrTrimmed; it never
// skips, and does not go on in a log that lost its end and was filled again. Trim and Advance do what L6
// and L5 decided; the decisions need chain heads and publications, which are the caller's. Recover is the
// decision of L5.
//
// # Rejected
//
// Ordered consumers of the client library: they resume by themselves and hide why.
// Fetch in place of Messages, whose channel heartbeats share, so that an overloaded reader may
// lose a delivery and ask again: by count it has no bound in bytes, or with one two
// messages a request (Prefetch by MaxFrame), and by bytes it makes channels for a million messages each time.
// Consumer acks: a restart resumes at the chain head, not where a server remembers (C4).
// Stream age limits and discard old: they would lose messages nobody has landed.
package eventlog
