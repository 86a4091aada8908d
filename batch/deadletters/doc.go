// Package deadletters reads and retires the dead letters of the lake (package
// schemas/deadletter says what they are). It writes none: they land like all events.
//
// # Reading
//
// A dead letter's time is when it came, so the bucket runs of the commit records say which
// rows of which objects can be of an interval, and no other object is opened. Buckets are
// read from the newest to the oldest until a page is full; what is held is a page and the
// columns of one object. The bytes of rejected events are read for the rows of the page alone.
//
// A filter that matches little would read everything there is for one page. Each page
// therefore ends after a number of rows, with a cursor behind them, however short it is.
//
// # Retiring
//
//	HORIZON (retired/…, create-only) → DELETE
//
// An object that a commit record names is deleted only after a record says that all of its
// type that landed before a time may be gone (record.Retired). From then on nobody looks
// for them. A crash between the two leaves objects that the next run deletes, because every
// run deletes what is retired, and not only what it has retired itself. What no publication
// covers yet is never retired, so views over dead letters count each of them.
package deadletters
