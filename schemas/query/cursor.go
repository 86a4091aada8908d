package query

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// page is which part of an answer a query asks for. The rows of a publication are always in the same order, so a page
// is a number of rows to skip, whatever the order is by. The digest binds it to the query and the tenant.
//
// A cursor is a page as a text: the version, the publication and the skipped rows as uvarints, from and to as varints
// in microseconds since 1970, and the digest. Nothing in it is a secret or is trusted: a page that somebody makes up is
// another part of an answer that this tenant may have.
type page struct {
	publication uint64
	skip        uint64
	from, to    int64
	digest      uint64
}

const (
	cursorVersion = 1
	maxCursor     = 100 // characters
	maxSkip       = 1 << 40
)

// ErrEmptyCursor refuses a cursor without a character. A client that sends one after the last page would get the first
// page again.
var ErrEmptyCursor error = &Error{"cursor", "it is empty; an answer without next is the last page, and the first " +
	"page is asked for without cursor"}

// Continue prepares a query of a tenant for Next. If it has a cursor, it makes it the query of the next page: as of the
// publication of the first page, with its times. It must be called once, before Resolve.
func (q *Query) Continue(tenant string) error {
	digest, err := q.digest(tenant)
	if err != nil {
		return err
	}
	if q.page = (page{digest: digest}); q.Cursor == "" {
		return nil
	}
	if q.Mode != Exact {
		return invalid("cursor", "pages are of one publication, so only mode exact has them; set mode to exact")
	}
	next, ok := parseCursor(q.Cursor)
	switch {
	case !ok:
		return invalid("cursor", "%.120q is not the member next of an answer; leave it out for the first page",
			q.Cursor)
	case next.digest != digest:
		return invalid("cursor", "it is of another query, or of another tenant; repeat the query of the page before, "+
			"and change nothing but cursor, limit, totals, others, explain, min_through, max_staleness and wait")
	case q.AsOf != nil && *q.AsOf != next.publication:
		return invalid("cursor", "it is of publication %d, and as_of is %d; leave as_of out", next.publication, *q.AsOf)
	}
	q.page = next
	q.AsOf = &next.publication
	q.continueEnd(&q.From, next.from)
	q.continueEnd(&q.To, next.to)
	return nil
}

// continueEnd sets from or to, unless it is missing, to that of the first page, which is rounded to whole cells.
func (q *Query) continueEnd(end *time.Time, first int64) {
	if !end.IsZero() && end.UnixMicro() != first {
		*end = time.UnixMicro(first).UTC()
		q.Widened = true
	}
}

// Skip returns how many rows of the answer are on earlier pages.
func (q *Query) Skip() int { return int(q.page.skip) }

// Next returns the cursor of the page that follows some rows of a publication. The query must be resolved. So the
// cursor has the times rounded to whole cells: two queries that differ less have the same answer, and the cursor is in
// it.
func (q *Query) Next(publication uint64, rows int) string {
	b := binary.AppendUvarint([]byte{cursorVersion}, publication)
	b = binary.AppendUvarint(b, q.page.skip+uint64(rows))
	b = binary.AppendVarint(b, q.From.UnixMicro())
	b = binary.AppendVarint(b, q.To.UnixMicro())
	return base64.RawURLEncoding.EncodeToString(binary.LittleEndian.AppendUint64(b, q.page.digest))
}

// digest is about all that must be the same on every page. Times count as they were sent, because a word such as now
// is another time on the next page. The cursor itself has the publication, so as_of may be left out. The demands on the
// age of the answer are those on the first page, because a later page is no newer.
func (q *Query) digest(tenant string) (uint64, error) {
	same := *q
	same.Cursor = ""
	same.Limit = 0
	same.Totals = false
	same.Others = false
	same.Explain = false
	same.AsOf = nil
	same.MinThrough = nil
	same.MaxStaleness = ""
	same.Wait = ""
	for i, end := range []*time.Time{&same.From, &same.To} {
		if q.sent[i] != "" {
			*end = time.Time{}
		}
	}
	text, err := json.Marshal(same)
	if err != nil {
		return 0, fmt.Errorf("encode the query: %w", err)
	}
	return xxhash.Sum64(fmt.Appendf(nil, "%q %q %s", tenant, q.sent, text)), nil
}

func parseCursor(text string) (p page, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > maxCursor || len(b) == 0 || b[0] != cursorVersion {
		return page{}, false
	}
	b = b[1:]
	ok = true
	unsigned := func() uint64 {
		v, n := binary.Uvarint(b)
		ok = ok && n > 0
		b = b[max(n, 0):]
		return v
	}
	signed := func() int64 {
		v, n := binary.Varint(b)
		ok = ok && n > 0
		b = b[max(n, 0):]
		return v
	}
	p = page{publication: unsigned(), skip: unsigned(), from: signed(), to: signed()}
	if !ok || len(b) != 8 || p.skip > maxSkip {
		return page{}, false
	}
	p.digest = binary.LittleEndian.Uint64(b)
	return p, true
}
