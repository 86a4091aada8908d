// Package eventlog is the durable ordered log: it stores bytes and knows nothing of events.
// No other package imports the NATS client.
//
// The code is the same for an embedded server and for a cluster.
//
// # Streams
//
// Each partition p is one JetStream stream. The prefix is "recount".
//
//	stream    <prefix>-p<p>
//	subject   <prefix>.p<p>
//	metadata  recount_partitions: the number of partitions
//	payload   one frame of package eventbatch
//	headers   Nats-Expected-Stream: the stream
//	          Nats-Msg-Id: <random name of the process>-<p>-<number>, from ingest; heartbeats have none
//
// # The rules it keeps (schemas/PROTOCOL.md)
//
//	L1  Append returns a sequence only after the server's ack. With durability strict, the log
//	    opens only where an ack means an fsync (embedded) or three replicas (outside).
//	L4  A stream keeps every message until Trim: file storage, no age limit, discard new,
//	    no message delete. Open reads the effective settings back and refuses any difference.
//	    A full log answers ErrFull; it never loses a message.
//	L7  A message id absorbs resends within thirty seconds. No guarantee depends on it.
//
// A Reader returns every sequence exactly once and in order, or fails with position.ErrGap or ErrTrimmed.
// It never skips a message. It also fails if the log lost its end and was filled again.
//
// Trim and Advance carry out what L6 and L5 decide. The caller decides, because it knows the chain
// heads and publications. Recover computes the decision of L5 from what the caller knows.
//
// DESIGN.md says why it is built this way.
package eventlog
