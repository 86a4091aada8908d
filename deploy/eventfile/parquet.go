package eventfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

type parquetFile struct {
	file   *os.File
	reader parquet.Rows
	total  int64
	names  []string
	units  []time.Duration // of timestamp columns, 0 otherwise
	rows   []parquet.Row
	at, n  int
	done   int64
	event  event
}

func newParquet(f *os.File, size int64, e event) (p *parquetFile, err error) {
	defer func() { // The library panics on some malformed files.
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed Parquet file: %v", r)
		}
	}()
	pf, err := parquet.OpenFile(f, size)
	if err != nil {
		return nil, err
	}
	p = &parquetFile{file: f, rows: make([]parquet.Row, 1024), event: e}
	for _, field := range pf.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("column %s is nested; only flat files can be read", field.Name())
		}
		p.names = append(p.names, field.Name())
		p.units = append(p.units, unitOf(field.Type().LogicalType()))
	}
	p.reader, p.total = parquet.MultiRowGroup(pf.RowGroups()...).Rows(), pf.NumRows()
	return p, e.m.checkColumns(p.names)
}

func unitOf(t *format.LogicalType) time.Duration {
	if t == nil {
		return 0
	}
	ts, ok := t.Value.(*format.TimestampType)
	if !ok {
		return 0
	}
	return ts.Unit.Value.Duration()
}

func (p *parquetFile) Next() (line []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed Parquet file near row %d: %v", p.done, r)
		}
	}()
	if p.at == p.n {
		n, err := p.reader.ReadRows(p.rows)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("row %d: %w", p.done, err)
		}
		p.at, p.n = 0, n
	}
	p.event.begin()
	for _, v := range p.rows[p.at] {
		if v.IsNull() {
			continue
		}
		if k := v.Kind(); (k == parquet.ByteArray || k == parquet.FixedLenByteArray) && !utf8.Valid(v.ByteArray()) {
			return nil, fmt.Errorf("row %d: column %s is not UTF-8 text", p.done+1, p.names[v.Column()])
		}
		p.event.put(p.names[v.Column()], p.value(v))
	}
	p.at++
	p.done++
	return p.event.json(), nil
}

func (p *parquetFile) value(v parquet.Value) []byte {
	switch unit := p.units[v.Column()]; {
	case unit > 0:
		t := time.Unix(0, 0).UTC().Add(time.Duration(v.Int64()) * unit)
		if unit != time.Nanosecond {
			per := int64(time.Second / unit)
			t = time.Unix(floorDiv(v.Int64(), per), (v.Int64()-floorDiv(v.Int64(), per)*per)*int64(unit)).UTC()
		}
		return appendString(nil, t.Format(time.RFC3339Nano))
	case v.Kind() == parquet.Boolean:
		return strconv.AppendBool(nil, v.Boolean())
	case v.Kind() == parquet.Int32:
		return strconv.AppendInt(nil, int64(v.Int32()), 10)
	case v.Kind() == parquet.Int64:
		return strconv.AppendInt(nil, v.Int64(), 10)
	case v.Kind() == parquet.Float:
		return number(float64(v.Float()))
	case v.Kind() == parquet.Double:
		return number(v.Double())
	}
	return appendString(nil, string(v.ByteArray()))
}

// number writes a float; JSON has no NaN or infinity, which become null.
func number(f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null")
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return []byte("null")
	}
	return raw
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (p *parquetFile) Progress() (int64, int64) { return p.done, p.total }

func (p *parquetFile) Close() error { return errors.Join(p.reader.Close(), p.file.Close()) }
