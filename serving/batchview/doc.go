// Package batchview reads the batch view from ClickHouse: the rows a publication pins,
// grouped as a scan asks, and nothing else (Q3).
//
// # One statement
//
// A scan is one SELECT with up to three branches joined by UNION ALL: windows whose rows
// need no sketches, windows whose rows do, and the guard. Every sketch is kilobytes, so only
// the windows that events of the speed layer fell in read them.
//
// # The guard
//
// A publication names the number of rows of every (bucket, ver). The guard branch counts
// the rows behind the same pins, whatever their tenant, and sums a hash of their buckets; both
// must be what the publication says, else the scan fails with an error that wraps
// query.ErrCollected. The sum tells a row missing in one bucket and surplus in another from
// two right ones without returning a row a bucket. The guard stands in the statement of
// the data, behind it, because rows of a version only ever disappear: a guard that ran before
// the data was read would prove nothing about what the data saw.
//
// A scan without conditions over whole buckets reads every pinned row of its tenant. Its groups
// count what they read, and if that is all there should be, it is proof without a branch.
// If not, rows are missing or another tenant has some, so the scan runs again with the guard, and
// so do all scans from then on.
//
// # Pins
//
// Buckets that follow each other with one version are a run. One run is a range of the
// primary key. Several are a set of (bucket, ver) that ClickHouse expands from the runs in
// a subquery. Measured over 1 M rows: 100 runs as OR of ranges 96 ms, 100 pairs as a
// list of tuples 8 ms and 1,000 pairs 57 ms, the subquery 5 and 7 ms.
//
// # Windows and values
//
// Windows are computed from the boundaries Go computed, by integer arithmetic on
// microseconds; ClickHouse's time zones are never asked. Whatever a user wrote travels as a server-side
// parameter. Numbers recount computed itself (boundaries, buckets, versions) are part of
// the statement, because parameters travel in the URL, which servers bound to a megabyte.
package batchview
