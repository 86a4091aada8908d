// Package access holds the principal of a request: its tenant and its scopes. The guard of a
// server puts a Principal into the request's context. Ingest and serving read the tenant
// from there and from nowhere else, so no header, parameter or body can name one.
//
// A context without a principal has no tenant and no scope: a handler that was mounted
// without a guard refuses everything, instead of answering for some tenant.
package access

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"recount/schemas/eventbatch"
)

// Scopes is a set of what a key may do.
type Scopes uint8

// The scopes of a key. Ingest and Query are about the key's own tenant; Admin is about
// the installation: jobs, checks and counts over all tenants. Metrics allows to read the metrics and nothing else.
// Collects allows what the type Collect says. A key with it has no other scope, because it is published.
const (
	Ingest Scopes = 1 << iota
	Query
	Admin
	Metrics
	Collects
	AllScopes = Ingest | Query | Admin | Metrics
)

var scopeNames = []string{"ingest", "query", "admin", "metrics", "collect"}

// ParseScopes reads scope names; there must be at least one.
func ParseScopes(names []string) (Scopes, error) {
	var s Scopes
	for _, n := range names {
		i := slices.Index(scopeNames, n)
		if i < 0 {
			return 0, fmt.Errorf("scope %q: use one or more of %s", n, strings.Join(scopeNames, ", "))
		}
		s |= 1 << i
	}
	if s == 0 {
		return 0, fmt.Errorf("no scope: use one or more of %s", strings.Join(scopeNames, ", "))
	}
	if s.Has(Collects) && s != Collects {
		return 0, fmt.Errorf("scope collect: a key with it is published, so it can have no other scope; make two keys")
	}
	return s, nil
}

// Has reports whether every scope of o is in s.
func (s Scopes) Has(o Scopes) bool { return s&o == o }

// Names lists the scopes.
func (s Scopes) Names() []string {
	var out []string
	for i, n := range scopeNames {
		if s.Has(1 << i) {
			out = append(out, n)
		}
	}
	return out
}

func (s Scopes) String() string { return strings.Join(s.Names(), ",") }

// MarshalText writes names with commas.
func (s Scopes) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Scopes) UnmarshalText(text []byte) (err error) {
	*s, err = ParseScopes(strings.Split(string(text), ","))
	return err
}

// MaxTenant is the longest name of a tenant, in bytes.
const MaxTenant = 64

// CheckTenant returns what is wrong with a tenant's name. It is strict because the name
// appears in metrics, in SQL and in lists that people read.
func CheckTenant(name string) error {
	if name == "" || len(name) > MaxTenant {
		return fmt.Errorf("tenant %.80q: a name has 1 to %d characters", name, MaxTenant)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("tenant %q: use a-z, 0-9, - and _", name)
		}
	}
	return nil
}

// Principal is the tenant that a request belongs to, and what its key allows.
type Principal struct {
	Tenant string
	KeyID  string // empty: no key, because the server is reached over the loopback only
	Scopes Scopes
	// Collect is what the key may send if its scope is Collects, else nil.
	Collect *Collect
}

// Local is the principal of every request to a server without keys. It may do everything.
func Local() Principal {
	return Principal{Tenant: eventbatch.DefaultTenant, Scopes: AllScopes}
}

type contextKey struct{}

// NewContext returns a context that carries p.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the principal of a request; ok is false if the context has none.
func FromContext(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(contextKey{}).(Principal)
	return p, ok && p.Tenant != ""
}
