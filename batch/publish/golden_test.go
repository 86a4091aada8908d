package publish

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/record"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden freezes the publication of known events. Its checksums are compared with stored ones
// as long as the tables exist, so they must never change (B1, B5).
func TestGolden(t *testing.T) {
	t.Parallel()
	for file, limit := range map[string]int{"testdata/publication.json": 0, "testdata/publication_limit.json": 2} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			checkGolden(t, file, limit)
		})
	}
}

func checkGolden(t *testing.T, file string, limit int) {
	w, r := newRandomWorld(t)
	w.limit = limit
	w.land("flight", randomEvents(r, 60, epoch.UnixMicro(), 4)...)
	w.recompute(w.publisher(catalogOf(wideView(), slimView()), nil))
	b, err := record.DecodePublication(w.records.Bodies[record.PublicationKey(1)])
	if err != nil {
		t.Fatal(err)
	}
	b.Attempt = "attempt"
	for i := range b.Tips {
		b.Tips[i] = "tip" // A tip depends on the bytes of Parquet files, which another version of a library may change.
	}
	for _, v := range b.Views {
		for i := range v.Buckets {
			v.Buckets[i].Ver &^= 1<<32 - 1 // The lower half is random.
		}
	}
	raw, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, raw, "", " "); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: rows and publications like these are stored already, so they must not change:\n%s", file, diff)
	}
}

// TestOlderRowsAreReplaced begins with a publication from before sums of floats were exact, and with one from before
// sketches were made from sets. Their rows are in a table of another digest. The next recompute computes all of the
// view's buckets, and those of no other view.
func TestOlderRowsAreReplaced(t *testing.T) {
	t.Parallel()
	c := catalogOf(wideView(), slimView())
	for file, digest := range map[string]string{"testdata/publication_rounded.json": c.RoundedDigest(wideView()),
		"testdata/publication_sketched.json": c.SketchedDigest(wideView())} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			checkReplaced(t, file, digest)
		})
	}
}

func checkReplaced(t *testing.T, file, want string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old, err := record.DecodePublication(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := catalogOf(wideView(), slimView())
	if old.Views["wide"].Digest != want {
		t.Fatalf("the old publication has the digest %s, want %s", old.Views["wide"].Digest, want)
	}
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 60, epoch.UnixMicro(), 4)...)
	w.recompute(w.publisher(c, nil))
	first, err := record.DecodePublication(w.records.Bodies[record.PublicationKey(1)])
	if err != nil {
		t.Fatal(err)
	}
	first.Views["wide"].Digest = old.Views["wide"].Digest
	body, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.records.Bodies[record.PublicationKey(1)] = body
	table := "cells_wide_" + old.Views["wide"].Digest
	if err := w.db.Exec(t.Context(), "RENAME TABLE cells_wide_"+c.Digest(wideView())+" TO "+table); err != nil {
		t.Fatal(err)
	}
	p := w.publisher(c, nil)
	if got := w.recompute(p); got.Nothing || p.State().Views["wide"].Digest != c.Digest(wideView()) {
		t.Errorf("got %+v, %+v", got, p.State().Views["wide"])
	}
	w.checkWide("after the rows were replaced")
	if got := p.State().Views["slim"].Buckets; got[0].Ver>>32 != 1 {
		t.Errorf("the other view was computed again: %+v", got)
	}
	if n := w.queryNumber("SELECT count() FROM " + table); n == 0 {
		t.Error("the rows of a kept publication are gone")
	}
}

// TestOldReadingIsReplaced begins with publications from before fields that are declared late counted, and from before
// the batch layer decided which values overflow. The next recompute computes all of the view's buckets again, under the
// same digest, and a further one finds nothing to do.
func TestOldReadingIsReplaced(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/publication_reading1.json")
	if err != nil {
		t.Fatal(err)
	}
	old, err := record.EmptyState(2).Apply(raw)
	if err != nil {
		t.Fatal(err)
	}
	if v := old.Views["wide"]; v.Reading != 1 || v.IsCurrent(v.Digest) || len(v.Buckets) == 0 || old.Limit() != 0 {
		t.Errorf("the old publication is read as %+v with the limit %d", v, old.Limit())
	}
	for reading := range record.CurrentReading {
		t.Run(fmt.Sprint(reading), func(t *testing.T) {
			t.Parallel()
			checkOldReading(t, reading)
		})
	}
}

func checkOldReading(t *testing.T, reading int) {
	c := catalogOf(wideView(), slimView())
	w, r := newRandomWorld(t)
	w.land("flight", randomEvents(r, 60, epoch.UnixMicro(), 4)...)
	w.recompute(w.publisher(c, nil))
	first, err := record.DecodePublication(w.records.Bodies[record.PublicationKey(1)])
	if err != nil {
		t.Fatal(err)
	}
	first.Views["wide"].Reading = reading
	if w.records.Bodies[record.PublicationKey(1)], err = first.Encode(); err != nil {
		t.Fatal(err)
	}
	p := w.publisher(c, nil)
	w.recompute(p)
	for name, n := range map[string]uint64{"wide": 2, "slim": 1} {
		view := p.State().Views[name]
		if !view.IsCurrent(c.Digest(c.Views[name])) || view.Buckets[0].Ver>>32 != n {
			t.Errorf("%s: got %+v, want rows of publication %d", name, view, n)
		}
	}
	w.checkWide("after the view was read anew")
	if got := w.recompute(p); !got.Nothing {
		t.Errorf("the next recompute: got %+v, want nothing to do", got)
	}
}
