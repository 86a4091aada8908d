package ingest

import (
	"math"
	"net/http"
	"strconv"
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
		if r.code.retryable() {
			a.status = http.StatusServiceUnavailable
			a.problem = &fault{code: r.code, status: a.status, msg: r.msg}
			return a
		}
	}
	if accepted == 0 && len(rejected) > 0 {
		a.status = http.StatusBadRequest
		a.problem = &fault{code: CodeAllRejected, status: a.status, msg: "every event was refused; rejected says why"}
	}
	return a
}

// append appends the answer as JSON.
func (a *answer) append(b []byte) []byte {
	b = append(b, '{')
	if p := a.problem; p != nil {
		b = append(b, `"type":"about:blank","title":`...)
		b = appendText(b, http.StatusText(a.status))
		b = strconv.AppendInt(append(b, `,"status":`...), int64(a.status), 10)
		b = appendText(append(b, `,"code":`...), string(p.code))
		b = appendText(append(b, `,"detail":`...), p.msg)
		if a.letter != "" {
			b = appendText(append(b, `,"dead_letter":`...), a.letter)
		}
		if !a.counted {
			return append(b, "}\n"...)
		}
		b = append(b, ',')
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
	return append(b, "\"}\n"...)
}

func appendText(dst []byte, s string) []byte { return appendString(dst, []byte(s)) }

// write sends the answer.
func (s *Server) write(w http.ResponseWriter, q *request, a answer) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if a.problem != nil {
		h.Set("Content-Type", "application/problem+json")
	}
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		wait := max(a.problem.retry, s.cfg.RetryAfter)
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Encoding", "gzip, zstd")
	}
	q.out = a.append(q.out[:0])
	h.Set("Content-Length", strconv.Itoa(len(q.out)))
	w.WriteHeader(a.status)
	// A client that went away is of no concern: its events are stored and a retry is absorbed.
	_, _ = w.Write(q.out)
}
