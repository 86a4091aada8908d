// Package merge turns what the batch layer and the speed layer each know of a scan
// into one answer (Q4). It is pure: no I/O, no clock, no goroutines.
//
// # What a value means
//
//	count, sum   batch + live; a sum is null where no event of the group has the field
//	avg          the merged sum over the merged number of values; null without values
//	min, max     the smaller or larger of both; null without values
//	distinct     exact where the live part adds nothing or is small enough to tell;
//	             else E + max(0, |B ∪ L| − |B|), between stated bounds (see distinct.go)
//
// A row has a live part when the speed layer has events of its group. For count and
// sum the live value is what the speed layer added, for distinct the values it is
// taken to have added, for avg, min and max the value of its events alone.
//
// # Order
//
// Rows are ordered by order_by, then by time, then by the dimensions as group_by lists
// them, so that the order is total and the same query gives the same rows. Strings
// compare by bytes, false before true. A null comes last, whether the key ascends or
// descends: a top ten must not begin with the groups that have no value.
package merge
