package verify

import (
	"cmp"
	"context"
	"errors"
	"io"
)

// Options are the options of a run.
type Options struct {
	AckLog   io.Reader      // acknowledgement log of a client (package acklog); without it V3, V4 and V7 are skipped
	Progress func(Progress) // called at every step; may be nil

	EventsAtOnce int64 // how many identities V7 holds at the same time; 0 means the default, some 100 MB
}

// Run judges the evidence. The report's checks say what could not be read. An error means that there is
// no report: the context ended, or the acknowledgement log is invalid.
func Run(ctx context.Context, e *Evidence, o Options) (Report, error) {
	r := newRecorder(o.Progress)
	var client *acks
	if o.AckLog != nil {
		var err error
		if client, err = readAcks(e, r, o.AckLog); err != nil {
			return Report{}, err
		}
		client.atOnce = cmp.Or(o.EventsAtOnce, eventsAtOnce)
	} else {
		for _, name := range []Name{V3, V4, V7} {
			r.skip(name, "no acknowledgement log was given")
		}
	}
	s, err := e.readSnapshot(ctx, r)
	if err != nil {
		for _, name := range Names {
			r.fail(name, "%v", err)
		}
		return r.report, ctx.Err()
	}
	if client != nil {
		client.s = s
	}
	if e.Log == nil {
		for _, name := range []Name{V3, V7, V8, V9, V10, V11} {
			r.fail(name, "the log cannot be read: %v", e.LogError)
		}
	}
	checkPublications(r, s)
	checkForgotten(r, s)
	checkWitnesses(r, s)
	if err := checkInstallation(ctx, e, r, s); err != nil {
		r.fail(V11, "%v", err)
	}
	if err := checkObjects(ctx, e, r, s); err != nil {
		r.fail(V2, "%v", err)
	}
	if err := checkEvents(ctx, e, r, s, client); err != nil {
		for _, name := range []Name{V3, V4, V10} {
			r.fail(name, "%v", err)
		}
	}
	if client != nil && e.Log != nil {
		if err := client.checkAnswers(ctx); err != nil {
			r.fail(V7, "%v", err)
		}
	}
	if e.Cells == nil {
		r.fail(V6, "ClickHouse cannot be read: %v", e.CellsError)
		r.fail(V9, "ClickHouse cannot be read: %v", e.CellsError)
	} else if err := checkRows(ctx, e, r, s); err != nil {
		r.fail(V6, "%v", err)
		r.fail(V9, "%v", err)
	}
	if err := checkConservation(ctx, e, r, s); err != nil {
		r.fail(V8, "%v", err)
	}
	if err := checkCatalog(ctx, e, r, s); err != nil {
		r.fail(V13, "%v", err)
	}
	checkStart(ctx, e, r)
	if ctx.Err() != nil {
		return Report{}, errors.Join(context.Cause(ctx))
	}
	return r.report, nil
}

// checkEvents reads all events once, for every check that examines single events.
func checkEvents(ctx context.Context, e *Evidence, r *recorder, s *snapshot, client *acks) error {
	at := newPositions(e, r, s)
	defer at.close()
	visitors := []visitor{at}
	if client != nil {
		visitors = append(visitors, client)
	}
	if err := walk(ctx, e, r, s, visitors); err != nil {
		return err
	}
	if client != nil {
		client.judge()
	}
	return nil
}
