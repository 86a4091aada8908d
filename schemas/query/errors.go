package query

import "errors"

// The reasons for which a layer cannot answer a scan or a publication cannot be
// pinned. Layers that do not import each other share them; wrap them with the detail.
var (
	// ErrPinExpired means that the speed layer no longer holds the messages of a partition from the cut on, so
	// the reader starts again if there is a newer publication (S4, Q2).
	ErrPinExpired = errors.New("the speed layer no longer reaches back to the cut")
	// ErrViewNotReady means that the speed layer has no state for this definition of the view yet (S5).
	ErrViewNotReady = errors.New("the view is not ready in the speed layer")
	// ErrNoPublication means that no publication has this number.
	ErrNoPublication = errors.New("no such publication")
	// ErrNoDefinition means that a publication has a view with another definition than the declared one, and that
	// this definition is not stored.
	ErrNoDefinition = errors.New("the definition that the view had in this publication is not stored, because the " +
		"publication is older than stored definitions; ask a recount whose configuration still has that definition")
	// ErrCollected means that the publication, or rows it pins, have been collected (P3). A reader of the
	// newest publication starts again from it (Q3).
	ErrCollected = errors.New("the publication has been collected")
)
