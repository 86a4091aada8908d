package record

import (
	"fmt"
	"time"

	"recount/schemas/eventbatch"
)

// InstallationKey is the key of the installation's record. It is the first record of a new object store.
const InstallationKey = "installation.json"

// Installation says which log, lake and ClickHouse belong together, and what may never change while they
// hold data (I8). There is one record of an object store, and it is never changed.
type Installation struct {
	Header
	ID         string              `json:"id"`
	Identity   eventbatch.Identity `json:"identity"`          // the rule by which events are copies (I1)
	Partitions int                 `json:"partitions"`        // P (L3)
	Bucket     time.Duration       `json:"bucket"`            // width of a bucket
	Log        string              `json:"log"`               // id of the log that it began with (L8)
	Adopted    bool                `json:"adopted,omitempty"` // an older program had begun the data
	Versions   Versions            `json:"versions"`
	Code       string              `json:"code"` // version of the program
	Created    time.Time           `json:"created"`
}

// Versions are those of the formats that the installation began with. What it holds may be as old.
type Versions struct {
	Records int `json:"records"` // CurrentFormat
	Frames  int `json:"frames"`  // eventbatch.Version
}

// maxInstallation is the largest installation record in bytes.
const maxInstallation = 1 << 20

// Encode returns the record's bytes in the current format, the same for the same record.
func (i *Installation) Encode() ([]byte, error) {
	i.Header = NewHeader()
	return encode(i, i.check())
}

// DecodeInstallation reads an installation record.
func DecodeInstallation(raw []byte) (*Installation, error) {
	var i Installation
	if err := decode(raw, maxInstallation, &i, &i.Header); err != nil {
		return nil, fmt.Errorf("installation record: %w", err)
	}
	if err := i.check(); err != nil {
		return nil, fmt.Errorf("installation record: %w", err)
	}
	return &i, nil
}

func (i *Installation) check() error {
	switch {
	case i.ID == "" || i.Log == "" || i.Partitions < 1 || i.Bucket <= 0:
		return fmt.Errorf("%w: installation %q with log %q, %d partitions and buckets of %s", ErrInvalid, i.ID, i.Log,
			i.Partitions, i.Bucket)
	case !i.Identity.Known():
		return fmt.Errorf("%w: the identity rule is %q, which this program does not know; use the version of recount "+
			"that began the installation, or a later one", ErrInvalid, i.Identity)
	}
	return nil
}
