// Package realtime keeps the real-time views: for every partition of the log the
// aggregates of the messages from some base on, exact but for the sketches, in memory.
//
// A partition is one goroutine that reads its log in order, removes duplicates and adds
// what is left to the open segment. The cut rule (C1) closes segments; a closed segment
// never changes again. A scan for the cut H takes the segments from H on and the open
// tail, so its answer is that of the messages [H, S) and no others (Q5).
//
// # The rules it keeps (schemas/PROTOCOL.md)
//
//	S1  One immutable segment per range of the cut rule, and the open tail.
//	S2  A cut that is no segment boundary is ErrNotBoundary, never an approximation.
//	S3  Retain evicts only segments that end at or before the H it is given.
//	S4  Every scan compares its cut with the base: below it is ErrPinExpired.
//	S5  Snapshots are complete at a segment boundary or not used at all.
//	D2  An id is marked as seen by the same step that counts its event.
//	Q2  A partition that is behind the cut or stopped gives nothing and says so.
//
// A message that does not decode, or a sequence that is not the next, stops its
// partition with an alarm. Nothing is skipped: it goes on when the oldest kept publication
// is beyond what stopped it.
//
// # Duplicates
//
// The event at position x is a duplicate when a position before x holds the same key in
// the same bucket (I2), whether that copy was counted or not; or when its time was
// assigned and a position before x holds the same key with an assigned time in the bucket
// before (I3). Keys are compared within one event type, as the batch view does. It differs from
// the batch view in one case: an assigned copy in the bucket before that comes later in the log, which
// takes a writer's clock that went back over a bucket's edge. Both copies count here until
// the publication that holds both.
//
// The window keeps 128 bits of each identity, so a false positive
// has the probability 2^-128; an identity is forgotten Config.Window after it was
// appended, or when Config.WindowEntries newer ones came, and its copies count from then on (D3).
//
// # Memory
//
// Aggregates have a budget, Config.Memory, shared evenly between the partitions. A
// partition at its share stops reading until Retain evicts: S stands still, answers stay
// exact and become older, Status and the metric recount_realtime_stalled say so. One
// message is always taken whole, so a share can be passed by what one message adds.
// The id window has its own bound: about 27 bytes an entry, 2 entries for an event whose
// time was assigned.
//
// # Snapshot file, version 1
//
// One file holds one partition at a segment boundary, the start of its open segment. The
// name is pPPP-NNNNNNNNNNNNNNNNNNNN.snap: partition and a number that only grows. Numbers are
// little endian; a list is its length as uint64 and its items; text is a list of bytes.
//
//	offset size
//	0      8    magic "RCNSNAP1"
//	8      …    sections, each:
//	            0  1  kind
//	            1  8  length n of the payload
//	            9  4  CRC-32C of kind, length and payload
//	            13 n  payload
//
//	kind 1, head, once, first
//	  uint32 partition, uint32 number of partitions, int64 bucket width in microseconds,
//	  uint64 base: the first message in the segments,
//	  uint64 next: the first message not in the snapshot,
//	  list of epochs: uint32 epoch, uint64 start, int64 cut interval in nanoseconds, int64 rows, int64 bytes,
//	  list of views by name: text name, text digest, text event type.
//	kind 2, segment, once for each, in order
//	  uint64 start, uint64 end, uint64 events, uint64 duplicates, int64 newest append time,
//	  for each event type that has views, by name: uint8 present, and if it is 1
//	    a dictionary of tenants and one of each column that is a dimension, by name:
//	      uint8 0 and a list of uint64 ends in the bytes that follow as text, or
//	      uint8 1 and a list of int64 (bool as 0 or 1); value i has the id i+1, id 0 is null
//	    for each view by name:
//	      list of uint32 keys, the same number for each row: cell start as low and high half,
//	        tenant id, the ids of the view's dimensions,
//	      for each row uint64 events,
//	      for each measure but count, for each row:
//	        sum, avg   uint64 values, then int64 high and uint64 low half, or float64
//	        min, max   uint64 values, then int64 or float64
//	        distinct   uint16 number of hashes and each as uint64, or 65535 and 16,384 ranks of a byte
//	kind 3, marks, once: uint64 entries of the window, then
//	  list of segments the window knows, in order: uint64 start, uint64 its first entry, counted
//	  from the oldest entry in the file, int64 newest append time
//	kind 4, identities, any number: at most 65,536 of 16 bytes, in the order of admission
//	kind 5, end, once, last: uint64 number of sections before it
package realtime
