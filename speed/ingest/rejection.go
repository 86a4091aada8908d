package ingest

import "recount/schemas/problem"

// rejection is the reason why an event is refused. A refused request has a problem.Problem.
type rejection struct {
	code    problem.Code
	message string
}

// rejectedEvent is an event in the list of rejections of an answer.
type rejectedEvent struct {
	rejection
	index      int // in the request
	id         string
	deadLetter string // name of the dead letter; empty when the event is not kept
}
