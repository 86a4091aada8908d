// Package batchview reads the batch view from ClickHouse. It returns the rows that a publication
// pins, grouped as a scan asks, and nothing else (Q3).
//
// # One statement
//
// A scan is one SELECT whose branches are joined by UNION ALL: windows whose rows need no sketches,
// windows whose rows need them, overflow that conditions hide, and the list of the table's parts. A
// sketch takes kilobytes, so there are sketches of those windows only in which the speed layer has events.
//
// A group of at most distinct.MaxHashes values gets its united set, with which live values are united exactly. A larger
// one gets a sketch, which follows from the set, so none is stored. If the pinned rows have few enough bytes of sets,
// which the proof knows, the statement returns all united sets, and the registers are computed here. Otherwise
// ClickHouse computes the registers of each row. The bytes of the sets also say how much memory ClickHouse needs, so
// that it need not begin again.
//
// # The proof
//
// A publication states the number of rows of each (bucket, ver), and their checksum. A table consists of
// parts, and a part never changes: a merge, a deletion or an edit makes a part of another name, and no
// name is given again. So each part is read whole once, and the process remembers what it holds of each
// (bucket, ver). What all parts of a list hold together must be what the publication says, for each
// pinned bucket of the scan. Otherwise the scan fails with an error that wraps query.ErrCollected.
//
// ClickHouse decides which parts a statement reads when it analyses it, and lists parts later, when it
// builds the pipeline (TestListFollowsTheRead). So if the list of the statement equals a list of parts
// that were all read before, then the scan read these very parts. If not, the new parts are read, and
// the scan runs again. The list names the server and the hash of the files too, because replicas can
// have different parts of one name.
//
// Rejected: to count the pinned rows in the same statement. It costs a second read, and misses every
// edit. Also rejected: checksums of the columns that the scan reads. With conditions it reads some rows
// of a bucket, and no publication can state the checksums of all such sets.
//
// # What the proof spares
//
// The proof also remembers what most rows have in common, and a statement leaves out what it need not read. If the
// pinned rows are of one tenant, it compares no tenants. If a count equals the number of events in all of them, it
// reads the events. If no dimension has the overflow value, it does not count overflowed events. These facts are as
// of the listing, so they hold for the rows that the statement reads, or it runs again.
//
// # Keys
//
// ClickHouse groups by one number in half the time that it takes for several keys with a string among them, because it
// copies those into one string for each row. So a statement sends the values of the dimensions, and groups by one
// number that is made of the window and of the places of a row's values. ClickHouse looks values up once for each entry
// of a dictionary. The values are those that earlier answers over the table had, so the first scan has none. They prove
// nothing: all other values have one place of their own, and a scan that finds it runs again without codes. A dimension
// with more than a thousand values, or 16 KiB of them, has no codes.
//
// Where each window is a bucket or a cell, rows are grouped by that column, and windows are numbered for each group and
// not for each row.
//
// # Pins
//
// If the table has no other rows between the first and the last pinned bucket, which the proof knows, the
// range of buckets is the condition, or nothing if the table has no others at all. If few versions have other rows
// there, these are excluded. Otherwise each row is compared with the pins.
// Buckets that follow each other with one version are a run. One run is a range of the primary
// key. Several runs are two constant strings (pins.lookup). If the range has many gaps, they are a set of
// (bucket, ver), which ClickHouse expands in a subquery.
// Measured over 1 M rows: 100 runs as OR of ranges take 96 ms. 100 pairs as a list of tuples take
// 8 ms, and 1,000 pairs 57 ms. The subquery takes 5 and 7 ms.
//
// # Sums of floats
//
// A sum is exact (B6): ClickHouse adds integers, so the answer does not depend on the order in which it reads
// rows. A scan adds the near parts, and asks only whether there are far parts. If there are, which is rare,
// it runs again and adds them as well. Rows from before sums were exact are in another table and are read
// with other columns.
//
// # Windows and values
//
// ClickHouse finds the window of a row by integer arithmetic on microseconds, from boundaries that
// Go computed. Its time zones are never used. Values that a user wrote are server-side parameters.
// Numbers that recount computed (boundaries, buckets, versions) are part of the statement, because
// parameters are part of the URL, which servers limit to a megabyte.
package batchview
