package explain

import (
	"context"
	"errors"
	"time"

	"recount/schemas/openapi"
	"recount/schemas/query"
)

// pageTime divides the time that a page has. The search for events ends with its context. Once isLate, no further
// object is opened to read what was found.
type pageTime func(ctx context.Context) (search context.Context, isLate func() bool, done context.CancelFunc)

// untilDeadline gives the search half of the time to the deadline, and the reading of what was found a quarter. Each
// may be within an object when its part ends, so the rest is for that.
func untilDeadline(ctx context.Context) (search context.Context, isLate func() bool, done context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		search, done = context.WithCancel(ctx)
		return search, func() bool { return false }, done
	}
	left := time.Until(deadline)
	late := deadline.Add(-left / 4)
	search, done = context.WithTimeout(ctx, left/2)
	return search, func() bool { return time.Now().After(late) }, done
}

// isFurther reports whether the page leaves any partition at another place than it began.
func (l *listing) isFurther() bool {
	for _, st := range l.streams {
		if st.below() != st.begin {
			return true
		}
	}
	return false
}

// searchedTo returns a time after which no event was stored that is for a later page. It is zero if it is not known.
func (l *listing) searchedTo(ctx context.Context) (last time.Time) {
	for _, st := range l.streams {
		t := st.reached(ctx)
		switch {
		case len(st.found) == 0 && st.isDone():
		case t.IsZero():
			return t
		case t.After(last):
			last = t
		}
	}
	return last.UTC()
}

// reached returns a time after which nothing was stored that the stream has not searched, if it is known. A segment
// lands after its messages were stored.
func (st *stream) reached(ctx context.Context) time.Time {
	switch {
	case len(st.found) > 0:
		return st.found[0].order(ctx)
	case st.isDone():
		return time.Time{}
	case st.message >= st.chain.Head.Seq:
		return st.arrived
	}
	return st.chain.Segments[st.segment-1].Created
}

// endOf says why a page ended.
func endOf(search context.Context, q query.EventSelection, page *openapi.EventPage, err error) listEnd {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return endTime
	case err != nil:
		return endFailed
	case page.Cursor == "":
		return endLast
	case len(page.Events) == q.Limit:
		return endLimit
	case search.Err() != nil:
		return endTime
	}
	return endBounds
}
