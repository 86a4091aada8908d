// Package scores grades the speed layer by the batch layer over the same messages (A2).
//
// When publication n takes the place of n-1, the events of [H of n-1, H of n) have been
// counted twice, once by each layer. A grade asks for buckets that n changed as they would
// have been answered when the log ended at H of n and the pin was still n-1, and compares
// every value of every group with what n says. Nothing is sampled from traffic and nothing
// is sent: both answers can be asked for as long as n-1 is kept.
//
// What differs is what an answer's accuracy block spoke of before: the error of a sketch,
// which must lie in the bounds that were stated, and copies beyond the window of
// duplicates (D3), which nothing states before the publication that removes them.
package scores
