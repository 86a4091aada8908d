package encode

import (
	"fmt"
	"io"

	"recount/serving/merge"
)

// NDJSON writes each row of the answer as a line, in the form that rows of JSON have. Those of others follow, with the
// member __others.
func NDJSON(w io.Writer, a *merge.Answer) error {
	buf := make([]byte, 0, flushBytes+4096)
	for _, rows := range tables(a) {
		e := newJSONRow(rows)
		if rows == a.Others {
			e.last = `,"` + othersColumn + `":true}`
		}
		for i := range rows.Rows() {
			buf = append(e.append(buf, i), '\n')
			if len(buf) >= flushBytes {
				if _, err := w.Write(buf); err != nil {
					return fmt.Errorf("write answer: %w", err)
				}
				buf = buf[:0]
			}
		}
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
