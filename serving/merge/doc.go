// Package merge combines what the batch layer and the speed layer know of a scan into one
// answer (Q4). It is pure: no I/O, no clock, no goroutines.
//
// # What a value means
//
//	count, sum   batch + live; a sum is null where no event of the group has the field
//	avg          the merged sum over the merged number of values; null without values
//	min, max     the smaller or larger of both; null without values
//	distinct     exact where the live part adds nothing or is small enough to be counted;
//	             else E + max(0, |B ∪ L| − |B|), with stated bounds (see distinct.go)
//
// A row has a live part when the speed layer has events of its group. For count and sum the
// live value is what the speed layer added. For distinct it is the estimated number of values
// that the speed layer added. For avg, min and max it is the value of the live events alone.
//
// A derived number is computed from the finished values of its row, and its bounds from theirs. It has no live value.
//
// # Totals and others
//
// Totals add up all groups, and others those of each window that are in no row. Sums, extremes and bins of both layers
// add up exactly (Total, Rest). Sets of the speed layer are united, and the batch layer counts its own again.
//
// # Having
//
// The conditions of having keep rows by the values that the answer has for them, after fill and before
// order and limit. So a row that fill adds is compared too, and so is the row of a total.
//
// # Order
//
// Rows are ordered by order_by, then by time, then by the dimensions in the order of group_by.
// This order is total, so the same query gives the same rows. Strings compare by bytes, and
// false comes before true. A null comes last in both directions, because a top ten must not
// begin with groups that have no value.
package merge
