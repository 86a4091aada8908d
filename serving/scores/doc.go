// Package scores grades the speed layer by the batch layer over the same messages (A2).
//
// When publication n replaces n-1, the events of [H of n-1, H of n) have been counted twice, once
// by each layer. A grade takes buckets that n changed. It computes the answer that a client would
// have got when the log ended at H of n and the pin was still n-1. It compares each value of each
// group of that answer with what n says. No client's answers are sampled or stored, because both
// answers can be computed as long as n-1 is kept.
//
// Three kinds of difference are expected. The error of a sketch must be within the bounds that were
// stated. Copies of events beyond the window of ids (D3) are counted until the publication that
// removes them, and no bounds state them. Values that ingest found too many are ~overflow until the publication that
// decides anew (B7).
package scores
