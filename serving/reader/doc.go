// Package reader answers one query from both layers (Q1–Q5). It is a state machine
// without I/O of its own: publications, batch views and real-time views are arguments, so that
// a scheduler that loses, delays and collects things can drive the code that runs in production.
//
//	Q1 pin ──▶ Q2 ask speed for [H, S) ──▶ Q3 ask batch for the pin ──▶ Q4 merge
//	   ▲            │ pin expired                │ rows collected
//	   └────────────┴────────────────────────────┘ at most MaxRestarts times
//
// Speed is asked first: its answer is small, says which windows need sketches, and fixes S
// before the slow part begins. It may fail in two ways. A pin that expired starts the query
// again. Anything else (down, behind, view not ready) takes nothing from speed, S = H: the
// answer is older, still an exact log prefix, and lists all partitions as stale. So does
// a pin that expires again and again, and a publication asked for by as_of that the speed
// layer no longer reaches back to, because starting again would not change it. The batch
// layer may not fail: an answer without it would be a smaller number (Q5), so its failure is the query's.
package reader
