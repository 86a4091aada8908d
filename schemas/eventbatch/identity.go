package eventbatch

import (
	"crypto/sha256"
	"encoding/binary"
)

// Identity is the rule by which two events are copies of one event (I1). An installation keeps the rule that it
// began with, because keys of one event by two rules would not meet.
type Identity string

// The rules of identity.
const (
	// TenantSourceID is CloudEvents' rule within a tenant: source and id together name an event. A missing
	// source is the empty one.
	TenantSourceID Identity = "tenant,source,id"
	// TenantID ignores the source. It is the rule of installations from before there was another one.
	TenantID Identity = "tenant,id"
)

// KeySize is the length of an identity key in bytes.
const KeySize = 16

// Key is the identity of an event: the first 16 bytes of a SHA-256 over what the rule names. By TenantSourceID
// each of the three follows its length as a little-endian uint32; by TenantID the id has no length. The hash is
// cryptographic, because with a fast one a tenant could construct ids that collide with another tenant's. With
// SHA instructions it costs about 80 ns.
type Key [KeySize]byte

// Key returns the identity key of an event. It does not allocate for events whose tenant, source and id have up
// to 240 bytes together.
func (i Identity) Key(tenant, source, id string) Key {
	var stack [256]byte
	b := binary.LittleEndian.AppendUint32(stack[:0], uint32(len(tenant)))
	b = append(b, tenant...)
	if i != TenantID {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(source)))
		b = append(b, source...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(id)))
	}
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return Key(sum[:KeySize])
}

// Known reports whether this program knows the rule.
func (i Identity) Known() bool { return i == TenantSourceID || i == TenantID }

// Partition returns the partition of a key among n (L3). The bytes it uses are not the
// ones hash tables use first, so a partition's keys stay evenly spread in them.
func (k Key) Partition(n int) int {
	return int(binary.LittleEndian.Uint64(k[8:]) % uint64(n))
}
