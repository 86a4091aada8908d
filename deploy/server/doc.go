// Package server wires the roles of recount into one process: the only place where
// the layers meet.
//
//	                    ┌────────── engines: log · object store · ClickHouse ──────────┐
//	POST /v1/events ──▶ ingest ──▶ log ──▶ realtime ─────────────┐                     │
//	                                └────▶ landing ──▶ lake       ├──▶ api ──▶ answers │
//	                     jobs: recompute ──▶ publish ──▶ ClickHouse                    │
//	                           expire ──▶ trims the log · collect ──▶ removes versions │
//
// Open brings everything up in the order in which each part can trust the one
// before; Run serves until its context ends and then drains in the reverse order.
package server
