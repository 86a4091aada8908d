package object

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"recount/schemas/record"
)

// ErrMalformed is wrapped by every error about an object that differs from its commit record, or that
// the Parquet reader cannot read.
var ErrMalformed = errors.New("malformed parquet object")

// File is an open Parquet object of the lake. It is safe for concurrent use.
type File struct {
	object record.Object
	reader io.ReaderAt
	raw    []byte // the whole object, or nil
	lends  bool   // Lend
	file   *parquet.File
	leaves map[string]leaf
}

// leaf is a column of the file.
type leaf struct {
	index    int
	kind     kind
	optional bool
}

// Open opens the object that a commit record names, and checks that it holds as many rows as the
// record says. It reads the footer and the page index. A panic of the Parquet reader on a malformed
// file becomes ErrMalformed. Open does not compare the digest; Verify does. Call Verify first if an
// object is in doubt, because a damaged footer can keep the Parquet reader busy for many seconds.
func Open(ctx context.Context, o record.Object, r io.ReaderAt) (f *File, err error) {
	defer guard(&err, o.Key)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkFooter(o, r); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Key, err)
	}
	file, err := parquet.OpenFile(r, o.Size, parquet.SkipMagicBytes(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: %w", o.Key, ErrMalformed, err)
	}
	f = &File{object: o, reader: r, file: file, leaves: map[string]leaf{}}
	return f, f.check()
}

// OpenBytes opens an object that is in memory, as Open does. Nobody may change raw while the File is in use.
func OpenBytes(ctx context.Context, o record.Object, raw []byte) (*File, error) {
	f, err := Open(ctx, o, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	f.raw = raw
	return f, nil
}

// Lend returns the file with another Read: its records are valid until the next iteration alone. Numbers, keys and
// codes then stay where they were decoded, which saves a copy of most bytes.
func (f *File) Lend() *File {
	lending := *f
	lending.lends = true
	return &lending
}

// checkFooter refuses a footer that is longer than the object, before the Parquet reader allocates it.
func checkFooter(o record.Object, r io.ReaderAt) error {
	const trailer = 8 // bytes of the footer's length and of the magic
	var tail [trailer]byte
	if o.Size < 2*trailer {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, o.Size)
	}
	if n, err := r.ReadAt(tail[:], o.Size-trailer); n < trailer {
		return fmt.Errorf("read footer: %w", err)
	}
	if size := int64(binary.LittleEndian.Uint32(tail[:])); size > o.Size-trailer || string(tail[4:]) != "PAR1" {
		return fmt.Errorf("%w: no footer at the end of its %d bytes", ErrMalformed, o.Size)
	}
	return nil
}

// check compares the numbers of rows with the commit record, and finds the columns.
func (f *File) check() error {
	rows := int64(0)
	for _, g := range f.file.RowGroups() {
		if g.NumRows() < 0 {
			return fmt.Errorf("open %s: %w: row group of %d rows", f.object.Key, ErrMalformed, g.NumRows())
		}
		rows += g.NumRows()
	}
	if rows != f.object.Rows || rows != f.file.NumRows() {
		return fmt.Errorf("open %s: %w: %d rows in row groups, %d in the footer, %d in the commit record",
			f.object.Key, ErrMalformed, rows, f.file.NumRows(), f.object.Rows)
	}
	for _, g := range f.file.Metadata().RowGroups {
		for _, c := range g.Columns {
			// Encode writes no other codec, and parquet-go's LZ4 grows its buffer without end on
			// input that is not LZ4.
			if c.MetaData.Codec != format.Zstd {
				return fmt.Errorf("open %s: %w: compressed with %s", f.object.Key, ErrMalformed, c.MetaData.Codec)
			}
		}
	}
	for i, field := range f.file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return fmt.Errorf("open %s: %w: column %s is nested", f.object.Key, ErrMalformed, field.Name())
		}
		if k, ok := kindOfColumn(field.Type()); ok {
			f.leaves[field.Name()] = leaf{index: i, kind: k, optional: field.Optional()}
		}
	}
	return nil
}

// Has reports whether the file has a column of the name.
func (f *File) Has(column string) bool {
	_, ok := f.leaves[column]
	return ok
}

// Close exists so that a File is an io.Closer. There is nothing to release but memory.
func (f *File) Close() error { return nil }

// guard turns a panic of the Parquet reader into an error. The decoders of pages trust the lengths
// that they read, so a damaged file can make them index out of range.
func guard(err *error, key string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read %s: %w: %v", key, ErrMalformed, p)
	}
}

// Verify reads the whole object and compares its size and SHA-256 with those of the commit record. An
// error that does not wrap ErrMalformed says nothing about the object.
func Verify(ctx context.Context, o record.Object, r io.ReaderAt) error {
	h := sha256.New()
	section := io.NewSectionReader(r, 0, o.Size+1) // One more byte shows whether the object is longer.
	buf := make([]byte, min(o.Size+1, 1<<20))
	total := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := section.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("verify %s: %w", o.Key, err)
		}
	}
	if sum := hex.EncodeToString(h.Sum(nil)); total != o.Size || sum != o.SHA256 {
		return fmt.Errorf("verify %s: %w: %d bytes with sha256 %s, the commit record says %d bytes with %s",
			o.Key, ErrMalformed, total, sum, o.Size, o.SHA256)
	}
	return nil
}
