package record

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/catalog"
	"recount/schemas/deadletter"
)

// Declarations are event types and views, by name. The types that recount itself defines are left out.
type Declarations struct {
	Events map[string]*catalog.EventType `json:"events"`
	Views  map[string]*catalog.View      `json:"views"`
}

// Generation is one state of the catalog, whole (G1). The records of all generations are a chain: each names the
// digest of the one before it.
type Generation struct {
	Header
	N        uint64        `json:"n"`
	Previous string        `json:"previous"` // Digest of generation n-1; empty in the first
	Bucket   time.Duration `json:"bucket"`   // width of a bucket; the same in all generations
	Declarations
	// File is what a configuration file declared when one was last applied. A declaration that the file and the
	// generation have changed differently since then stays here as it was, until one of the two wins (G2).
	File Declarations `json:"file"`
	// Discovered are the names of the event types that were declared from their first events (G6), sorted.
	Discovered []string `json:"discovered,omitempty"`
	// Undecided are the paths of members of data that discovery declares no field for, because no type holds all the
	// values that they had (G6), by event type.
	Undecided map[string][][]string `json:"undecided,omitempty"`

	By      Author    `json:"by"`
	Code    string    `json:"code"`    // version of the program
	Attempt string    `json:"attempt"` // unique, so that two writers never have the same bytes
	Created time.Time `json:"created"`
}

// Author says through which door a generation was made.
type Author string

// The authors of generations.
const (
	ByFile Author = "file" // a configuration file that was applied
	ByAPI  Author = "api"  // a request
)

// ErrUndeclarable is wrapped by the error about a generation that cannot be made because of what it would declare. Then
// no generation was made.
var ErrUndeclarable = errors.New("no generation can declare this")

// MaxGeneration is the largest generation in bytes.
const MaxGeneration = 16 << 20

// GenerationPrefix is the prefix of all generations of the catalog.
const GenerationPrefix = "catalog/"

// GenerationKey returns the key of generation n.
func GenerationKey(n uint64) string { return fmt.Sprintf("%s%020d.json", GenerationPrefix, n) }

// GenerationNumber returns the number of the generation whose record has the key.
func GenerationNumber(key string) (n uint64, err error) {
	digits := strings.TrimSuffix(strings.TrimPrefix(key, GenerationPrefix), ".json")
	n, err = strconv.ParseUint(digits, 10, 64)
	if err != nil || GenerationKey(n) != key {
		return 0, fmt.Errorf("%w: %q is not the key of a generation of the catalog", ErrInvalid, key)
	}
	return n, nil
}

// DeclarationsOf returns what a catalog declares.
func DeclarationsOf(c *catalog.Catalog) Declarations {
	d := Declarations{Events: map[string]*catalog.EventType{}, Views: maps.Clone(c.Views)}
	for name, e := range c.Events {
		if !strings.HasPrefix(name, catalog.ReservedPrefix) {
			d.Events[name] = e
		}
	}
	if d.Views == nil {
		d.Views = map[string]*catalog.View{}
	}
	return d
}

// Complete returns a copy of both maps, in which neither is nil.
func (d Declarations) Complete() Declarations {
	c := d.Catalog(0)
	delete(c.Events, deadletter.Type)
	return Declarations{Events: c.Events, Views: c.Views}
}

// Catalog returns the declarations as a catalog, with the types that recount itself defines. It shares them, so
// neither may be changed.
func (d Declarations) Catalog(bucket time.Duration) *catalog.Catalog {
	c := &catalog.Catalog{Events: maps.Clone(d.Events), Views: maps.Clone(d.Views), Bucket: bucket}
	if c.Events == nil {
		c.Events = map[string]*catalog.EventType{}
	}
	if c.Views == nil {
		c.Views = map[string]*catalog.View{}
	}
	c.Events[deadletter.Type] = deadletter.EventType() // Views may count rejections.
	return c
}

// Encode returns the generation's bytes in the current format, the same for the same generation.
func (g *Generation) Encode() ([]byte, error) {
	g.Header = NewHeader()
	raw, err := encode(g, g.check())
	if err == nil && len(raw) > MaxGeneration {
		return nil, fmt.Errorf("%w: generation %d of the catalog has %d bytes, and at most %d are stored; declare "+
			"fewer event types or views", ErrInvalid, g.N, len(raw), MaxGeneration)
	}
	return raw, err
}

// DecodeGeneration reads a generation of the catalog.
func DecodeGeneration(raw []byte) (*Generation, error) {
	var g Generation
	err := decode(raw, MaxGeneration, &g, &g.Header)
	if err == nil {
		err = g.restore()
	}
	if err == nil {
		err = g.check()
	}
	if err != nil {
		return nil, fmt.Errorf("generation of the catalog: %w", err)
	}
	return &g, nil
}

// restore gives the values of filters their Go types back. What a file declared is only compared, as text.
func (g *Generation) restore() error {
	for _, d := range []Declarations{g.Declarations, g.File} {
		if err := d.named(); err != nil {
			return err
		}
		if err := d.Catalog(g.Bucket).RestoreFilters(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

// named returns an error if a declaration is missing or has another name than its key.
func (d Declarations) named() error {
	for _, name := range slices.Sorted(maps.Keys(d.Events)) {
		if e := d.Events[name]; e == nil || e.Name != name || strings.HasPrefix(name, catalog.ReservedPrefix) {
			return fmt.Errorf("%w: event type %q is declared under another name, or not at all", ErrInvalid, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Views)) {
		if v := d.Views[name]; v == nil || v.Name != name {
			return fmt.Errorf("%w: view %q is declared under another name, or not at all", ErrInvalid, name)
		}
	}
	return nil
}

func (g *Generation) check() error {
	if g.N == 0 || (g.N == 1) != (g.Previous == "") || g.Attempt == "" || g.By != ByFile && g.By != ByAPI {
		return fmt.Errorf("%w: generation %d of the catalog by %q after %q", ErrInvalid, g.N, g.By, g.Previous)
	}
	for _, d := range []Declarations{g.Declarations, g.File} {
		if err := d.named(); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(g.Discovered, slices.Sorted(maps.Keys(g.Undecided))) {
		if g.Events[name] == nil {
			return fmt.Errorf("%w: generation %d of the catalog has discovered %q, and does not declare it", ErrInvalid,
				g.N, name)
		}
	}
	if err := g.Catalog().Validate(); err != nil {
		return fmt.Errorf("%w: generation %d of the catalog: %w", ErrInvalid, g.N, err)
	}
	return nil
}

// Catalog returns the catalog of the generation. Nothing of it may be changed.
func (g *Generation) Catalog() *catalog.Catalog {
	c := g.Declarations.Catalog(g.Bucket)
	c.Generation = g.N
	c.Undecided = g.Undecided
	for _, name := range g.Discovered {
		if c.Discovered == nil {
			c.Discovered = map[string]bool{}
		}
		c.Discovered[name] = true
	}
	return c
}

// Follows returns an error if the generation is not the one after a generation with the number and the digest.
func (g *Generation) Follows(n uint64, digest string) error {
	if g.N == n+1 && g.Previous == digest {
		return nil
	}
	return fmt.Errorf("%w: generation %d of the catalog does not continue generation %d; restore the records below %s "+
		"from one copy of the bucket: recount verify names them", ErrInvalid, g.N, n, GenerationPrefix)
}
