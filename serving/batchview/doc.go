// Package batchview reads the batch view from ClickHouse. It returns the rows that a publication
// pins, grouped as a scan asks, and nothing else (Q3).
//
// # One statement
//
// A scan is one SELECT with up to three branches, joined by UNION ALL: windows whose rows need no
// sketches, windows whose rows need them, and the guard. A sketch takes kilobytes, so only the
// windows in which the speed layer has events read sketches.
//
// # The guard
//
// A publication states the number of rows of each (bucket, ver). The guard branch counts the rows
// with the same pins, of all tenants, and sums a hash of their buckets. Both must equal what the
// publication says. Otherwise the scan fails with an error that wraps query.ErrCollected. The
// sum detects a row that is missing in one bucket and surplus in another, without returning a row
// for each bucket. The guard is in the same statement as the data, after the data, because rows of a
// version only ever disappear. A guard before the data would prove nothing about what was read.
//
// A scan without conditions over whole buckets reads every pinned row of its tenant. Its groups
// count the rows that they read. If these are all pinned rows, they are the proof, and no guard
// branch is needed. If not, rows are missing or another tenant has some. The scan then runs again
// with the guard branch, and so do all later scans.
//
// # Pins
//
// Buckets that follow each other with one version are a run. One run is a range of the primary
// key. Several runs are a set of (bucket, ver), which ClickHouse expands in a subquery.
// Measured over 1 M rows: 100 runs as OR of ranges take 96 ms. 100 pairs as a list of tuples take
// 8 ms, and 1,000 pairs 57 ms. The subquery takes 5 and 7 ms.
//
// # Windows and values
//
// ClickHouse finds the window of a row by integer arithmetic on microseconds, from boundaries that
// Go computed. Its time zones are never used. Values that a user wrote are server-side parameters.
// Numbers that recount computed (boundaries, buckets, versions) are part of the statement, because
// parameters are part of the URL, which servers limit to a megabyte.
package batchview
