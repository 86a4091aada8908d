// Package exact computes the batch view: it removes duplicates and aggregates the
// events of dirty buckets, exactly. It is pure: Arrow columns of committed objects
// in, columnar aggregates out; it knows no log, no store and no clock.
//
// # Two passes
//
// Rows of a file are ordered by time, then position, so a later row may have the
// lower position and win (B2). A first pass therefore reads only identity columns
// and marks the losers; a second reads only what the views use and aggregates the
// rest. No column is decoded twice, except the time of buckets that are cut into slices.
//
// # Order, and why the rows are the same bit for bit (B1)
//
// Rows are visited by partition, then segment, then file order; float sums add in
// that order, one sum a group. The rows of one bucket leave ordered by cell and,
// within a cell, by first appearance in that order. Work is cut into spans of
// buckets and, where one bucket is large, into slices of whole cells: a group
// never crosses a cut, so neither the cuts nor the number of workers can be seen
// in the result.
package exact
