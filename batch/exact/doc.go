// Package exact computes the batch view: it removes duplicates from the events of dirty buckets
// and aggregates the rest exactly. It is pure. Arrow columns of committed objects come in and
// columnar aggregates go out; the package knows no log, no store and no clock.
//
// # Two passes
//
// The rows of a file are ordered by time, then position, so a later row may have the lower
// position and win (B2). The first pass therefore reads the identity columns alone and marks the
// duplicates. The second pass reads the columns that the views use and aggregates the other rows.
// No column is decoded twice, except the time of a bucket that is cut into slices.
//
// # Order, and why the rows are the same bit for bit (B1)
//
// Rows are visited by partition, then segment, then file order. Sums are exact, of floats too
// (package floatsum), so they do not depend on that order. The rows of a bucket are emitted by cell
// and, within a cell, in the order in which the groups first appeared. Work is cut into spans of
// buckets and, where one bucket is large, into slices of whole cells. A group never crosses a cut, so
// a result shows neither the cuts nor the number of workers.
package exact
