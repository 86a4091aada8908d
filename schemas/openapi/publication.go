package openapi

import (
	"time"

	"recount/schemas/record"
)

// Publication is a publication as it is served.
type Publication struct {
	N        uint64    `json:"n"`
	Created  time.Time `json:"created"`
	Digest   string    `json:"digest"`
	Previous string    `json:"previous"`
	// Cut is H: the next sequence of each partition that is not in the batch view.
	Cut []uint64 `json:"cut"`
	// Epochs are the epochs of the cut, one for each partition.
	Epochs []uint32 `json:"epochs"`
	// Events is how many landed events are below the cut.
	Events int64 `json:"events"`
	// Code is the version of the program that published.
	Code string `json:"code"`
	// Pinned says that the publication is kept for ever.
	Pinned bool                       `json:"pinned"`
	Views  map[string]PublicationView `json:"views"`
	Types  map[string]PublicationType `json:"types"`
	// Objects are the Parquet objects that count, of one event type. They are sent on request.
	Objects []PublicationObject `json:"objects,omitzero"`
}

// PublicationObject is a Parquet object of the lake.
type PublicationObject struct {
	// Key is the object's key, below the prefix of object_store.url.
	Key string `json:"key"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is that of the bytes, in hex.
	SHA256 string `json:"sha256"`
	// Rows are events, copies included.
	Rows int64 `json:"rows"`
}

// PublicationView is the batch view of one view.
type PublicationView struct {
	Digest  string `json:"digest"`
	Buckets int    `json:"buckets"`
	Rows    int64  `json:"rows"`
	// FilledFrom is from when the view is filled. It is absent if the view has all of its history (B8).
	FilledFrom time.Time `json:"filled_from,omitzero"`
	// List has [bucket, ver, rows, checksum] for each bucket. It is sent on request.
	List []record.BucketVersion `json:"bucket_list,omitempty"`
}

// TenantEvents is what deduplication found among one tenant's events of a type.
type TenantEvents struct {
	Events     int64 `json:"events"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`
}

// PublicationType is what deduplication found among the events of one type.
type PublicationType struct {
	Buckets int `json:"buckets"`
	// Events is how many events have landed.
	Events int64 `json:"events"`
	// Duplicates is how many of them were dropped as copies.
	Duplicates int64 `json:"duplicates"`
	// Conflicts is how many of the copies have another payload or time than the event that counts.
	Conflicts int64 `json:"conflicts"`
	// Tenants has the same numbers by tenant. Lists of publications leave it out.
	Tenants map[string]TenantEvents `json:"tenants,omitempty"`
	// List has [bucket, rows, duplicates, conflicts] for each bucket. It is sent on request.
	List []record.BucketCount `json:"bucket_list,omitempty"`
}
