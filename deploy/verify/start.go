package verify

import (
	"context"

	"recount/deploy/server/janitor"
)

// Outlook is what a start would do with stored data.
type Outlook struct {
	Refusal error          // why it would not start; it says what to do
	Seals   []janitor.Seal // epochs that it would seal, and so give up what has not landed of them (L5)
	Unused  []error        // snapshots that it would pass over, which loses nothing
}

// checkStart finds what a start would refuse, and what it would give up (V12).
func checkStart(ctx context.Context, e *Evidence, r *recorder) {
	if e.Foresee == nil {
		r.skip(V12, "a running process has the data open")
		return
	}
	o := e.Foresee(ctx)
	if ctx.Err() != nil {
		return
	}
	r.examine(V12, int64(e.Partitions), "partitions")
	if o.Refusal != nil {
		r.find(V12, Place{File: "data_dir"}, "do what the reason names; until then a start changes nothing",
			"a start would be refused: %v", o.Refusal)
	}
	for _, s := range o.Seals {
		r.find(V12, placeOf(s.Partition).AtOffsets(s.Epoch, s.Head, 0), "restore the partition's log from a newer "+
			"copy before the next start; without one, start, and let clients send the events of that time again with "+
			"the same ids", "a start would seal the epoch (L5), and give up acknowledged events that have not landed: "+
			"%s", s.Reason)
	}
	for _, err := range o.Unused {
		r.addNote("a start does not use a snapshot, and reads the log instead: %v", err)
	}
}
