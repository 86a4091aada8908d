package generations

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

// attempts bounds how often a change is tried anew because another one was faster.
const attempts = 16

// ErrBusy means that other changes were faster each time.
var ErrBusy = errors.New("the catalog was changed by others each time; try again")

// Propose makes a generation by a request (record.ByAPI). change gets the newest catalog and returns the next one,
// which may share what it leaves as it is. It must not change its argument. It is called again with a newer catalog if
// another process was faster. Its error ends the proposal and is returned as it is. Where nothing changes, no
// generation is made, and the current one is returned.
//
// After any other error the generation may exist or not; Refresh finds out.
func (c *Chain) Propose(ctx context.Context,
	change func(*catalog.Catalog) (*catalog.Catalog, error)) (*Generation, error) {
	return c.propose(ctx, record.ByAPI, func(current *Generation) (next, error) {
		changed, err := change(current.Catalog)
		if err != nil {
			return next{}, err
		}
		return next{record.DeclarationsOf(changed), current.file(),
			merged(changed.Discovered, current.Catalog.Discovered),
			merged(current.Catalog.Undecided, changed.Undecided)}, nil
	})
}

// merged returns what two maps have. The second decides.
func merged[T any](a, b map[string]T) map[string]T {
	out := make(map[string]T, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// next is what a generation is made of. What is said of event types that are not declared is left out.
type next struct {
	declared, file record.Declarations
	discovered     map[string]bool       // event types
	undecided      map[string][][]string // members, by event type
}

// discoveredNames returns the names of the declared event types that were discovered, sorted.
func (n next) discoveredNames() (out []string) {
	for name := range n.discovered {
		if n.declared.Events[name] != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// undecidedMembers returns the undecided members of the declared event types, or nil.
func (n next) undecidedMembers() (out map[string][][]string) {
	for name, paths := range n.undecided {
		if n.declared.Events[name] == nil {
			continue
		}
		if out == nil {
			out = map[string][][]string{}
		}
		out[name] = paths
	}
	return out
}

// changes reports whether the next generation differs from the current one.
func (n next) changes(current *Generation) bool {
	samePaths := func(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal) }
	return current.N == 0 || !same(n.declared, record.DeclarationsOf(current.Catalog)) ||
		!same(n.file, current.file()) ||
		!maps.EqualFunc(n.undecidedMembers(), current.Catalog.Undecided, samePaths)
}

// file returns what a file declared when one was last applied.
func (g *Generation) file() record.Declarations {
	if g.Record == nil {
		return record.Declarations{}
	}
	return g.Record.File
}

// propose makes a generation after the newest one, or returns the newest one if the change asks for nothing else.
func (c *Chain) propose(ctx context.Context, by record.Author,
	change func(*Generation) (next, error)) (*Generation, error) {
	attempt := rand.Text()
	for range attempts {
		named := c.named() // Read first: a publication may name a generation that is made meanwhile.
		if err := c.Refresh(ctx); err != nil {
			return nil, err
		}
		current := c.Current()
		if err := CheckNamed(current, named); err != nil {
			return nil, err
		}
		n, err := change(current)
		if err != nil {
			return nil, err
		}
		if !n.changes(current) {
			return current, nil
		}
		won, err := c.create(ctx, c.after(current, n, by, attempt))
		if err != nil {
			return nil, fmt.Errorf("create generation %d of the catalog: %w", current.N+1, err)
		}
		if won != nil {
			return won, nil
		}
	}
	return nil, ErrBusy
}

// after returns the record of the generation after the current one.
func (c *Chain) after(current *Generation, n next, by record.Author, attempt string) *record.Generation {
	return &record.Generation{N: current.N + 1, Previous: current.Digest, Bucket: c.cfg.Bucket,
		Declarations: n.declared.Complete(), File: n.file.Complete(), Discovered: n.discoveredNames(),
		Undecided: n.undecidedMembers(), By: by, Code: c.cfg.Code, Attempt: attempt, Created: c.cfg.Now().UTC()}
}

// Replace puts copies of the newest stored generation in the place of those up to n, which are lost for ever. The next
// change then gets a number that nothing names yet.
func (c *Chain) Replace(ctx context.Context, n uint64) error {
	attempt := rand.Text()
	for current := c.Current(); current.N < n; current = c.Current() {
		same := next{record.DeclarationsOf(current.Catalog), current.file(), current.Catalog.Discovered,
			current.Catalog.Undecided}
		if _, err := c.create(ctx, c.after(current, same, record.ByFile, attempt)); err != nil {
			return fmt.Errorf("replace generation %d of the catalog: %w", current.N+1, err)
		}
	}
	return nil
}

// Named is a generation that something other than its own record names.
type Named struct {
	N  uint64
	By string // what names it, for errors
}

// named returns the highest generation that is known to have existed.
func (c *Chain) named() Named {
	if c.cfg.Named == nil {
		return Named{}
	}
	return c.cfg.Named()
}

// CheckNamed returns an error if a later generation is named than the one that is stored last.
func CheckNamed(current *Generation, named Named) error {
	if named.N <= current.N {
		return nil
	}
	return fmt.Errorf("%w: %s names generation %d of the catalog, and the newest one that is stored is %d; restore %s "+
		"and later ones from a copy of the bucket, or, if they are lost for ever, start once with --replace-catalog: "+
		"what they declared is given up", record.ErrMissing, named.By, named.N, current.N,
		record.GenerationKey(current.N+1))
}

// create creates the record of a generation, and makes this one or the one that was faster the current one. It
// returns nil if another one was faster.
func (c *Chain) create(ctx context.Context, r *record.Generation) (*Generation, error) {
	raw, err := r.Encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrUndeclarable, err)
	}
	outcome, there, err := c.records.Create(ctx, record.GenerationKey(r.N), raw)
	if err != nil { // The outcome is unknown, so it is read back (C5).
		if there, err = c.readBack(ctx, r.N, err); err != nil {
			return nil, err
		}
		outcome = record.Exists
	}
	if outcome == record.Created || bytes.Equal(there, raw) {
		there = raw
	}
	g, err := c.decode(r.N, there)
	if err != nil {
		return nil, err
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	if g.Record.Attempt != r.Attempt {
		return nil, nil
	}
	if current := c.Current(); current.N == g.N {
		return current, nil
	}
	return g, nil // Another process has already made a later one.
}

// readBack returns the record of a generation, or the error of its creation if there is none.
func (c *Chain) readBack(ctx context.Context, n uint64, unknown error) ([]byte, error) {
	raw, err := c.records.Get(ctx, record.GenerationKey(n))
	if errors.Is(err, record.ErrNotFound) {
		return nil, unknown
	}
	return raw, err
}
