package object

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// indexedBytes is how long a bound in a column index may be.
const indexedBytes = 16

// fileWriter writes columns as a Parquet file. The writer of parquet-go accepts values only, one struct for each,
// and looks up each in the dictionary. This one passes whole pages of one type to the same encodings. Its files have
// the same bytes, which TestWriterMatchesParquetGo checks: objects that landed before can be rebuilt (C8).
type fileWriter struct {
	out           *bytes.Buffer
	fields        []parquet.Field
	groups        []format.RowGroup
	columnIndexes [][]format.ColumnIndex
	offsetIndexes [][]format.OffsetIndex

	pages    bytes.Buffer // the pages of a column, until its dictionary is written
	levels   []byte
	encoded  []byte
	packed   []byte
	header   bytes.Buffer
	protocol thrift.CompactProtocol
	page     pageValues
}

func (w *fileWriter) reset(out *bytes.Buffer, schema *parquet.Schema) {
	w.out = out
	w.fields = schema.Fields()
	out.WriteString("PAR1")
}

// forget lets go of the file, so that a writer that waits for the next one does not keep it in memory.
func (w *fileWriter) forget() {
	w.out = nil
	w.groups = nil
	w.columnIndexes = nil
	w.offsetIndexes = nil
}

// beginGroup begins a row group.
func (w *fileWriter) beginGroup(rows int) {
	w.groups = append(w.groups, format.RowGroup{NumRows: int64(rows), FileOffset: int64(w.out.Len()),
		Ordinal: int16(len(w.groups))})
	w.columnIndexes = append(w.columnIndexes, nil)
	w.offsetIndexes = append(w.offsetIndexes, nil)
}

// chunk is a column in a row group while it is written.
type chunk struct {
	column     *column
	kind       parquet.Type
	meta       format.ColumnMetaData
	index      parquet.ColumnIndexer
	offsets    format.OffsetIndex
	histograms []int64 // of definition levels, by page
	dictionary *dictionary
	coded      bool // pages have codes of the dictionary
	rows       int64
	low, high  parquet.Value // of the pages so far
	bounded    bool
}

// writeChunk writes the next column of the row group. Columns come in the order of the schema.
func (w *fileWriter) writeChunk(c *column, rows []uint32, coded bool) error {
	k := c.kind.node().Type()
	ch := &chunk{column: c, kind: k, coded: coded, index: k.NewColumnIndexer(indexedBytes)}
	ch.meta = format.ColumnMetaData{Type: format.Type(k.Kind()), Encoding: encodingsOf(c, coded),
		PathInSchema: []string{c.name}, Codec: compression.CompressionCodec()}
	if c.optional {
		ch.meta.SizeStatistics.DefinitionLevelHistogram = make([]int64, 2)
	}
	if coded {
		ch.dictionary = newDictionary()
	}
	w.pages.Reset()
	for len(rows) > 0 {
		page := rows[:min(len(rows), rowsPerPage)]
		if err := w.writePage(ch, page); err != nil {
			return err
		}
		rows = rows[len(page):]
	}
	return w.endChunk(ch)
}

// encodingsOf returns the encodings of a column, in order: those of levels, dictionary and values.
func encodingsOf(c *column, coded bool) []format.Encoding {
	out := []format.Encoding{format.Plain}
	if c.optional {
		out = append(out, format.RLE)
	}
	if coded {
		out = append(out, format.RLEDictionary)
	}
	return out
}

// writePage writes the rows of one page.
func (w *fileWriter) writePage(ch *chunk, rows []uint32) error {
	c := ch.column
	present := rows
	w.levels = w.levels[:0]
	nulls := 0
	if c.optional {
		present = w.page.present(c, rows)
		nulls = len(rows) - len(present)
		levels := rle.Encoding{BitWidth: 1}
		var err error
		if w.levels, err = levels.EncodeLevels(w.levels, w.page.levels); err != nil {
			return err
		}
	}
	low, high, err := w.encodeValues(ch, present)
	if err != nil {
		return err
	}
	if w.packed, err = compression.Encode(w.packed[:0], w.encoded); err != nil {
		return err
	}
	h := format.PageHeader{Type: format.DataPageV2,
		UncompressedPageSize: int32(len(w.levels) + len(w.encoded)),
		CompressedPageSize:   int32(len(w.levels) + len(w.packed)),
		CRC:                  int32(crc32.Update(crc32.ChecksumIEEE(w.levels), crc32.IEEETable, w.packed))}
	h.DataPageHeaderV2.Set(format.DataPageHeaderV2{NumValues: int32(len(rows)), NumNulls: int32(nulls),
		NumRows: int32(len(rows)), Encoding: ch.encoding(), DefinitionLevelsByteLength: int32(len(w.levels)),
		IsCompressed: thrift.New(true), Statistics: format.Statistics{Min: low.Bytes(), Max: high.Bytes(),
			NullCount: int64(nulls), MinValue: low.Bytes(), MaxValue: high.Bytes()}})
	size, err := w.encodeHeader(&h)
	if err != nil {
		return err
	}
	w.pages.Write(w.header.Bytes())
	w.pages.Write(w.levels)
	w.pages.Write(w.packed)
	if len(present) > 0 {
		ch.addBounds(low, high)
	}
	ch.index.IndexPage(int64(len(rows)), int64(nulls), low, high)
	ch.addRows(rows, nulls, size+h.CompressedPageSize)
	ch.addPage(&h, size, ch.encoding())
	if c.kind == kindString && !ch.coded {
		ch.meta.SizeStatistics.UnencodedByteArrayDataBytes += int64(len(w.page.bytes))
	}
	if ch.coded && len(ch.dictionary.text) > dictionaryLimit {
		ch.coded = false // The pages after this one are plain.
	}
	return nil
}

// encodeValues encodes the values of the rows, which are not null, and returns the lowest and the highest.
func (w *fileWriter) encodeValues(ch *chunk, rows []uint32) (low, high parquet.Value, err error) {
	if ch.coded {
		w.page.codes = ch.dictionary.codes(w.page.codes[:0], ch.column, rows)
		w.encoded, err = parquet.RLEDictionary.EncodeInt32(w.encoded[:0], w.page.codes)
		low, high = ch.dictionary.bounds(w.page.codes)
		return low, high, err
	}
	values := w.page.gather(ch.column, rows)
	w.encoded, err = ch.kind.Encode(w.encoded[:0], values, &parquet.Plain)
	low, high, _ = ch.kind.NewPage(0, len(rows), values).Bounds()
	return low, high, err
}

// encodeHeader encodes the header of a page and returns its size.
func (w *fileWriter) encodeHeader(h *format.PageHeader) (int32, error) {
	w.header.Reset()
	err := thrift.NewEncoder(w.protocol.NewWriter(&w.header)).Encode(h)
	return int32(w.header.Len()), err
}

func (ch *chunk) encoding() format.Encoding {
	if ch.coded {
		return format.RLEDictionary
	}
	return format.Plain
}

// addBounds widens the bounds of the chunk by those of a page.
func (ch *chunk) addBounds(low, high parquet.Value) {
	if !ch.bounded || ch.kind.Compare(high, ch.high) > 0 {
		ch.high = high.Clone()
	}
	if !ch.bounded || ch.kind.Compare(low, ch.low) < 0 {
		ch.low = low.Clone()
	}
	ch.bounded = true
}

// addRows counts the rows of a page of so many bytes.
func (ch *chunk) addRows(rows []uint32, nulls int, size int32) {
	n := int64(len(rows))
	ch.meta.NumValues += n
	ch.meta.Statistics.NullCount += int64(nulls)
	ch.offsets.PageLocations = append(ch.offsets.PageLocations, format.PageLocation{
		Offset: ch.meta.TotalCompressedSize, CompressedPageSize: size, FirstRowIndex: ch.rows})
	ch.rows += n
	if h := ch.meta.SizeStatistics.DefinitionLevelHistogram; h != nil {
		h[0] += int64(nulls)
		h[1] += n - int64(nulls)
		ch.histograms = append(ch.histograms, int64(nulls), n-int64(nulls))
	}
}

// addPage counts a page whose header has so many bytes.
func (ch *chunk) addPage(h *format.PageHeader, header int32, e format.Encoding) {
	ch.meta.TotalUncompressedSize += int64(header + h.UncompressedPageSize)
	ch.meta.TotalCompressedSize += int64(header + h.CompressedPageSize)
	i := slices.IndexFunc(ch.meta.EncodingStats, func(s format.PageEncodingStats) bool {
		return s.PageType == h.Type && s.Encoding == e
	})
	if i < 0 {
		ch.meta.EncodingStats = append(ch.meta.EncodingStats, format.PageEncodingStats{PageType: h.Type, Encoding: e})
		i = len(ch.meta.EncodingStats) - 1
	}
	ch.meta.EncodingStats[i].Count++
}

// endChunk writes the dictionary and the pages of the column to the file.
func (w *fileWriter) endChunk(ch *chunk) error {
	if ch.dictionary != nil {
		if err := w.writeDictionary(ch); err != nil {
			return err
		}
	}
	ch.meta.DataPageOffset = int64(w.out.Len())
	for i := range ch.offsets.PageLocations {
		ch.offsets.PageLocations[i].Offset += ch.meta.DataPageOffset
	}
	w.out.Write(w.pages.Bytes())
	if ch.bounded {
		ch.meta.Statistics.MinValue = ch.low.AppendBytes([]byte{})
		ch.meta.Statistics.MaxValue = ch.high.AppendBytes([]byte{})
	}
	slices.SortFunc(ch.meta.EncodingStats, func(a, b format.PageEncodingStats) int {
		return cmp.Or(cmp.Compare(a.PageType, b.PageType), cmp.Compare(a.Encoding, b.Encoding))
	})
	index := ch.index.ColumnIndex()
	index.DefinitionLevelHistogram = ch.histograms
	last := len(w.groups) - 1
	w.columnIndexes[last] = append(w.columnIndexes[last], index)
	w.offsetIndexes[last] = append(w.offsetIndexes[last], ch.offsets)
	g := &w.groups[last]
	g.Columns = append(g.Columns, format.ColumnChunk{MetaData: ch.meta})
	g.TotalByteSize += ch.meta.TotalUncompressedSize
	g.TotalCompressedSize += ch.meta.TotalCompressedSize
	return nil
}

func (w *fileWriter) writeDictionary(ch *chunk) (err error) {
	ch.meta.DictionaryPageOffset = int64(w.out.Len())
	values := encoding.ByteArrayValues(ch.dictionary.text, ch.dictionary.ends)
	if w.encoded, err = ch.kind.Encode(w.encoded[:0], values, &parquet.Plain); err != nil {
		return err
	}
	if w.packed, err = compression.Encode(w.packed[:0], w.encoded); err != nil {
		return err
	}
	h := format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(w.encoded)),
		CompressedPageSize: int32(len(w.packed)), CRC: int32(crc32.ChecksumIEEE(w.packed))}
	h.DictionaryPageHeader.Set(format.DictionaryPageHeader{NumValues: int32(len(ch.dictionary.ends) - 1),
		Encoding: format.Plain})
	size, err := w.encodeHeader(&h)
	w.out.Write(w.header.Bytes())
	w.out.Write(w.packed)
	ch.addPage(&h, size, format.Plain)
	return err
}

// close writes the indexes of pages and the footer. sorted are the columns by which the rows are sorted.
func (w *fileWriter) close(sorted ...string) error {
	encoder := thrift.NewEncoder(w.protocol.NewWriter(w.out))
	for i, g := range w.groups {
		for j := range g.Columns {
			c := &g.Columns[j]
			c.ColumnIndexOffset = int64(w.out.Len())
			if err := encoder.Encode(&w.columnIndexes[i][j]); err != nil {
				return err
			}
			c.ColumnIndexLength = int32(int64(w.out.Len()) - c.ColumnIndexOffset)
		}
	}
	for i, g := range w.groups {
		for j := range g.Columns {
			c := &g.Columns[j]
			c.OffsetIndexOffset = int64(w.out.Len())
			if err := encoder.Encode(&w.offsetIndexes[i][j]); err != nil {
				return err
			}
			c.OffsetIndexLength = int32(int64(w.out.Len()) - c.OffsetIndexOffset)
		}
	}
	meta := format.FileMetaData{Version: 2, CreatedBy: "recount version 1(build 0)", Schema: w.schemaElements(),
		KeyValueMetadata: []format.KeyValue{}}
	for _, name := range sorted {
		at := slices.IndexFunc(w.fields, func(f parquet.Field) bool { return f.Name() == name })
		for i := range w.groups {
			w.groups[i].SortingColumns = append(w.groups[i].SortingColumns, format.SortingColumn{ColumnIdx: int32(at)})
		}
	}
	for _, g := range w.groups {
		meta.NumRows += g.NumRows
	}
	for _, f := range w.fields {
		meta.ColumnOrders = append(meta.ColumnOrders, *f.Type().ColumnOrder())
	}
	meta.RowGroups = w.groups
	start := w.out.Len()
	if err := encoder.Encode(&meta); err != nil {
		return err
	}
	w.out.Write(binary.LittleEndian.AppendUint32(nil, uint32(w.out.Len()-start)))
	w.out.WriteString("PAR1")
	return nil
}

// schemaElements returns the root of the schema and its columns.
func (w *fileWriter) schemaElements() []format.SchemaElement {
	root := format.SchemaElement{Name: "event"}
	root.NumChildren.Set(int32(len(w.fields)))
	out := []format.SchemaElement{root}
	for _, f := range w.fields {
		t := f.Type()
		e := format.SchemaElement{Name: f.Name()}
		e.RepetitionType.Set(format.Required)
		if f.Optional() {
			e.RepetitionType.Set(format.Optional)
		}
		if l := t.LogicalType(); l != nil {
			e.LogicalType = *l
			if d, ok := l.Value.(*format.DecimalType); ok { // Older readers want it here.
				e.Scale.Set(d.Scale)
				e.Precision.Set(d.Precision)
			}
		}
		if n := int32(t.Length()); n > 0 {
			e.TypeLength.Set(n)
		}
		if p := t.PhysicalType(); p != nil {
			e.Type.Set(*p)
		}
		if c := t.ConvertedType(); c != nil {
			e.ConvertedType.Set(*c)
		}
		out = append(out, e)
	}
	return out
}
