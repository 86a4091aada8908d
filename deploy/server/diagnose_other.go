//go:build !linux

package server

import (
	"errors"
	"time"
)

// flushTime needs a file without a name, which only Linux has: a diagnosis writes nothing that could stay.
func flushTime(string) (time.Duration, error) { return 0, errors.ErrUnsupported }
