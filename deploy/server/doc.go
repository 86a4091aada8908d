// Package server wires the roles of recount into one process. It is the only package in
// which the layers meet.
//
//	                    ┌────────── engines: log · object store · ClickHouse ──────────┐
//	POST /v1/events ──▶ ingest ──▶ log ──▶ realtime ─────────────┐                     │
//	                                └────▶ landing ──▶ lake       ├──▶ api ──▶ answers │
//	                     jobs: recompute ──▶ publish ──▶ ClickHouse                    │
//	                           expire ──▶ trims the log · collect ──▶ removes versions │
//
// Open starts every part after the parts it depends on. Run serves until its context ends and
// then drains in the reverse order.
package server
