package object

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// decoder reads one column chunk from some row on. It decodes pages itself, because parquet-go's
// reader of typed rows has a twentieth of the speed.
type decoder struct {
	leaf
	codes      bool // every page of strings holds dictionary codes, and the decoder returns codes
	lends      bool // arrays may be in the memory of the page, and are valid until the next one is made
	pages      *parquet.FilePages
	dictionary *array.String // nil before a page that has one

	page   parquet.Page
	rows   int    // rows of the page
	row    int    // the next row of the page
	value  int    // the next value of the page that is not null
	levels []byte // 1 for a row with a value, 0 for a null row; nil if no row of the page is null
	bits   []byte // the values of a page of booleans, a byte each
}

// openDecoder fetches the bytes of the chunk that the rows [from, to) of the row group need. Then
// it moves to the row from.
func (f *File) openDecoder(chunk *parquet.FileColumnChunk, meta *format.ColumnMetaData, l leaf, from,
	to int64) (*decoder, error) {
	index, err := chunk.OffsetIndex()
	if err != nil {
		return nil, fmt.Errorf("%w: its offset index: %w", ErrMalformed, err)
	}
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	first := pageOf(index, from)
	last := pageOf(index, to-1)
	data := span{index.Offset(first), index.Offset(last) + index.CompressedPageSize(last)}
	dictionary := span{data.from, data.from}
	if meta.DictionaryPageOffset > 0 {
		dictionary = span{meta.DictionaryPageOffset, index.Offset(0)}
	}
	fetched, err := f.fetch(dictionary, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{leaf: l, pages: chunk.PagesFrom(fetched), codes: l.kind == kindString && allCodes(meta),
		lends: f.lends}
	if err := d.seek(index.FirstRowIndex(first), from); err != nil {
		d.close()
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, nil
}

// checkIndex checks that pages begin with the first row of the row group, so that every row has a page.
func checkIndex(index parquet.OffsetIndex) error {
	if index.NumPages() == 0 {
		return fmt.Errorf("%w: its offset index names no page", ErrMalformed)
	}
	if first := index.FirstRowIndex(0); first != 0 {
		return fmt.Errorf("%w: its offset index begins at row %d, not at row 0", ErrMalformed, first)
	}
	return nil
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

// seek moves to a row of the group. pageStart is the first row of its page. parquet-go's own seek
// to a row in a page slices the page, which loses the offset of booleans.
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
		d.value = countValues(d.levels[:d.row])
	}
	return nil
}

// countValues returns how many of the rows have a value.
func countValues(levels []byte) (n int) {
	for _, l := range levels {
		n += int(l)
	}
	return n
}

// load moves to the next page that has rows.
func (d *decoder) load() error {
	d.release()
	for {
		page, err := d.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if page.NumRows() > 0 {
			d.setPage(page)
			return nil
		}
		parquet.Release(page)
	}
}

// setPage makes the page the current page.
func (d *decoder) setPage(page parquet.Page) {
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
	if found := page.Dictionary(); found != nil && d.dictionary == nil {
		data := found.Page().Data()
		values, offsets := data.ByteArray()
		d.dictionary = newStrings(values, offsets)
	}
}

// unpack appends the booleans of the page to values, a byte each.
func unpack(values []byte, page parquet.Page) []byte {
	data := page.Data()
	packed := data.Boolean()
	for i := range int(page.NumValues() - page.NumNulls()) {
		values = append(values, packed[i/8]>>(i%8)&1)
	}
	return values
}

func (d *decoder) release() {
	if d.page != nil {
		parquet.Release(d.page)
		d.page = nil
	}
}

func (d *decoder) close() {
	d.release()
	_ = d.pages.Close() // The pages are in memory, so closing them cannot lose anything.
}

// codeType is the Arrow type of dictionary-encoded strings.
var codeType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

func (d *decoder) arrowType() arrow.DataType {
	if d.codes {
		return codeType
	}
	return d.kind.arrow()
}

// span is the range [from, to) of the object's bytes.
type span struct{ from, to int64 }

// fetchedSpans reads an object from the spans of it that have been fetched.
type fetchedSpans struct {
	spans []span
	data  [][]byte
}

// fetch reads the two spans, with one read if they meet. An object in memory is not read again.
func (f *File) fetch(dictionary, data span) (*fetchedSpans, error) {
	spans := []span{dictionary, data}
	if dictionary.to == data.from {
		spans = []span{{dictionary.from, data.to}}
	}
	out := &fetchedSpans{spans: spans}
	for _, s := range spans {
		if s.from < 0 || s.to < s.from || s.to > f.object.Size {
			return nil, fmt.Errorf("%w: bytes [%d, %d) of %d", ErrMalformed, s.from, s.to, f.object.Size)
		}
		if f.raw != nil {
			out.data = append(out.data, f.raw[s.from:s.to])
			continue
		}
		raw := make([]byte, s.to-s.from)
		if n, err := f.reader.ReadAt(raw, s.from); n < len(raw) {
			return nil, err
		}
		out.data = append(out.data, raw)
	}
	return out, nil
}

// ReadAt implements io.ReaderAt. A read past the fetched bytes ends with io.EOF, so parquet-go's
// reading ahead fetches no pages that are not wanted.
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
