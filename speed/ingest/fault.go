package ingest

import (
	"time"

	"recount/schemas/problem"
)

// fault is a refused event or request; status is 0 for an event.
type fault struct {
	code   problem.Code
	msg    string
	status int
	retry  time.Duration // of a 429 or 503, when it is known; else Config.RetryAfter
}

// rejection is a refused event in an answer.
type rejection struct {
	index  int
	id     string
	code   problem.Code
	msg    string
	letter string // name of the dead letter; empty when it is not kept
}
