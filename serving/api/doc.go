// Package api answers queries over HTTP: it pins a publication, asks both layers,
// merges what they say and writes it as JSON, CSV or Arrow.
//
// # A query, step by step
//
//	Q1  pin one publication for the whole query
//	Q2  ask the speed layer for [H, S); where it no longer reaches back to H, begin again
//	    at Q1, at most MaxRestarts times; where it is down, take nothing there: S = H
//	Q3  read the batch view by the pin; rows that have been collected begin again at Q1
//	Q4  merge, and say which publication, positions, lag and bounds the answer has
//	Q5  so an answer is an exact prefix of the log plus stated sketch error, or an error
//
// Speed is asked before batch: that tells which windows need sketches.
package api
