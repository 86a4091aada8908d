// Package changes says what changed between two publications: which cells have other values, what the values were and
// are, and why. It is pure: it compares the records of two publications and what was read of both. Package reader reads
// it, and package encode writes it.
//
// # Which buckets are read
//
// A publication names version, rows and checksum of each bucket (B4, B5). A bucket whose rows and checksum are those of
// the other publication has the same cells, whatever its version: it is not read. Of the others both versions are read,
// each with its proof (Q3). Where the definition of the view differs, so do the tables, and all buckets are read.
//
// # Causes
//
// Only what the two records prove is said. A bucket's rows follow from the events below H, the definition and the
// program's rules alone (B1), so a bucket differs because one of these does:
//
//	late_events     more events of the type count in the bucket, and it had ended when the old publication was made
//	new_events      the same, of a bucket or cell that had not ended then
//	copies_removed  events that counted are known to be copies now
//	definition      the view is defined otherwise
//	fill            one of the publications has the view not filled down to the bucket (B8)
//	retention       objects of the type are retired, and the view was computed without them
//	limit           another limits.cardinality lets other values overflow (B7)
//	reading         an earlier program read stored events by other rules (record.CurrentReading)
//	rounding        an earlier program rounded sums of floats in each cell (B6)
//	unknown         none of these: another version of the program computed other rows
//
// The last five but unknown are corrections. A bucket can have several causes, and a cell has those of the buckets that
// its window touches. The counts of a type are those of all tenants, so a cause is said only of a cell that changed.
//
// Rejected: to take apart how much of a difference each cause makes. The publications between the two would have to be
// read, and they are not kept.
package changes
