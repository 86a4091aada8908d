package acklog

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzRead checks that no bytes make the reader panic, and that lines which were read are the same after they are
// written and read again.
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
				t.Fatalf("%+v was read but cannot be written: %v", l, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		linesAgain, err := read(again.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		// The JSON of a query or an answer may change its form: it becomes compact, and < is escaped.
		if diff := cmp.Diff(lines, linesAgain, cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(Line{}, "Query", "Response")); diff != "" {
			t.Error(diff)
		}
	})
}
