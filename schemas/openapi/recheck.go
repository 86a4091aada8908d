package openapi

import "time"

// Recheck is the outcome of comparing sampled buckets with what ClickHouse computes from the objects.
type Recheck struct {
	Publication uint64       `json:"publication"`
	Checked     int          `json:"checked"`            // pairs of bucket and view that were compared
	Rows        int64        `json:"rows"`               // published rows that were compared
	LeftOut     int          `json:"left_out,omitempty"` // buckets in too many objects, or that need conversions (I7)
	Differences []Difference `json:"differences"`        // at most five of each bucket of a view
}

// Differing returns how many rows differ.
func (r *Recheck) Differing() (rows uint64) {
	last := viewBucket{}
	for _, d := range r.Differences {
		if bucket := (viewBucket{d.View, d.Bucket}); bucket != last {
			rows = rows + d.Rows
			last = bucket
		}
	}
	return rows
}

// viewBucket is a bucket of a view. A recheck lists the rows of one bucket together.
type viewBucket struct {
	view  string
	start time.Time
}

// Difference is a row that is not the same in both computations.
type Difference struct {
	View       string    `json:"view"`
	Bucket     time.Time `json:"bucket"`
	Version    uint64    `json:"version,omitempty"` // version of the published rows; 0 if the bucket is not published
	Tenant     string    `json:"tenant"`
	Time       string    `json:"time"`       // start of the cell
	Dimensions string    `json:"dimensions"` // values of the row, in the view's order
	Published  string    `json:"published"`  // events and measures as published
	Computed   string    `json:"computed"`   // events and measures as ClickHouse computes them
	Rows       uint64    `json:"rows"`       // how many rows of the bucket differ
	Remedy     string    `json:"do"`         // what an operator should do
}

// RecheckRun is a recheck with its time.
type RecheckRun struct {
	At time.Time `json:"at"`
	Recheck
}
