package record

import (
	"iter"

	"recount/schemas/position"
)

// CommittedObjects yields the objects of an event type that count in a publication, each with its commit record, by
// partition and then by offset. h is the publication's H, and chains are the commit chains of all partitions, each at
// least as long as H. Objects that a horizon retires are left out, because they may be gone at any moment; with nil
// horizons none is.
//
// It is the one source of everything that shows raw events as of a publication, such as tables of events in SQL and
// manifests of the lake for other programs. A listing of the store is none: it also has objects of attempts that no
// record names, and objects that no publication counts yet (C2, C3).
//
// An object holds every event that was accepted, copies included. A reader that counts as the batch view does keeps, of
// the rows with one _key whose time is in one bucket, the one with the lowest (_seq, _index): copies share a partition
// (L3), and the lowest position counts (B2). Beyond that, a row counts as a copy if its time was assigned (_flags)
// and a lower position holds the same _key, assigned too, in the bucket before or after (I3).
func CommittedObjects(chains []*Chain, h []position.Offset, horizons Horizons,
	eventType string) iter.Seq2[*Commit, *Object] {
	return func(yield func(*Commit, *Object) bool) {
		for p, c := range chains {
			for _, segment := range c.Segments {
				if segment.End > h[p].Seq {
					break
				}
				for i := range segment.Objects {
					o := &segment.Objects[i]
					if o.Type == eventType && !horizons.Retired(segment, o) && !yield(segment, o) {
						return
					}
				}
			}
		}
	}
}
