package ingest

import (
	"net/http"
	"strconv"

	"recount/schemas/problem"
)

// answer is the body of a response. The members accepted, rejected and receipt are the same
// with status 200 and in a problem (RFC 9457).
type answer struct {
	problem    *problem.Problem // nil with status 200
	decoded    bool             // the request was decoded, so its events were accepted or rejected
	accepted   int
	rejected   []rejectedEvent
	places     []Place
	name       []byte // of the installation, in receipts
	deadLetter string // name of the dead letter that holds the whole request
	coerced    int    // accepted events of which a value was converted
	discovered []byte // event types that the request has declared, as JSON with commas between them
}

// newAnswer chooses the status. 200 means that every event is durable or refused for good.
// So a client that looks only at the status loses nothing: when one event has to be sent
// again, the whole request may be sent again, and each event counts once.
func newAnswer(accepted int, rejected []rejectedEvent, places []Place) answer {
	a := answer{decoded: true, accepted: accepted, rejected: rejected, places: places}
	for _, e := range rejected {
		if e.code.RetryEvent() {
			a.problem = problem.New(http.StatusServiceUnavailable, e.code, e.message)
			return a
		}
	}
	if accepted == 0 && len(rejected) > 0 {
		a.problem = problem.New(http.StatusBadRequest, problem.AllRejected,
			"every event was refused; the member rejected has the reason for each")
	}
	return a
}

// appendJSON appends the members of the answer, without braces.
func (a *answer) appendJSON(b []byte) []byte {
	switch {
	case !a.decoded && a.deadLetter != "":
		return appendText(append(b, `"dead_letter":`...), a.deadLetter)
	case !a.decoded:
		return b
	}
	b = strconv.AppendInt(append(b, `"accepted":`...), int64(a.accepted), 10)
	b = append(b, `,"rejected":[`...)
	for i := range a.rejected {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.rejected[i].appendJSON(b)
	}
	b = append(b, `],"receipt":"`...)
	if len(a.places) > 0 {
		b = appendReceipt(b, a.name, a.places)
	}
	b = append(b, '"')
	if a.coerced > 0 {
		b = strconv.AppendInt(append(b, `,"coerced":`...), int64(a.coerced), 10)
	}
	if len(a.discovered) > 0 {
		b = append(append(append(b, `,"discovered":[`...), a.discovered...), ']')
	}
	return b
}

func (e *rejectedEvent) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(e.index), 10)
	b = appendText(append(b, `,"id":`...), e.id)
	b = appendText(append(b, `,"code":`...), string(e.code))
	b = appendText(append(b, `,"message":`...), e.message)
	if e.deadLetter != "" {
		b = appendText(append(b, `,"dead_letter":`...), e.deadLetter)
	}
	return append(b, '}')
}

func appendText(dst []byte, s string) []byte { return appendString(dst, []byte(s)) }

// writeAnswer sends the answer.
func (s *Server) writeAnswer(w http.ResponseWriter, q *request, a answer) {
	a.name = s.name
	if a.problem != nil {
		q.answerBuffer = a.appendJSON(q.answerBuffer[:0])
		s.writeProblem(w, a.problem, q.answerBuffer)
		return
	}
	q.answerBuffer = append(a.appendJSON(append(q.answerBuffer[:0], '{')), "}\n"...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(q.answerBuffer)))
	w.WriteHeader(http.StatusOK)
	// The client may be gone. Its events are stored, and the copies of a retry count once.
	_, _ = w.Write(q.answerBuffer)
}

// writeProblem answers with a copy of p that has the members of an answer, and with the
// headers that belong to its status.
func (s *Server) writeProblem(w http.ResponseWriter, p *problem.Problem, members []byte) {
	filled := *p
	filled.Members = members
	h := w.Header()
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		filled.RetryAfter = max(p.RetryAfter, s.cfg.RetryAfter)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Encoding", "gzip, zstd")
	}
	if p.Status >= http.StatusInternalServerError {
		s.logger.Debug("a request of events was refused", "request_id", problem.RequestID(w), "code", p.Code,
			"detail", p.Detail)
	}
	problem.Write(w, &filled)
}
