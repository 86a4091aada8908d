package openapi

import (
	"time"

	"recount/schemas/record"
)

// Publication is a publication as it is served.
type Publication struct {
	N        uint64                     `json:"n"`
	Created  time.Time                  `json:"created"`
	Digest   string                     `json:"digest"`
	Previous string                     `json:"previous"`
	Cut      []uint64                   `json:"cut"`    // H: next sequence that is not in the batch view, per partition
	Epochs   []uint32                   `json:"epochs"` // of the cut, per partition
	Events   int64                      `json:"events"` // landed events below the cut
	Code     string                     `json:"code"`   // version of the program that published
	Pinned   bool                       `json:"pinned"` // kept for ever
	Views    map[string]PublicationView `json:"views"`
	Types    map[string]PublicationType `json:"types"`
}

// PublicationView is the batch view of one view.
type PublicationView struct {
	Digest  string                 `json:"digest"`
	Buckets int                    `json:"buckets"`
	Rows    int64                  `json:"rows"`
	List    []record.BucketVersion `json:"bucket_list,omitempty"` // [bucket, ver, rows, checksum], when asked for
}

// PublicationType is what deduplication found among the events of one type.
type PublicationType struct {
	Buckets    int   `json:"buckets"`
	Events     int64 `json:"events"`     // landed
	Duplicates int64 `json:"duplicates"` // of those, dropped as copies
	Conflicts  int64 `json:"conflicts"`  // of those, copies with another payload
	// [bucket, rows, duplicates, conflicts], when asked for
	List []record.BucketCount `json:"bucket_list,omitempty"`
}
