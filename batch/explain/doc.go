// Package explain says what became of an event: where it is, which views count it in which cell and publication, or why
// they do not. It also lists the newest events. It writes nothing.
//
// # The search
//
//	identity key ─▶ partition ─▶ objects with rows of the tenant ─▶ _key ─▶ rows ─▶ verdict
//	             (L3)        └─▶ the log from the chain head on  ─▶ _key ─┘
//
// All copies of an event are in one partition (I1, L3), so a search reads the objects of one partition and no others.
// Of each it reads the column _key, which is 16 bytes a row, and of the rows that it finds the other columns. A time of
// the event leaves out the rows of other buckets. There is no index: DESIGN.md of the batch layer has the figures, and
// says from which size on one would pay.
//
// The objects are read by ranges, and their digests are not compared: that would read each of them whole. A row counts
// as found only if its tenant, source and id are those that were asked for.
//
// # The verdict
//
// The events that are found are given to package exact as objects of one row each, with the views of their type. It
// decides which are copies, and gives the cell and group in which each view counts the others. So there is no second
// implementation of a view. If events of a bucket overflowed in the publication, exact computes that bucket of the
// view again, and its rows show which values have a row of their own (B7).
//
// # Bounds
//
// Two explanations run at once, and others are refused: one that waited would keep a place from queries. One reads
// eight objects at once, of each a quarter of a million keys at a time: about 64 MiB. It reads at most 128 MiB of the
// log in the event's partition, and 16 MiB in each other one, where only dead letters are looked for; of these it
// holds one message of each partition, and copies of the rows that it finds. Then it computes buckets with overflow
// again, one after another and of 500,000 rows together at most, for which package exact may use 64 MiB. It ends with
// its context. What was not searched is named in the answer.
//
// # The list
//
// A list has the events of one type and tenant, copies included, from the last one that was stored down. Within a
// partition this is the order of positions, so a cursor is a position for each partition: what arrives later is above
// it, and landing changes no position. Events are read from the committed objects below the chain head and from the log
// above it. Partitions are merged by the time at which the log stored the events.
//
// Rejected: the order of event time. A late event would have to be put into a page that was read already. The log is
// not in that order either, so each page would read all that has not landed.
//
// A page reads objects and messages within bounds (pageLimits), and for half of the time that it has. It may then be
// short or empty, with a cursor that goes on. An object is searched whole or not at all, because its rows are not in
// the order of positions. Where not even one could be searched, the page fails, because the next one would read the
// same.
package explain
