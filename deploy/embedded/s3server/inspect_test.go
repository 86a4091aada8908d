package s3server

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInspect looks at objects of both formats: those below data/ last, no more than it may, and it names what is not
// whole. Files that are no objects are passed over.
func TestInspect(t *testing.T) {
	t.Parallel()
	for _, isFirst := range []bool{true, false} {
		cfg := carryConfig(t.TempDir())
		makeFirst(t, cfg.Dir)
		if !isFirst {
			openStore(t, cfg)
		}
		var keys []string
		whole := func(key string, body *io.SectionReader) (bool, error) {
			keys = append(keys, key)
			raw, err := io.ReadAll(body)
			return string(raw) != "upper case", err
		}
		looked, damaged, err := Inspect(cfg.Dir, bucket, 100, whole)
		want := []string{"A"}
		if isFirst {
			want = []string{"A", "damaged"}
		}
		var got []string
		for _, path := range damaged {
			part, _ := parseFirstName(filepath.Base(path), false)
			got = append(got, part)
		}
		if err != nil || looked != len(firstObjects)+2 || !slices.Equal(got, want) {
			t.Errorf("first format %t: looked at %d, damaged %v, %v; want %v", isFirst, looked, got, err, want)
		}
		if last := keys[len(keys)-1]; !strings.HasPrefix(last, dataPrefix) {
			t.Errorf("the last one is %s", last)
		}
		if looked, _, err := Inspect(cfg.Dir, bucket, 3, whole); looked != 3 || err != nil {
			t.Errorf("looked at %d of 3, %v", looked, err)
		}
		if _, _, err := Inspect(cfg.Dir, "none", 3, whole); !os.IsNotExist(err) {
			t.Errorf("no bucket: %v", err)
		}
	}
}
