// Package object is the Parquet of the lake: it writes the events of a segment and event
// type as one object (C2), and reads objects column by column. It does no I/O of its own;
// package lake stores what it writes.
package object
