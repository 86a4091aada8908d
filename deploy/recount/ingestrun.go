package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"recount/deploy/client"
	"recount/deploy/client/eventfile"
	"recount/deploy/client/eventfile/input"
	"recount/deploy/recount/progress"
)

// maxShown is how many rejected events are printed one by one.
const maxShown = 10

// maxBody is the size in bytes at which a request ends even if it has fewer events than --batch. A server accepts
// requests of at most ingest.max_body bytes.
const maxBody = 8 << 20

// warnEvery is how often a run reports why events are not accepted.
const warnEvery = 5 * time.Second

// ingestRun is the state of one ingest command.
type ingestRun struct {
	*ingestCmd
	std     streams
	client  *client.Client
	bar     *progress.Bar
	mapping eventfile.Mapping
	opened  map[string]*eventfile.Reader // opened are readers of files that can be opened once only.
	journal *journal
	tally
	reached  atomic.Bool  // reached means that a server has answered.
	nextWarn atomic.Int64 // nextWarn is when the next failure is printed, in Unix nanoseconds.
}

// errTooManyRejected ends a run, because what follows would probably be rejected too.
var errTooManyRejected = errors.New("stopped, because more events were rejected than --max-rejected allows; mend the " +
	"cause and send the files again, or say --max-rejected -1 to go on")

// tooMany reports whether more events were rejected than --max-rejected allows.
func (r *ingestRun) tooMany() bool { return r.MaxRejected >= 0 && r.rejected.Load() > r.MaxRejected }

func (r *ingestRun) closeOpened() {
	for _, reader := range r.opened {
		_ = reader.Close()
	}
}

// sendAll sends the files in their order. It ends when a request has failed, because the next one would fail too.
func (r *ingestRun) sendAll(ctx context.Context, files []input.File) error {
	var errs []error
	for i, f := range files {
		unread, unsent := r.sendFile(ctx, f)
		if unread != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, unread))
		}
		if unsent == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", f.Name, unsent))
		if rest := files[i+1:]; len(rest) > 0 {
			names := make([]string, len(rest))
			for k := range rest {
				names[k] = rest[k].Name
			}
			errs = append(errs, fmt.Errorf("not sent: %s", strings.Join(names, ", ")))
		}
		break
	}
	return errors.Join(errs...)
}

// sendFile sends one file. The first error says why the file could not be read to its end; everything before that place
// is sent. The second error says why requests failed.
func (r *ingestRun) sendFile(ctx context.Context, f input.File) (unread, unsent error) {
	reader, err := r.open(f)
	if err != nil {
		return err, nil
	}
	defer reader.Close()
	defer func() { r.addFile(reader.Tally()) }()
	defer r.bar.Clear()
	p := &part{reader: reader, run: r}
	sent, err := p.skip(r.journal.rowsOf(f.Name))
	if err != nil {
		return err, nil
	}
	g, sending := errgroup.WithContext(ctx)
	g.SetLimit(r.InFlight)
	for err == nil && sending.Err() == nil && !r.tooMany() {
		var next *request
		next, err = p.request()
		var ended error
		if next.done, ended = sent.begin(sending, next); ended != nil {
			err = nil // The request that failed says why, or the end of ctx does.
			break
		}
		if next.events > 0 {
			g.Go(func() error { return r.send(sending, next) })
		} else {
			next.done()
		}
		done, total := reader.Progress()
		r.bar.Set(done, total, fmt.Sprintf("of %s read, %s accepted", f.Name, count(r.accepted.Load(), "event")))
	}
	switch unsent = g.Wait(); {
	case unsent != nil:
	case err == nil && r.tooMany():
		unsent = errTooManyRejected
	case err == nil: // A signal between two requests ended the reading.
		unsent = context.Cause(ctx)
	case !errors.Is(err, io.EOF):
		unread = fmt.Errorf("%w (sent before it: %s; what you send again counts once)", err, count(p.events, "event"))
	}
	return unread, unsent
}

// open returns the reader of a file.
func (r *ingestRun) open(f input.File) (*eventfile.Reader, error) {
	if reader := r.opened[f.Name]; reader != nil {
		return reader, nil
	}
	return eventfile.Open(f, r.mapping)
}

// send sends one request.
func (r *ingestRun) send(ctx context.Context, q *request) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	answer, err := r.client.SendLines(ctx, q.body)
	r.count(answer, q)
	if err != nil {
		return explain(err)
	}
	r.reached.Store(true)
	q.done()
	return nil
}

// count adds the outcomes of a request to the tally, and prints the first rejections.
func (r *ingestRun) count(answer client.Result, q *request) {
	r.accepted.Add(int64(answer.Accepted))
	r.coerced.Add(int64(answer.Coerced))
	r.addDiscovered(answer.Discovered)
	rest := q.events - answer.Accepted
	for _, e := range answer.Rejected {
		if e.Code.RetryEvent() {
			continue // The server may accept it yet, so the request has failed.
		}
		rest--
		q.rejected = true
		r.reject(string(e.Code), fmt.Sprintf("event %d (id %q) rejected: %s: %s", q.numberOf(e.Index), e.ID, e.Code,
			escapeControls(e.Message)))
	}
	r.unconfirmed.Add(int64(rest))
}

// reject counts a rejection and prints it, if it is one of the first.
func (r *ingestRun) reject(reason, text string) {
	if r.addRejected(reason) <= maxShown {
		r.bar.Clear()
		fmt.Fprintln(r.std.err, text)
	}
}

// warn prints why a request is sent again. It ends the run if no server has ever answered: a server that restarts comes
// back, but a wrong address stays wrong.
func (r *ingestRun) warn(failure error) error {
	if !errors.Is(failure, syscall.ECONNREFUSED) {
		r.reached.Store(true)
	} else if !r.reached.Load() {
		return failure
	}
	now := time.Now()
	next := r.nextWarn.Load()
	if now.UnixNano() >= next && r.nextWarn.CompareAndSwap(next, now.Add(warnEvery).UnixNano()) {
		r.bar.Clear()
		fmt.Fprintf(r.std.err, "events are not accepted yet, trying again: %v\n", failure)
	}
	return nil
}
