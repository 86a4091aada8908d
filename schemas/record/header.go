package record

import (
	"encoding/json"
	"fmt"
	"slices"
)

// CurrentFormat is the format of the records that this program writes. It is raised when an older program
// would misread what is new.
const CurrentFormat = 1

// RequiresFill is the name that a publication requires which has a Fill. A reader that ignored it would take what is
// not filled yet for empty.
const RequiresFill = "fill"

// known are the names that Requires may hold for this program.
var known = []string{RequiresFill}

// Header begins every record that is JSON. A reader ignores members that it does not know, so an
// optional member may be added at any time. A member without which a record would be misread is named
// in Requires, and a reader that does not know the name refuses the record. A change of what a known
// member means raises Format.
type Header struct {
	Format   int      `json:"format,omitempty"`   // 0 in records from before formats were numbered
	Requires []string `json:"requires,omitempty"` // names of what a reader must know
}

// NewHeader returns the header of the records that this program writes.
func NewHeader() Header { return Header{Format: CurrentFormat} }

// Check returns an error, which wraps ErrInvalid, if this program cannot read the record.
func (h Header) Check() error {
	if h.Format < 0 || h.Format > CurrentFormat {
		return fmt.Errorf("%w: it has format %d, and this program reads formats 0 to %d; use the version of recount "+
			"that wrote it, or a later one", ErrInvalid, h.Format, CurrentFormat)
	}
	for _, name := range h.Requires {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%w: it requires %.80q, which this program does not know; use the version of recount "+
				"that wrote it, or a later one", ErrInvalid, name)
		}
	}
	return nil
}

// checkHeader reads the header of a record alone. Its error explains more than that of a record of a later
// format that did not decode.
func checkHeader(raw []byte) error {
	var h Header
	if json.Unmarshal(raw, &h) != nil {
		return nil
	}
	return h.Check()
}
