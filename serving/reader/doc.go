// Package reader answers one query from both layers (Q1–Q6). It is a state machine without I/O
// of its own: publications, batch views and real-time views are arguments. So the simulation
// can delay, lose and collect things while it runs the code of production.
//
//	Q1 pin ──▶ Q2 ask speed for [H, S) ──▶ Q3 ask batch for the pin ──▶ Q4 merge
//	   ▲            │ pin expired                │ rows collected
//	   └────────────┴────────────────────────────┘ at most MaxRestarts times
//
// Speed is asked first. Its answer is small, it says which windows need sketches, and it fixes S
// before the slow part begins. Speed may fail in two ways:
//
//   - A partition refuses the cut. If the pin expired and there is a newer publication, the query starts
//     again. Else, after MaxRestarts restarts, and always for a publication that as_of names, the answer takes
//     nothing from this partition: there S = H, and the answer lists it as stale. The others give what they have.
//   - Anything else: speed is down, or does not have the view yet. The answer then takes nothing from
//     speed, so S = H. It is older, but still an exact log prefix, and it lists all partitions as stale.
//
// The batch layer may not fail. Without it the answer would be a smaller number (Q5), so the query
// fails.
//
// # Changes
//
// Changes compares two publications in mode exact. Both are pinned as by as_of, so nothing restarts but a scan whose
// rows are missing. Package changes says which buckets differ. They are read in chunks of whole windows, so the memory
// of a comparison does not grow with its range, and all changes are counted although few are listed.
//
// # Cache
//
// With Config.CacheBytes, the parts that the batch layer has answered are kept in memory (Q3). The key is the number
// and digest of the publication, the tenant, the view's definition, and all that the scan asks: range, windows,
// conditions, dimensions, measures, and windows with sketches. A publication never changes, so no entry grows old, and
// no tenant sees what another asked. The live part is never kept. It decides in which windows sketches are asked for,
// so merged questions about distinct counts are found only while it has values in the same windows.
package reader
