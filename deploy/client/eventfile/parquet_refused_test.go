package eventfile

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"recount/deploy/client/eventfile/input"
)

// TestParquetMeaningless checks that types without a form in an event are refused instead of sent as stored.
func TestParquetMeaningless(t *testing.T) {
	t.Parallel()
	for says, node := range map[string]parquet.Node{
		"column c is TIME":     parquet.Time(parquet.Millisecond),
		"column c is BSON":     parquet.BSON(),
		"column c is GEOMETRY": parquet.Geometry("x"),
	} {
		path := filepath.Join(t.TempDir(), "a.parquet")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := parquet.NewGenericWriter[any](f, parquet.NewSchema("t", parquet.Group{"c": node}))
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, path, Mapping{Type: "t"}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got error %v, want one that contains %q", err, says)
		}
	}
}

// TestParquetRefused checks the errors for columns and values that cannot be read, and reads a damaged file.
func TestParquetRefused(t *testing.T) {
	t.Parallel()
	type nested struct{ Tags []string }
	if _, err := readAll(t, writeParquet(t, nested{}), Mapping{Type: "t"}); err == nil ||
		!strings.Contains(err.Error(),
			"column Tags is a list or a map, which a field cannot hold; leave it out with --ignore Tags") {
		t.Errorf("nested: %v", err)
	}
	type binary struct{ B []byte }
	if _, err := readAll(t, writeParquet(t, binary{[]byte{0xff}}), Mapping{Type: "t"}); err == nil ||
		!strings.Contains(err.Error(), "row 1: column B is not UTF-8") {
		t.Errorf("binary: %v", err)
	}
	raw, err := os.ReadFile(writeParquet(t, make([]flat, 100)...))
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < len(raw)-8; i += 29 { // An error is correct here, a panic is not.
		broken := append([]byte(nil), raw...)
		broken[i] ^= 0xff
		path := writeFile(t, "a.parquet", broken)
		if r, err := Open(input.Local(path), Mapping{Type: "t"}); err == nil {
			for range 200 {
				var refused *Refused
				if _, err := r.Next(); err != nil && !errors.As(err, &refused) {
					break
				}
			}
			_ = r.Close()
		}
	}
}

// TestDamagedParquet flips two bits of each byte of a file in turn. The file is refused or gives lines of JSON, and
// the reader neither panics nor runs for ever.
func TestDamagedParquet(t *testing.T) {
	t.Parallel()
	page := "/"
	raw, err := os.ReadFile(writeParquet(t, flat{ID: 7, Page: &page, Share: 0.5}, flat{ID: 8, OK: true}))
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "a.parquet", raw)
	for i := range raw {
		damaged := slices.Clone(raw)
		damaged[i] ^= 0x81
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(input.Local(path), Mapping{Type: "t"})
		if err != nil {
			continue
		}
		for rows := 0; ; rows++ {
			line, err := r.Next()
			var refused *Refused
			if err != nil && !errors.As(err, &refused) {
				break
			}
			if rows > len(raw) || err == nil && !json.Valid(line) {
				t.Fatalf("byte %d: row %d is %s", i, rows, line)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
