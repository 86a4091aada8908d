package acklog

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLinesComeBack writes lines and reads them, followed by a line that a killed client left.
func TestLinesComeBack(t *testing.T) {
	t.Parallel()
	want := []Line{
		{Kind: Acked, Run: "a", First: 10, Count: 5, Refused: []int64{11}, Receipt: "AQ", Intended: 1, Done: 2},
		{Kind: Unknown, Run: "a", Count: 3},
		{Kind: Answer, Query: []byte(`{"view":"v"}`), Response: []byte(`{"rows":[]}`)},
	}
	var file bytes.Buffer
	w := NewWriter(&file)
	for _, l := range want {
		if err := w.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	file.WriteString(`{"kind":"acked","run":"a","cou`) // The client was killed here.
	var got []Line
	if err := Read(&file, func(l Line) error {
		got = append(got, l)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestBrokenLinesAreNamed checks that an error names the number of the line.
func TestBrokenLinesAreNamed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"{", `{"kind":"acked","count":1}`, `{"kind":"acked","run":"a","first":-1}`} {
		err := Read(strings.NewReader(line+"\n"), func(Line) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: got error %v, want one that names line 1", line, err)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	if run, i, ok := ParseID(ID("a-b", 7)); run != "a-b" || i != 7 || !ok {
		t.Errorf("got run %s, number %d, %t", run, i, ok)
	}
	for _, id := range []string{"", "7", "-7", "a-", "a-07", "a-x"} {
		if _, _, ok := ParseID(id); ok {
			t.Errorf("%q was accepted as the id of a run", id)
		}
	}
}
