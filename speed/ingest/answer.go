package ingest

import (
	"net/http"
	"strconv"

	"recount/schemas/problem"
)

// answer is the body of a response: accepted, rejected and receipt, and the members
// of a problem (RFC 9457) when the status is not 200.
type answer struct {
	status   int
	problem  *fault // nil when 200
	counted  bool   // the request was decoded, so events were accepted or rejected
	accepted int
	rejected []rejection
	places   []Place
	letter   string // name of the dead letter that holds the whole request
}

// judge chooses the status. 200 means that every event is durable or refused for
// good, so a client that looks at nothing but the status loses nothing: if one
// event should be sent again, the whole request may be, and counts once.
func judge(accepted int, rejected []rejection, places []Place) answer {
	a := answer{status: http.StatusOK, counted: true, accepted: accepted, rejected: rejected, places: places}
	for _, r := range rejected {
		if r.code.RetryEvent() {
			a.status = http.StatusServiceUnavailable
			a.problem = &fault{code: r.code, status: a.status, msg: r.msg}
			return a
		}
	}
	if accepted == 0 && len(rejected) > 0 {
		a.status = http.StatusBadRequest
		a.problem = &fault{code: problem.AllRejected, status: a.status,
			msg: "every event was refused; rejected says why"}
	}
	return a
}

// append appends the members of the answer as JSON, without braces. Those of a problem come after its own.
func (a *answer) append(b []byte) []byte {
	switch {
	case !a.counted && a.letter != "":
		return appendText(append(b, `"dead_letter":`...), a.letter)
	case !a.counted:
		return b
	}
	b = strconv.AppendInt(append(b, `"accepted":`...), int64(a.accepted), 10)
	b = append(b, `,"rejected":[`...)
	for i, r := range a.rejected {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"index":`...), int64(r.index), 10)
		b = appendText(append(b, `,"id":`...), r.id)
		b = appendText(append(b, `,"code":`...), string(r.code))
		b = appendText(append(b, `,"message":`...), r.msg)
		if r.letter != "" {
			b = appendText(append(b, `,"dead_letter":`...), r.letter)
		}
		b = append(b, '}')
	}
	b = append(b, `],"receipt":"`...)
	if len(a.places) > 0 {
		b = appendReceipt(b, a.places)
	}
	return append(b, '"')
}

func appendText(dst []byte, s string) []byte { return appendString(dst, []byte(s)) }

// write sends the answer.
func (s *Server) write(w http.ResponseWriter, q *request, a answer) {
	if a.problem != nil {
		q.out = a.append(q.out[:0])
		s.refuse(w, a.problem, q.out)
		return
	}
	q.out = append(a.append(append(q.out[:0], '{')), "}\n"...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(q.out)))
	w.WriteHeader(a.status)
	// A client that went away is of no concern: its events are stored and a retry is absorbed.
	_, _ = w.Write(q.out)
}

// refuse answers with a problem and further members.
func (s *Server) refuse(w http.ResponseWriter, f *fault, members []byte) {
	p := problem.Problem{Status: f.status, Code: f.code, Detail: f.msg, Members: members}
	h := w.Header()
	switch f.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.RetryAfter = max(f.retry, s.cfg.RetryAfter)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Encoding", "gzip, zstd")
	}
	if f.status >= http.StatusInternalServerError {
		s.logger.Debug("events refused", "request_id", problem.RequestID(w), "code", f.code, "detail", f.msg)
	}
	problem.Write(w, &p)
}
