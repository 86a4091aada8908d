package access

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Collect says what a key of scope Collect may send. The key is in web pages, where everybody can read it, so it
// writes a few event types and nothing else, and is of no use for pages of other origins.
type Collect struct {
	Types   []string `json:"types"`
	Origins []string `json:"origins"`
	// Rate is how many events the key may send in a second. They count for the rates of its tenant too.
	Rate float64 `json:"events_per_second"`
}

const (
	// AnyOrigin in Collect.Origins allows pages of every origin.
	AnyOrigin = "*"
	// DefaultCollectRate is the rate of a key of which nothing is said.
	DefaultCollectRate = 100

	maxCollect      = 100 // event types, and origins
	maxCollectRate  = 1e9
	maxOriginLength = 300
)

// AllowsType reports whether events of the type may be sent.
func (c *Collect) AllowsType(name string) bool { return slices.Contains(c.Types, name) }

// AllowsOrigin reports whether pages of the origin may send events. A request without an origin has the empty one.
func (c *Collect) AllowsOrigin(origin string) bool {
	return slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, AnyOrigin)
}

// Check returns what is wrong.
func (c *Collect) Check() error {
	switch {
	case len(c.Types) == 0 || len(c.Types) > maxCollect || slices.Contains(c.Types, ""):
		return fmt.Errorf("name 1 to %d event types that a key of scope collect may send", maxCollect)
	case len(c.Origins) == 0 || len(c.Origins) > maxCollect:
		return fmt.Errorf("name 1 to %d origins of the pages that send with a key of scope collect, or %s", maxCollect,
			AnyOrigin)
	case !(c.Rate > 0 && c.Rate <= maxCollectRate):
		return fmt.Errorf("%v events a second: use more than 0 and at most %.0f", c.Rate, maxCollectRate)
	}
	var errs []error
	for _, origin := range c.Origins {
		if origin != AnyOrigin {
			errs = append(errs, CheckOrigin(origin))
		}
	}
	return errors.Join(errs...)
}

// CheckOrigin returns what is wrong with an origin. It has to be written as browsers send it, because origins are
// compared as texts.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || len(origin) > maxOriginLength || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		origin != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("origin %.80q: write it as browsers send it, such as https://shop.example or "+
			"http://localhost:8081, in small letters and without a path", origin)
	}
	if port := u.Port(); strings.HasSuffix(u.Host, ":") || u.Scheme == "http" && port == "80" ||
		u.Scheme == "https" && port == "443" {
		return fmt.Errorf("origin %.80q: leave out the port; browsers send none if it is that of the scheme", origin)
	}
	return nil
}
