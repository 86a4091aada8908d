package eventfile

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestParquetMeaningless checks that types without a form in an event are refused instead of sent as stored.
func TestParquetMeaningless(t *testing.T) {
	t.Parallel()
	for says, node := range map[string]parquet.Node{
		"column c is TIME":     parquet.Time(parquet.Millisecond),
		"column c is BSON":     parquet.BSON(),
		"column c is INT96":    parquet.Leaf(parquet.Int96Type),
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

// few returns at most two rows at a time, and the end of the file instead of an error.
type few struct{ parquet.Rows }

func (f few) ReadRows(rows []parquet.Row) (int, error) {
	n, err := f.Rows.ReadRows(rows[:min(len(rows), 2)])
	if err == nil && n > 0 {
		return n, nil
	}
	return 0, io.EOF
}

// TestParquetCut checks that a file which ends before the row count it states is an error.
func TestParquetCut(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]func(parquet.Rows) parquet.Rows{
		"end": func(r parquet.Rows) parquet.Rows {
			_ = r.SeekToRow(1)
			return few{r}
		},
		"nothing": func(r parquet.Rows) parquet.Rows { return nothing{r} },
	} {
		r, err := Open(writeParquet(t, make([]flat, 3)...), Mapping{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		p := r.(*parquetFile)
		p.reader = rows(p.reader)
		for err == nil {
			_, err = r.Next()
		}
		if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "of 3 rows") {
			t.Errorf("%s: got error %v, want one that names the 3 rows", name, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// nothing returns neither rows nor the end.
type nothing struct{ parquet.Rows }

func (nothing) ReadRows([]parquet.Row) (int, error) { return 0, nil }

// TestParquetRefused checks the errors for columns and values that cannot be read, and reads a damaged file.
func TestParquetRefused(t *testing.T) {
	t.Parallel()
	type nested struct{ Tags []string }
	if _, err := readAll(t, writeParquet(t, nested{}), Mapping{Type: "t"}); err == nil ||
		!strings.Contains(err.Error(), "column Tags is nested; only flat files can be read") {
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
		if r, err := Open(path, Mapping{Type: "t"}); err == nil {
			for range 200 {
				if _, err := r.Next(); err != nil {
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
		r, err := Open(path, Mapping{Type: "t"})
		if err != nil {
			continue
		}
		for rows := 0; ; rows++ {
			line, err := r.Next()
			if err != nil {
				break
			}
			if rows > len(raw) || !json.Valid(line) {
				t.Fatalf("byte %d: row %d is %s", i, rows, line)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
