package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"recount/schemas/access"
)

const (
	prefix   = "recount_"
	idLength = 12
	// keyLength is the length of every key in characters.
	keyLength = len(prefix) + idLength + 1 + 43
)

// Digest is the SHA-256 of a key.
type Digest [sha256.Size]byte

// MarshalText writes 64 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads 64 hex digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("sha256 has %d hex digits, not %d", hex.EncodedLen(len(d)), len(text))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Key is the entry of a key in the file: everything but its secret.
type Key struct {
	ID      string        `json:"id"`
	Tenant  string        `json:"tenant"`
	Scopes  access.Scopes `json:"scopes"`
	SHA256  Digest        `json:"sha256"`
	Created time.Time     `json:"created"`
	Expires time.Time     `json:"expires,omitzero"`
	Revoked time.Time     `json:"revoked,omitzero"`
	// Collect is what a key of scope collect may send, and nil for every other key.
	Collect *access.Collect `json:"collect,omitempty"`
}

// New makes a key. The text has the only copy of its secret.
func New(tenant string, scopes access.Scopes, created, expires time.Time) (k Key, text string) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // It never fails.
	k = Key{ID: strings.ToLower(rand.Text()[:idLength]), Tenant: tenant, Scopes: scopes, Created: created,
		Expires: expires}
	text = prefix + k.ID + "_" + base64.RawURLEncoding.EncodeToString(secret[:])
	k.SHA256 = sha256.Sum256([]byte(text))
	return k, text
}

// parseID returns the id in the text of a key. ok is false if the text cannot be a key.
func parseID(text string) (id string, ok bool) {
	if len(text) != keyLength || !strings.HasPrefix(text, prefix) || text[len(prefix)+idLength] != '_' {
		return "", false
	}
	return text[len(prefix):][:idLength], true
}

// check returns an error that says what is wrong with a key of a file.
func (k Key) check() error {
	if len(k.ID) != idLength || strings.Trim(k.ID, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return fmt.Errorf("id %.40q: an id has %d characters of a-z and 2-7", k.ID, idLength)
	}
	if err := access.CheckTenant(k.Tenant); err != nil {
		return err
	}
	if k.Scopes == 0 || k.SHA256 == (Digest{}) || k.Created.IsZero() {
		return fmt.Errorf("scopes, sha256 or created is missing")
	}
	if (k.Collect != nil) != k.Scopes.Has(access.Collects) {
		return fmt.Errorf("collect: a key of scope collect has it, and no other key")
	}
	if k.Collect != nil {
		return k.Collect.Check()
	}
	return nil
}
