// Package jobs runs recount's scheduled work: recompute, collect, expire, audit, recheck and score.
// Each job is idempotent and has a file of its own. robfig/cron is only the clock.
//
// Jobs are level-triggered (J1): a run looks at what there is to do, not at why it was started.
// So missed, late and doubled runs are harmless, and a run with nothing to do ends at once.
// The ledger keeps the results of runs as create-only records.
package jobs
