// Package problem is how every HTTP handler refuses a request: application/problem+json
// (RFC 9457) with a stable code, never cached, and with the request's id. Clients decode
// the same type.
package problem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ContentType is the media type of every problem.
const ContentType = "application/problem+json"

// Problem is the body of a refusal. Write fills in Type, Title and RequestID.
type Problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Code      Code     `json:"code"`
	Detail    string   `json:"detail"` // for people
	RequestID string   `json:"request_id"`
	Field     string   `json:"field,omitempty"`   // the part of the request that is wrong
	Reasons   []string `json:"reasons,omitempty"` // of not_ready and of mistakes in declarations

	// RetryAfter is sent as the header Retry-After, in seconds rounded up. Zero sends none.
	RetryAfter time.Duration `json:"-"`
	// Members are further members of the JSON object as text, without braces. They may be empty.
	Members []byte `json:"-"`
}

// New returns a problem without optional members.
func New(status int, code Code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

// Error names the code, the detail and the reasons. An answer without a code is not one of recount's.
func (p *Problem) Error() string {
	switch {
	case p.Code == "":
		return fmt.Sprintf("status %d: %s", p.Status, p.Detail)
	case len(p.Reasons) > 0:
		return fmt.Sprintf("%s: %s: %s", p.Code, p.Detail, strings.Join(p.Reasons, "; "))
	}
	return string(p.Code) + ": " + p.Detail
}

// Write answers with the problem. p is not changed, so handlers may share one.
func Write(w http.ResponseWriter, p *Problem) {
	body := p.encode(w.Header())
	w.WriteHeader(p.Status)
	for _, part := range body {
		_, _ = w.Write(part) // The client may be gone, and then no answer reaches it.
	}
}

// WriteConn answers with the problem on a connection that no http.Server serves, and says
// that the connection ends.
func WriteConn(c io.Writer, p *Problem) error {
	header := http.Header{}
	body := bytes.Join(p.encode(header), nil)
	answer := http.Response{StatusCode: p.Status, ProtoMajor: 1, ProtoMinor: 1, Header: header, Close: true,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
	return answer.Write(c)
}

// JSON returns the problem of a request as a JSON object, without Members.
func (p *Problem) JSON(requestID string) []byte {
	filled := *p
	filled.Type = "about:blank"
	filled.Title = http.StatusText(p.Status)
	filled.RequestID = requestID
	var encoded bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	_ = e.Encode(filled) // Texts and a number always encode.
	return bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))
}

// encode sets the answer's headers and returns the parts of its body. Members are not
// copied: the list of rejected events may be long.
func (p *Problem) encode(h http.Header) [][]byte {
	id := h.Get(RequestIDHeader)
	if id == "" {
		id = newRequestID()
		h.Set(RequestIDHeader, id)
	}
	raw := p.JSON(id)
	body := [][]byte{raw, []byte("\n")}
	if len(p.Members) > 0 {
		body = [][]byte{raw[:len(raw)-1], []byte(","), p.Members, []byte("}\n")}
	}
	size := 0
	for _, part := range body {
		size += len(part)
	}
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	return body
}
