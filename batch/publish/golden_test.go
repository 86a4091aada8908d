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

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden freezes what a publication says of known events: the checksums are
// compared with stored ones for as long as there are tables (B1, B5).
func TestGolden(t *testing.T) {
	t.Parallel()
	w, r := start(t)
	w.land("flight", randomEvents(r, 60, epoch.UnixMicro(), 4)...)
	w.recompute(w.publisher(catalogOf(wideView(), slimView()), nil))
	b, err := record.DecodePublication(w.records[record.PublicationKey(1)])
	if err != nil {
		t.Fatal(err)
	}
	b.Attempt = "attempt"
	for i := range b.Tips {
		b.Tips[i] = "tip" // They hold the digests of Parquet files, which a library's version may change.
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
		t.Errorf("%s holds what is stored in ClickHouse and in publications already:\n%s", file, diff)
	}
}
