package door

import (
	"net/http"

	"recount/schemas/access"
)

// principal returns the owner of a request that may read.
func (d *Door) principal(r *http.Request) (access.Principal, error) {
	asked := r.Clone(r.Context())
	if key := keyOf(r); key != "" {
		asked.Header.Set("Authorization", "Bearer "+key)
	} else if _, _, basic := r.BasicAuth(); basic {
		asked.Header.Del("Authorization")
	}
	p, err := d.cfg.Authenticate(asked)
	if err != nil {
		return p, unknownKey.because(err.Error() + "; a ClickHouse client sends a key as its password")
	}
	if !p.Scopes.Has(access.Query) {
		return p, accessDenied.because("this needs a key with the scope query")
	}
	return p, nil
}

// keyOf returns what a client of ClickHouse sends as the password, or an empty string.
func keyOf(r *http.Request) string {
	if key := r.Header.Get("X-Clickhouse-Key"); key != "" {
		return key
	}
	if _, password, ok := r.BasicAuth(); ok && password != "" {
		return password
	}
	return r.URL.Query().Get("password")
}
