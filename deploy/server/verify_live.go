package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"recount/batch/cells"
	"recount/batch/exact"
	"recount/deploy/verify"
	"recount/schemas/problem"
)

const (
	maxAckLog = 4 << 30 // bytes of a request
	// tellEvery bounds how often a client is told of progress, and tellWithin how long it
	// may take to hear of it: an answer may be long in coming, but not in being received.
	tellEvery  = 200 * time.Millisecond
	tellWithin = time.Minute
)

// liveEvidence is what this process has open, judged while it works: one core, so that it can go on.
func (s *Stack) liveEvidence() *verify.Evidence {
	return &verify.Evidence{
		Catalog: s.catalog, Partitions: s.cfg.Log.Partitions, Records: s.engines.records, Objects: s.engines.lake,
		Cells: cells.NewStore(s.engines.sql, s.catalog), Log: s.engines.log, Keep: s.cfg.Batch.Keep,
		Kept:      s.publisher.Kept,
		Exact:     exact.Config{Workers: 1, Memory: max(s.cfg.Batch.Memory/4, exact.LeastMemory)},
		OneWriter: s.cfg.ObjectStore.URL == Embedded,
	}
}

// verifyHandler serves POST /v1/verify: the body is an acknowledgement log or empty, the
// answer lines of progress and then the report. One runs at a time.
func (s *Stack) verifyHandler() http.Handler {
	var running sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
				r.Method+" is not allowed here; use POST"))
			return
		case !running.TryLock():
			problem.Write(w, &problem.Problem{Status: http.StatusConflict, Code: problem.VerifyRunning,
				Detail: "a verification is running already; wait for its end", RetryAfter: 10 * time.Second})
			return
		}
		defer running.Unlock()
		s.verifyInto(r.Context(), w, r)
	})
}

func (s *Stack) verifyInto(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	out := &verifyStream{w: w, control: http.NewResponseController(w)}
	o := verify.Options{Progress: out.progress}
	if r.ContentLength != 0 {
		o.AckLog = newAckLog(w, r, maxAckLog, s.cfg.HTTP.BodyTimeout)
	}
	report, err := verify.Run(ctx, s.liveEvidence(), o)
	switch {
	case err == nil:
		out.line(verify.Line{Report: &report})
	case out.begun || ctx.Err() != nil:
		out.line(verify.Line{Error: err.Error()})
	default:
		problem.Write(w, ackLogProblem(err))
	}
}

// ackLog is an acknowledgement log in a request's body. It may be long in coming, so the time
// a body has is that of each of its parts.
type ackLog struct {
	body    io.Reader
	control *http.ResponseController
	within  time.Duration
}

// newAckLog fails behind limit bytes: a log that ended there would be judged as if nothing more had been promised.
func newAckLog(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) *ackLog {
	return &ackLog{http.MaxBytesReader(w, r.Body, limit), http.NewResponseController(w), within}
}

func (a *ackLog) Read(p []byte) (int, error) {
	_ = a.control.SetReadDeadline(time.Now().Add(a.within)) // As receive does.
	return a.body.Read(p)
}

func ackLogProblem(err error) *problem.Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge, err.Error())
	}
	return problem.New(http.StatusBadRequest, problem.InvalidRequest, err.Error())
}

// verifyStream is an answer that is written while the work goes on.
type verifyStream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	told    time.Time
}

func (v *verifyStream) progress(p verify.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.told) >= tellEvery {
		v.told = now
		v.write(verify.Line{Progress: &p})
	}
}

func (v *verifyStream) line(l verify.Line) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.write(l)
}

// write sends one line. A client that is gone has ended the request's context.
func (v *verifyStream) write(l verify.Line) {
	if !v.begun {
		v.begun = true
		v.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	_ = json.NewEncoder(v.w).Encode(l)
	_ = v.control.Flush()
	_ = v.control.SetWriteDeadline(time.Now().Add(tellWithin))
}
