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
	// progressEvery is the least time between two lines of progress.
	progressEvery = 200 * time.Millisecond
	// lineTimeout is how long a client may take to receive one line. The answer as a whole may take longer.
	lineTimeout = time.Minute
)

// liveEvidence returns the engines of this process as evidence. The recomputation uses one core, so
// that the process continues to serve.
func (s *Server) liveEvidence() *verify.Evidence {
	c := s.generations.Catalog()
	return &verify.Evidence{
		Catalog: c, Partitions: s.cfg.Log.Partitions, Records: s.engines.records, Objects: s.engines.lake,
		Cells: cells.NewStore(s.engines.sql, c), Log: s.engines.log, Keep: s.cfg.Batch.Keep,
		Kept:      func(context.Context) ([]uint64, error) { return s.publisher.Kept(), nil },
		Exact:     exact.Config{Workers: 1, Memory: max(s.cfg.Batch.Memory/4, exact.LeastMemory)},
		OneWriter: s.cfg.ObjectStore.URL == Embedded,
	}
}

// verifyHandler serves POST /v1/verify. The body is an acknowledgement log or empty. The answer is
// lines of progress and at last the report. One verification runs at a time.
func (s *Server) verifyHandler() http.Handler {
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
				Detail:     "a verification is running already; wait until it has ended",
				RetryAfter: 10 * time.Second})
			return
		}
		defer running.Unlock()
		s.streamVerification(r.Context(), w, r)
	})
}

func (s *Server) streamVerification(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	out := &verifyStream{w: w, control: http.NewResponseController(w)}
	o := verify.Options{Progress: out.sendProgress}
	if r.ContentLength != 0 {
		o.AckLog = newAckLog(w, r, maxAckLog, s.cfg.HTTP.BodyTimeout)
	}
	report, err := verify.Run(ctx, s.liveEvidence(), o)
	switch {
	case err == nil:
		out.send(verify.Line{Report: &report})
	case out.begun || ctx.Err() != nil:
		out.send(verify.Line{Error: err.Error()})
	default:
		problem.Write(w, ackLogProblem(err))
	}
}

// ackLog is an acknowledgement log in a request's body. A log can take long to arrive, so the body
// timeout starts again at every read.
type ackLog struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
}

// newAckLog returns a reader that fails after limit bytes. A log that was cut there would be judged as
// if nothing more had been acknowledged.
func newAckLog(w http.ResponseWriter, r *http.Request, limit int64, timeout time.Duration) *ackLog {
	return &ackLog{problem.LimitBody(w, r.Body, limit), http.NewResponseController(w), timeout}
}

func (a *ackLog) Read(p []byte) (int, error) {
	_ = a.control.SetReadDeadline(time.Now().Add(a.timeout)) // Without a deadline the body is read all the same.
	return a.body.Read(p)
}

func ackLogProblem(err error) *problem.Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.New(http.StatusRequestEntityTooLarge, problem.BodyTooLarge, err.Error())
	}
	return problem.New(http.StatusBadRequest, problem.InvalidRequest, err.Error())
}

// verifyStream is an answer that is written while the verification runs.
type verifyStream struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	control  *http.ResponseController
	begun    bool
	progress time.Time // when the last line of progress was written
}

func (v *verifyStream) sendProgress(p verify.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.progress) >= progressEvery {
		v.progress = now
		v.write(verify.Line{Progress: &p})
	}
}

func (v *verifyStream) send(l verify.Line) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.write(l)
}

// write sends one line. Errors are ignored: the end of the request's context stops the run when the client is gone.
func (v *verifyStream) write(l verify.Line) {
	if !v.begun {
		v.begun = true
		v.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	e := json.NewEncoder(v.w)
	e.SetEscapeHTML(false)
	_ = e.Encode(l)
	_ = v.control.Flush()
	_ = v.control.SetWriteDeadline(time.Now().Add(lineTimeout))
}
