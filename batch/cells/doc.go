// Package cells keeps the cells of the batch views in ClickHouse. Each row belongs to a view, a
// bucket and a version, and counts once a publication names that version. The package decides
// nothing: package publish does, through an interface that it declares.
//
// # SQL
//
// The table recount_published repeats the publication chain in ClickHouse. For each view there is
// a SQL VIEW of the same name, which shows the newest publication that is repeated completely. Its
// columns are time (start of the cell), tenant, the dimensions, and for a measure m:
//
//	count     m
//	sum       m, null without values
//	avg       m, null without values; the average over several cells is sum(m__sum) / sum(m__n)
//	min, max  m, null without values
//	distinct  m; the distinct count over several cells is uniqExactMerge(m__state)
//	quantile  m__p50, m__p95, m__p99, null without values; the bins over several cells are sumMap(m__bins)
//
// A sum of floats is a Float64 here, to be read by people. SQL adds Float64 in any order, so the last bits
// of its totals may differ from time to time, and from the exact sum that a query of recount answers.
//
// # Connections
//
// An INSERT is encoded while it is sent, so net/http cannot send it a second time. Over HTTP, a connection that the
// other side has closed while it was idle therefore fails an attempt at a publication. The next attempt dials.
package cells
