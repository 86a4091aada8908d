package access

import (
	"slices"
	"strings"
	"testing"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	s, err := ParseScopes([]string{"query", "ingest"})
	if err != nil || s != Ingest|Query || s.Has(Admin) || !s.Has(Query) {
		t.Errorf("%v %v", s, err)
	}
	got := s.Names()
	want := []string{"ingest", "query"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := AllScopes.String(); got != "ingest,query,admin,metrics" {
		t.Errorf("got %s", got)
	}
	for _, bad := range [][]string{nil, {"root"}, {"query", ""}} {
		if s, err := ParseScopes(bad); err == nil {
			t.Errorf("%v became %v", bad, s)
		}
	}
}

func TestTenantNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "acme", "acme-2_eu", strings.Repeat("x", MaxTenant)} {
		if err := CheckTenant(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "Acme", "a b", "a/b", "..", "ä", "a\x00", "a'", strings.Repeat("x", MaxTenant+1)} {
		if CheckTenant(bad) == nil {
			t.Errorf("%q is a tenant", bad)
		}
	}
}

// TestNobody: a context nobody put a principal into, or one without a tenant, is nobody.
func TestNobody(t *testing.T) {
	t.Parallel()
	if p, ok := FromContext(t.Context()); ok {
		t.Errorf("got %v", p)
	}
	if p, ok := FromContext(NewContext(t.Context(), Principal{Scopes: AllScopes})); ok {
		t.Errorf("got %v", p)
	}
	if p, ok := FromContext(NewContext(t.Context(), Local())); !ok || p.Tenant != "default" || p.Scopes != AllScopes {
		t.Errorf("got %v, %v", p, ok)
	}
}
