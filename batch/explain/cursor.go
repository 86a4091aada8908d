package explain

import (
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/query"
)

// cursor says where a page of events goes on: below a bound in each partition. As text it is base64url without padding
// of the version 1, the XXH64 of what was asked and of the rest, and varints: from, to, and for each partition the
// sequence and the index of the bound.
type cursor struct {
	from, to int64
	below    []bound
}

const (
	cursorVersion = 1
	cursorHeader  = 1 + 8
)

func (c *cursor) text(asked string) string {
	b := make([]byte, cursorHeader)
	b[0] = cursorVersion
	b = binary.AppendVarint(b, c.from)
	b = binary.AppendVarint(b, c.to)
	for _, at := range c.below {
		b = binary.AppendUvarint(b, at.seq)
		b = binary.AppendUvarint(b, uint64(at.index))
	}
	binary.LittleEndian.PutUint64(b[1:], cursorSum(asked, b[cursorHeader:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// cursorSum binds a cursor to what was asked. It is no secret: a cursor that somebody makes up still leads to events of
// the asking tenant alone.
func cursorSum(asked string, rest []byte) uint64 {
	h := xxhash.New()
	_, _ = h.WriteString(asked) // A hash never fails.
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(rest)
	return h.Sum64()
}

// parseCursor reads the cursor of a request. An empty one is that of the first page, which has no bounds.
func parseCursor(text, asked string, partitions int) (c cursor, err error) {
	c.below = make([]bound, partitions)
	if text == "" {
		for p := range c.below {
			c.below[p] = bound{seq: math.MaxUint64}
		}
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < cursorHeader || b[0] != cursorVersion ||
		binary.LittleEndian.Uint64(b[1:]) != cursorSum(asked, b[cursorHeader:]) {
		return c, errCursor
	}
	r := varints{rest: b[cursorHeader:]}
	c.from = r.signed()
	c.to = r.signed()
	for p := range c.below {
		c.below[p] = bound{r.unsigned(), int(min(r.unsigned(), math.MaxInt32))}
	}
	if r.failed || len(r.rest) > 0 {
		return c, errCursor
	}
	return c, nil
}

var errCursor = &query.Error{Field: "cursor", Msg: "it is not the cursor of a page with the same type, from, to and " +
	"where; leave it out to begin with the newest event"}

// varints reads numbers from bytes.
type varints struct {
	rest   []byte
	failed bool
}

func (r *varints) unsigned() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *varints) signed() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *varints) skip(n int) {
	if n <= 0 {
		r.failed = true
		return
	}
	r.rest = r.rest[n:]
}
