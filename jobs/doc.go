// Package jobs runs recount's scheduled work: recompute, collect, expire, audit, recheck and score,
// one idempotent job a file, on robfig/cron as a clock and nothing more.
//
// Jobs are level-triggered (J1): a run looks at what there is to do, not at why it
// was started, so missed, late and doubled runs are harmless and a run with
// nothing to do ends. What a run came to is kept in a ledger of create-only records.
package jobs
