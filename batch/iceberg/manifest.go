package iceberg

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"recount/schemas/record"
)

// The states of an entry. Nothing is ever written as deleted: what leaves the table leaves its manifests.
const (
	statusExisting int32 = 0 // a snapshot before that of the manifest added it
	statusAdded    int32 = 1
)

// entry names one data file in a manifest.
type entry struct {
	Status       int32    `avro:"status"`
	Snapshot     *int64   `avro:"snapshot_id"`
	Sequence     *int64   `avro:"sequence_number"`
	FileSequence *int64   `avro:"file_sequence_number"`
	File         dataFile `avro:"data_file"`
}

// dataFile is an object of the lake. The bounds are those of the column time, by the number of the field.
type dataFile struct {
	Content     int32    `avro:"content"` // 0: data
	Path        string   `avro:"file_path"`
	Format      string   `avro:"file_format"`
	Partition   struct{} `avro:"partition"`
	Rows        int64    `avro:"record_count"`
	Bytes       int64    `avro:"file_size_in_bytes"`
	ColumnSizes []size   `avro:"column_sizes"` // empty; pyiceberg's inspect.entries fails where it is null
	LowerBounds []bound  `avro:"lower_bounds"`
	UpperBounds []bound  `avro:"upper_bounds"`
}

// size is how many bytes a column has in a file.
type size struct {
	Field int32 `avro:"key"`
	Bytes int64 `avro:"value"`
}

// bound is a value below or above which a file has none in a column, in the encoding of the column's type.
type bound struct {
	Field int32  `avro:"key"`
	Value []byte `avro:"value"`
}

var entrySchema = avro.MustParse(`{"type":"record","name":"manifest_entry","fields":[
	{"name":"status","type":"int","field-id":0},
	{"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},
	{"name":"sequence_number","type":["null","long"],"default":null,"field-id":3},
	{"name":"file_sequence_number","type":["null","long"],"default":null,"field-id":4},
	{"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
		{"name":"content","type":"int","field-id":134},
		{"name":"file_path","type":"string","field-id":100},
		{"name":"file_format","type":"string","field-id":101},
		{"name":"partition","type":{"type":"record","name":"r102","fields":[]},"field-id":102},
		{"name":"record_count","type":"long","field-id":103},
		{"name":"file_size_in_bytes","type":"long","field-id":104},
		{"name":"column_sizes","field-id":108,"default":null,"type":["null",{"type":"array","logicalType":"map",
			"items":{"type":"record","name":"k117_v118","fields":[
				{"name":"key","type":"int","field-id":117},{"name":"value","type":"long","field-id":118}]}}]},
		{"name":"lower_bounds","field-id":125,"default":null,"type":["null",{"type":"array","logicalType":"map",
			"items":{"type":"record","name":"k126_v127","fields":[
				{"name":"key","type":"int","field-id":126},{"name":"value","type":"bytes","field-id":127}]}}]},
		{"name":"upper_bounds","field-id":128,"default":null,"type":["null",{"type":"array","logicalType":"map",
			"items":{"type":"record","name":"k129_v130","fields":[
				{"name":"key","type":"int","field-id":129},{"name":"value","type":"bytes","field-id":130}]}}]}
	]}}
]}`)

// manifest is an entry of a manifest list.
type manifest struct {
	Path         string `avro:"manifest_path"`
	Length       int64  `avro:"manifest_length"`
	Spec         int32  `avro:"partition_spec_id"`
	Content      int32  `avro:"content"` // 0: data
	Sequence     int64  `avro:"sequence_number"`
	MinSequence  int64  `avro:"min_sequence_number"`
	Snapshot     int64  `avro:"added_snapshot_id"`
	Added        int32  `avro:"added_files_count"`
	Existing     int32  `avro:"existing_files_count"`
	Deleted      int32  `avro:"deleted_files_count"`
	AddedRows    int64  `avro:"added_rows_count"`
	ExistingRows int64  `avro:"existing_rows_count"`
	DeletedRows  int64  `avro:"deleted_rows_count"`
}

// files returns how many files the manifest names.
func (m *manifest) files() int { return int(m.Added) + int(m.Existing) }

var listSchema = avro.MustParse(`{"type":"record","name":"manifest_file","fields":[
	{"name":"manifest_path","type":"string","field-id":500},
	{"name":"manifest_length","type":"long","field-id":501},
	{"name":"partition_spec_id","type":"int","field-id":502},
	{"name":"content","type":"int","field-id":517},
	{"name":"sequence_number","type":"long","field-id":515},
	{"name":"min_sequence_number","type":"long","field-id":516},
	{"name":"added_snapshot_id","type":"long","field-id":503},
	{"name":"added_files_count","type":"int","field-id":504},
	{"name":"existing_files_count","type":"int","field-id":505},
	{"name":"deleted_files_count","type":"int","field-id":506},
	{"name":"added_rows_count","type":"long","field-id":512},
	{"name":"existing_rows_count","type":"long","field-id":513},
	{"name":"deleted_rows_count","type":"long","field-id":514}
]}`)

// newEntry returns the entry of an object that publication n is the first to count. The bounds of its times are those
// of its buckets, which the commit record has, so no object is opened. width is the width of a bucket.
func newEntry(path string, o *record.Object, n, width int64) *entry {
	first := o.Buckets[0].Bucket
	last := o.Buckets[len(o.Buckets)-1].Bucket + width - 1
	value := func(micros int64) []bound {
		return []bound{{Field: timeField, Value: binary.LittleEndian.AppendUint64(nil, uint64(micros))}}
	}
	return &entry{Status: statusAdded, Snapshot: &n, Sequence: &n, FileSequence: &n, File: dataFile{
		Path: path, Format: "PARQUET", Rows: o.Rows, Bytes: o.Size, ColumnSizes: []size{},
		LowerBounds: value(first), UpperBounds: value(last),
	}}
}

// encodeManifest returns the file of a manifest, and what a list says of it but for its path.
func encodeManifest(entries []*entry, s *schema, n int64) ([]byte, *manifest, error) {
	m := &manifest{Sequence: n, MinSequence: n, Snapshot: n}
	for _, e := range entries {
		m.MinSequence = min(m.MinSequence, *e.Sequence)
		if e.Status == statusAdded {
			m.Added++
			m.AddedRows += e.File.Rows
		} else {
			m.Existing++
			m.ExistingRows += e.File.Rows
		}
	}
	fields, err := json.Marshal(s)
	if err != nil {
		return nil, nil, err
	}
	raw, err := encodeFile(entrySchema, map[string][]byte{
		"schema": fields, "schema-id": strconv.AppendInt(nil, int64(s.ID), 10), "partition-spec": []byte("[]"),
		"partition-spec-id": []byte("0"), "format-version": []byte("2"), "content": []byte("data"),
	}, entries)
	m.Length = int64(len(raw))
	return raw, m, err
}

// encodeList returns the file of a snapshot's manifest list.
func encodeList(manifests []*manifest, s *snapshot) ([]byte, error) {
	header := map[string][]byte{"format-version": []byte("2"), "snapshot-id": strconv.AppendInt(nil, s.ID, 10),
		"sequence-number": strconv.AppendInt(nil, s.Sequence, 10)}
	if s.Parent != nil {
		header["parent-snapshot-id"] = strconv.AppendInt(nil, *s.Parent, 10)
	}
	return encodeFile(listSchema, header, manifests)
}

// encodeFile returns an Avro object container file.
func encodeFile[T any](s *avro.Schema, header map[string][]byte, values []T) ([]byte, error) {
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, s, ocf.WithMetadata(header), ocf.WithCodec(ocf.DeflateCodec(-1)))
	if err != nil {
		return nil, fmt.Errorf("encode Avro: %w", err)
	}
	for _, v := range values {
		if err := w.Encode(v); err != nil {
			return nil, errors.Join(fmt.Errorf("encode Avro: %w", err), w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode Avro: %w", err)
	}
	return b.Bytes(), nil
}

// decodeFile reads an Avro object container file that encodeFile made.
func decodeFile[T any](raw []byte) (values []*T, err error) {
	r, err := ocf.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("decode Avro: %w", err)
	}
	defer r.Close()
	for {
		v := new(T)
		err := r.Decode(v)
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode Avro: %w", err)
		}
		values = append(values, v)
	}
}
