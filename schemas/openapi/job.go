package openapi

import "time"

// Report is the result of a job's run.
type Report struct {
	Rows        int64  `json:"rows,omitempty"`        // rows written or removed
	Publication uint64 `json:"publication,omitempty"` // the publication created or found
	Message     string `json:"message,omitempty"`     // one line for a person
}

// Trigger says what started a run.
type Trigger string

// The triggers of a run.
const (
	OnSchedule Trigger = "schedule"
	OnRequest  Trigger = "request"
)

// Run is one execution of a job, as the ledger keeps it. End is zero while the job runs.
type Run struct {
	ID      string    `json:"id"`
	Job     string    `json:"job"`
	Trigger Trigger   `json:"trigger"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end,omitzero"`
	Error   string    `json:"error,omitempty"`
	Report
}

// Job is a job with its next start and its latest runs.
type Job struct {
	Name     string    `json:"name"`
	Schedule string    `json:"schedule"`
	Next     time.Time `json:"next,omitzero"`
	Running  bool      `json:"running"`
	Runs     []Run     `json:"runs"` // newest first
}
