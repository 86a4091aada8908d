package acklog

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzRead: no bytes make the reader panic, and the lines it takes are the same lines when
// they are written again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"kind":"acked","run":"a","first":10,"count":5,"refused":[11],"receipt":"AQ"}` + "\n" +
		`{"kind":"answer","query":{},"response":{"rows":[]}}` + "\n{"))
	f.Add([]byte(`{"kind":"unknown","run":"a","count":-1}` + "\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		read := func(raw []byte) (lines []Line, err error) {
			err = Read(bytes.NewReader(raw), func(l Line) error {
				lines = append(lines, l)
				return nil
			})
			return lines, err
		}
		lines, err := read(raw)
		if err != nil {
			return
		}
		var again bytes.Buffer
		w := NewWriter(&again)
		for _, l := range lines {
			if err := w.Write(l); err != nil {
				t.Fatalf("%+v was read and cannot be written: %v", l, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		lines2, err := read(again.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		// The text of a query or an answer may be set in another way: compact, and with < escaped.
		if diff := cmp.Diff(lines, lines2, cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(Line{}, "Query", "Response")); diff != "" {
			t.Error(diff)
		}
	})
}
