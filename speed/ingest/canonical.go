package ingest

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// completeRow sets the extra fields of the row and the hash of its canonical form. The package
// comment describes both.
func (d *decoder) completeRow() {
	d.undeclared = d.sortMembers(d.undeclared)
	d.extensions = d.sortMembers(d.extensions)
	d.row.extra = d.row.extra[:0]
	if len(d.undeclared)+len(d.extensions) > 0 {
		d.row.extra = d.appendExtra(d.row.extra)
	}
	b := appendPart(d.canonical[:0], d.eventType.nameBytes)
	if d.row.flags&eventbatch.FlagTimeAssigned == 0 {
		b = binary.LittleEndian.AppendUint64(append(b, 't'), uint64(d.row.time))
	}
	b = appendPart(append(b, 's'), d.attributes[attrSource])
	b = appendPart(append(b, 'u'), d.attributes[attrSubject])
	for i := range d.row.slots {
		s := &d.row.slots[i]
		f := &d.eventType.fields[i]
		if s.state != present {
			continue
		}
		b = append(b, f.prefix...)
		if f.kind == catalog.String {
			b = appendPart(b, s.text)
		} else {
			b = binary.LittleEndian.AppendUint64(b, uint64(s.number))
		}
	}
	b = append(appendPart(b, d.row.extra), 'x')
	d.canonical = b
	d.row.hash = xxhash.Sum64(b)
}

func appendPart(dst, part []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(part))), part...)
}

// appendExtra appends {"attributes":{…},"data":{…}}. Names are in order, and white space, nulls
// and empty parts are left out. If both parts are empty, it appends nothing.
func (d *decoder) appendExtra(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, '{')
	dst = appendMembers(dst, `"attributes":{`, d.extensions)
	if attrs := len(dst); attrs > start+1 {
		dst = append(dst, ',')
		dst = appendMembers(dst, `"data":{`, d.undeclared)
		if len(dst) == attrs+1 {
			dst = dst[:attrs]
		}
	} else {
		dst = appendMembers(dst, `"data":{`, d.undeclared)
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	return append(dst, '}')
}

func appendMembers(dst []byte, open string, members []member) []byte {
	start := len(dst)
	dst = append(dst, open...)
	empty := len(dst)
	for _, m := range members {
		if string(m.raw) == "null" {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, m.key), ':')
		dst = compact(dst, m.raw)
	}
	if len(dst) == empty {
		return dst[:start]
	}
	return append(dst, '}')
}
