package openapi

import (
	"time"

	"recount/schemas/catalog"
)

// Scores compare live answers just before a publication with that publication.
type Scores struct {
	Publication uint64    `json:"publication"`
	Created     time.Time `json:"created"`
	// From is the H of the previous publication, and To is the H of this one.
	From  []uint64     `json:"from"`
	To    []uint64     `json:"to"`
	Views []ScoredView `json:"views"`
}

// ScoredView is the grade of a view.
type ScoredView struct {
	View string `json:"view"`
	// Buckets is how many buckets were compared, each for several tenants.
	Buckets int `json:"buckets"`
	// Groups is how many rows were compared.
	Groups int `json:"groups"`
	// LeftOut is how many answers were too large for one query.
	LeftOut  int             `json:"left_out,omitempty"`
	Measures []ScoredMeasure `json:"measures"`
}

// ScoredMeasure says how large the errors of a measure were. An error is relative to the exact value, or
// to 1 if the exact value is smaller. A group that only one of the answers has counts as an error of 1.
type ScoredMeasure struct {
	Measure      string              `json:"measure"`
	Kind         catalog.MeasureKind `json:"kind"`
	P50          float64             `json:"error_p50"`
	P99          float64             `json:"error_p99"`
	Max          float64             `json:"error_max"`
	BoundsStated int                 `json:"bounds_stated"`
	BoundsHeld   int                 `json:"bounds_held"`
}
