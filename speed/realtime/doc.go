// Package realtime keeps the real-time views: for each partition of the log, the aggregates of all
// messages from some base on. They are in memory, and exact except for sketches.
//
// One goroutine per partition reads the log in order, removes duplicates, and adds the other events to
// the open segment. The cut rule (C1) closes segments; a closed segment never changes again. A scan
// with the cut H merges the closed segments from H on and the open one. So its answer is that of the
// messages [H, S) and of no others (Q5).
//
// DESIGN.md says why it is built this way.
//
// # The rules it keeps (schemas/PROTOCOL.md)
//
//	S1  There is one immutable segment for each range of the cut rule, and one open segment.
//	S2  A partition refuses a cut that is not a segment boundary, and never approximates.
//	S3  Retain evicts only segments that end at or before the H it is given.
//	S4  Every scan compares its cut with the base. A partition refuses a cut below its base.
//	S5  A snapshot is complete at a segment boundary, or it is not used at all.
//	S7  Changed views are counted from the oldest kept publication on before they replace the others.
//	D2  An id is marked as seen by the same step that counts its event.
//	Q2  A partition that has stopped, has not reached the cut or refuses it gives nothing and is listed as stale.
//
// A message that does not decode, or a sequence that is not the next one, stops its partition with an
// alarm. Nothing is skipped: the partition continues when the oldest kept publication covers the
// message that stopped it.
//
// # Duplicates
//
// An event at position x is a duplicate in two cases. A position before x holds the same key in the
// same bucket (I2), whether that copy was counted or not. Or the time of the event was assigned, and a
// position before x holds the same key with an assigned time in the bucket before or after (I3). Keys are
// compared within one event type, as the batch view does.
//
// The window keeps 128 bits of each identity, so a false positive has the probability 2^-128. An
// identity is forgotten Config.Window after its message was appended, or earlier if the partition
// would remember more than its share of Config.WindowEntries. Copies that come later count (D3).
//
// # Memory
//
// Aggregates have a budget, Config.Memory, which the partitions share evenly. A partition whose share
// is used up stops reading until Retain evicts: S does not move, and answers stay exact and become
// older. Status and the metric recount_realtime_stalled report it. A message is always consumed as a
// whole, so a partition may exceed its share by what one message adds.
//
// The id window has its own budget, Config.WindowEntries, which the partitions share too. An entry
// needs about 27 bytes, and an event with an assigned time has two entries.
//
// # Snapshot file, version 4
//
// One file holds one partition at a segment boundary, the start of its open segment. The
// name is pPPP-NNNNNNNNNNNNNNNNNNNN.snap: partition and a number that only grows. Numbers are
// little endian; a list is its length as uint64 and its items; text is a list of bytes.
//
//	offset size
//	0      8    magic "RCNSNAP4"
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
//	  list of views, those of the catalog by event type and name: text name, text digest, text event type,
//	    which for a definition that a view had before ends with a slash and a number, and is a type of its own below,
//	  text id of the installation (I8).
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
//	        sum, avg   uint64 values, then int64 high and uint64 low half;
//	                   for floats uint64 values, then 4 × uint64 near; after all rows a list of the rows
//	                   with far values: uint32 row, uint8 bins, and each as package floatsum says
//	        min, max   uint64 values, then int64 or float64
//	        distinct   uint16 number of hashes and each as uint64, or 65535 and 16,384 ranks of a byte
//	        quantile   uint16 number of bins and for each, by key, int16 key and uint64 values (package quantile).
//	                   Only views that a program declared which knows the kind have it, so the version stayed
//	kind 6, unconverted, at most once after a segment, for events of which a value could not be converted
//	  for each event type, view, bucket and tenant with such events, in this order: uint32 number of the event type
//	  among those that have views, uint32 number of the view in the type, int64 bucket start, uint32 tenant id,
//	  uint64 events. A snapshot without such events lacks the section.
//	kind 3, marks, once: uint64 entries of the window, then
//	  list of segments the window knows, in order: uint64 start, uint64 its first entry, counted
//	  from the oldest entry in the file, int64 newest append time
//	kind 4, identities, any number: at most 65,536 of 16 bytes, in the order of admission
//	kind 7, blocks, once, after the marks: list of uint64 number in the block's name, uint64 how many of its first
//	  identities are forgotten, uint64 how many follow, uint32 CRC-32C of the block
//	kind 5, end, once, last: uint64 number of sections before it
//
// A file of version 3 does not name the installation. One of version 2 also has sections of kind 4 in place of kind 7.
// Both are read, and the next snapshot has version 4. A file of another installation is not used.
//
// In version 1, "RCNSNAP1", a sum of floats was uint64 values and the rounded float64, and values of fields
// that were declared late were missing. So its segments are not used, and their messages are counted again.
// All else is as in version 2 and is used.
//
// # Block file, version 1
//
// Its name is pPPP-NNNNNNNNNNNNNNNNNNNN.ids, with the number of the first snapshot that refers to it. A block never
// changes. It goes when no kept snapshot refers to it.
//
//	offset size
//	0      8    magic "RCNIDS01"
//	8      8    uint64 number n of identities
//	16     16n  the identities, in the order of admission
package realtime
