package table

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

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
		var file bytes.Buffer
		if err := parquet.Write(&file, make([]struct{ A int64 }, 3)); err != nil {
			t.Fatal(err)
		}
		p, err := newParquet(bytes.NewReader(file.Bytes()), int64(file.Len()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.reader = rows(p.reader)
		for err == nil {
			_, err = p.Next()
		}
		if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "of 3 rows") {
			t.Errorf("%s: got error %v, want one that names the 3 rows", name, err)
		}
		if err := p.reader.Close(); err != nil {
			t.Error(err)
		}
	}
}

// nothing returns neither rows nor the end.
type nothing struct{ parquet.Rows }

func (nothing) ReadRows([]parquet.Row) (int, error) { return 0, nil }
