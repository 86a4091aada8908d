package ingest

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"recount/schemas/catalog"
	"recount/schemas/eventbatch"
)

// canonical completes the row with its extra fields and with the hash of its
// canonical form, both described in the package comment.
func (d *decoder) canonical() {
	d.data = d.sorted(d.data)
	d.extends = d.sorted(d.extends)
	d.row.extra = d.row.extra[:0]
	if len(d.data)+len(d.extends) > 0 {
		d.row.extra = d.appendExtra(d.row.extra)
	}
	b := appendPart(d.canon[:0], d.typ.label)
	if d.row.flags&eventbatch.FlagTimeAssigned == 0 {
		b = binary.LittleEndian.AppendUint64(append(b, 't'), uint64(d.row.time))
	}
	b = appendPart(append(b, 's'), d.attrs[attrSource])
	b = appendPart(append(b, 'u'), d.attrs[attrSubject])
	for i := range d.row.slots {
		s := &d.row.slots[i]
		f := &d.typ.fields[i]
		if s.state != present {
			continue
		}
		b = append(b, f.mark...)
		if f.kind == catalog.String {
			b = appendPart(b, s.text)
		} else {
			b = binary.LittleEndian.AppendUint64(b, uint64(s.num))
		}
	}
	b = append(appendPart(b, d.row.extra), 'x')
	d.canon = b
	d.row.hash = xxhash.Sum64(b)
}

func appendPart(dst, part []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(part))), part...)
}

// appendExtra appends {"attributes":{…},"data":{…}} with names in order, without
// white space, without nulls and without an empty part; nothing if both are empty.
func (d *decoder) appendExtra(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, '{')
	dst = appendMembers(dst, `"attributes":{`, d.extends)
	if attrs := len(dst); attrs > start+1 {
		dst = append(dst, ',')
		dst = appendMembers(dst, `"data":{`, d.data)
		if len(dst) == attrs+1 {
			dst = dst[:attrs]
		}
	} else {
		dst = appendMembers(dst, `"data":{`, d.data)
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
