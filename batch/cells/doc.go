// Package cells keeps the cells of the batch views in ClickHouse: rows of (view,
// bucket, version), which count once a publication names their version. It decides
// nothing; package publish does, through the interface it declares.
//
// # SQL
//
// recount_published repeats in ClickHouse what the publication chain says, and a
// VIEW with each view's own name shows the newest publication that is completely
// repeated. Its columns are time (start of the cell), tenant, the dimensions, and
//
//	count     m
//	sum       m, null without values
//	avg       m, null without values; m__sum and m__n to average over cells: sum(m__sum) / sum(m__n)
//	min, max  m, null without values
//	distinct  m; m__state to unite cells: uniqExactMerge(m__state)
package cells
