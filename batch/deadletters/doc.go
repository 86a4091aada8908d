// Package deadletters reads and retires the dead letters of the lake. Package
// schemas/deadletter says what a dead letter is. This package writes none: dead letters land as
// all events do.
//
// # Reading
//
// The time of a dead letter is when it was received. So the bucket runs in the commit records say
// which rows of which objects may be in an interval, and no other object is opened. Buckets are
// read from the newest to the oldest until a page is full. Memory holds one page and the columns
// of one object. The bytes of rejected events are read only for the rows of the page.
//
// A filter that matches few dead letters could make one page read the whole lake. Each page
// therefore ends after a fixed number of rows, even if it is short, and its cursor continues after
// them.
//
// # Retiring
//
//	HORIZON (retired/…, create-only) → DELETE
//
// An object that a commit record names is deleted only after another record says that all objects
// of its type that landed before a certain time may be gone (record.Retired). From then on no
// process looks for them. A crash between the two steps leaves objects behind. The next run
// deletes them, because every run deletes all retired objects and not only those that it retired
// itself. A dead letter that no publication covers yet is never retired, so views over dead
// letters count every one.
package deadletters
