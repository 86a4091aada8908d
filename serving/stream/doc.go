// Package stream asks queries again and again, and gives their newest answers to readers.
//
// A query runs once for all its readers. It begins with the first reader and ends when the last one leaves. Each round
// asks for the answer. There is one round per interval, and one more at once when a reader joins and the newest answer
// is over a second old: the reader's first answer is that of this round. A round that finds nothing changed costs what
// Query.Ask needs to find that out.
//
// A query keeps its newest answer only. A reader that is slow takes the newest answer when it is ready for one, and
// skips the answers before it. So readers have no queues, no reader waits for another, and no query waits for a reader.
// A queue for each reader would hold old answers that nobody wants any more.
//
// An error ends the query and thereby all its readers, because it says that there is no newer answer. Only ErrBusy does
// not: the next round may have an answer, and until then the last one stands.
package stream
