package publish

import (
	"bytes"
	"encoding/json"
	"flag"
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
	w, r := newRandomWorld(t)
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
	const file = "testdata/publication.json"
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
