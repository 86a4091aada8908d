package object

import (
	"fmt"
	"io"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// decoder reads one column chunk from a row on. Pages are taken apart here, because
// parquet-go's reader of typed rows has a twentieth of the speed.
type decoder struct {
	leaf
	codes bool // every page of strings holds dictionary codes, and they are read as such
	pages *parquet.FilePages
	dict  *array.String

	page   parquet.Page
	rows   int
	row    int    // next row of the page
	value  int    // next non-null value of the page
	levels []byte // of each row, 1 for a value; nil when no row of the page is null
	bits   []byte // values of a page of booleans, a byte each
}

// openDecoder fetches what rows [from, to) of the row group need of the chunk, and stands at from.
func (f *File) openDecoder(chunk *parquet.FileColumnChunk, meta *format.ColumnMetaData, l leaf, from,
	to int64) (*decoder, error) {
	index, err := chunk.OffsetIndex()
	if err != nil || index.NumPages() == 0 || index.FirstRowIndex(0) != 0 {
		return nil, fmt.Errorf("%w: no offset index: %w", ErrMalformed, err)
	}
	first := pageOf(index, from)
	last := pageOf(index, to-1)
	data := span{index.Offset(first), index.Offset(last) + index.CompressedPageSize(last)}
	dict := span{data.from, data.from}
	if meta.DictionaryPageOffset > 0 {
		dict = span{meta.DictionaryPageOffset, index.Offset(0)}
	}
	fetched, err := f.fetch(dict, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{leaf: l, pages: chunk.PagesFrom(fetched), codes: l.kind == kindString && allCodes(meta)}
	if err := d.seek(index.FirstRowIndex(first), from); err != nil {
		d.close()
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, nil
}

// pageOf returns the page that holds the row.
func pageOf(index parquet.OffsetIndex, row int64) int {
	return sort.Search(index.NumPages(), func(i int) bool { return index.FirstRowIndex(i) > row }) - 1
}

// allCodes reports whether every data page of the chunk is dictionary-encoded.
func allCodes(meta *format.ColumnMetaData) bool {
	pages := 0
	for _, s := range meta.EncodingStats {
		if s.PageType == format.DictionaryPage {
			continue
		}
		if s.Encoding != format.RLEDictionary {
			return false
		}
		pages++
	}
	return pages > 0
}

// seek moves to the row of the group, given the first row of its page. parquet-go's own
// seek to a row in a page slices the page, which loses the offset of booleans.
func (d *decoder) seek(pageStart, row int64) error {
	if err := d.pages.SeekToRow(pageStart); err != nil {
		return err
	}
	if err := d.load(); err != nil {
		return err
	}
	d.row = int(row - pageStart)
	if d.row < 0 || d.row >= d.rows {
		return fmt.Errorf("row %d is not in the page of %d rows from row %d", row, d.rows, pageStart)
	}
	d.value = d.row
	if d.levels != nil {
		d.value = ones(d.levels[:d.row])
	}
	return nil
}

func ones(levels []byte) (n int) {
	for _, l := range levels {
		n += int(l)
	}
	return n
}

// load goes to the next page that has rows.
func (d *decoder) load() error {
	d.release()
	for {
		page, err := d.pages.ReadPage()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if page.NumRows() > 0 {
			return d.take(page)
		}
		parquet.Release(page)
	}
}

// take makes the page the current one.
func (d *decoder) take(page parquet.Page) error {
	d.page = page
	d.rows = int(page.NumRows())
	d.row = 0
	d.value = 0
	d.levels = nil
	if d.optional && page.NumNulls() > 0 {
		d.levels = page.DefinitionLevels()
	}
	if d.kind == kindBool {
		d.bits = unpack(d.bits[:0], page)
	}
	if dict := page.Dictionary(); dict != nil && d.dict == nil {
		data := dict.Page().Data()
		values, offsets := data.ByteArray()
		d.dict = newStrings(values, offsets)
	}
	return nil
}

func unpack(dst []byte, page parquet.Page) []byte {
	data := page.Data()
	packed := data.Boolean()
	for i := range int(page.NumValues() - page.NumNulls()) {
		dst = append(dst, packed[i/8]>>(i%8)&1)
	}
	return dst
}

func (d *decoder) release() {
	if d.page != nil {
		parquet.Release(d.page)
		d.page = nil
	}
}

func (d *decoder) close() {
	d.release()
	_ = d.pages.Close() // Closing a reader of memory cannot lose anything.
}

// codeType is the Arrow type of dictionary-encoded strings.
var codeType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

func (d *decoder) arrowType() arrow.DataType {
	if d.codes {
		return codeType
	}
	return d.kind.arrow()
}

// span is a range of the object's bytes.
type span struct{ from, to int64 }

// fetchedSpans is an object's reader that serves what was fetched from memory.
type fetchedSpans struct {
	spans []span
	data  [][]byte
}

// fetch reads the two spans, in one go where they meet.
func (f *File) fetch(dict, data span) (*fetchedSpans, error) {
	spans := []span{dict, data}
	if dict.to == data.from {
		spans = []span{{dict.from, data.to}}
	}
	out := &fetchedSpans{spans: spans}
	for _, s := range spans {
		if s.from < 0 || s.to < s.from || s.to > f.object.Size {
			return nil, fmt.Errorf("%w: bytes [%d, %d) of %d", ErrMalformed, s.from, s.to, f.object.Size)
		}
		buf := make([]byte, s.to-s.from)
		if n, err := f.reader.ReadAt(buf, s.from); n < len(buf) {
			return nil, err
		}
		out.data = append(out.data, buf)
	}
	return out, nil
}

// ReadAt implements io.ReaderAt. Reading ahead stops where the fetched bytes end, with
// io.EOF, rather than asking the store for pages nobody wants.
func (f *fetchedSpans) ReadAt(p []byte, off int64) (int, error) {
	for i, s := range f.spans {
		if off < s.from || off >= s.to {
			continue
		}
		n := copy(p, f.data[i][off-s.from:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	return 0, io.EOF
}
