// Package table reads files as rows: CSV with any separator, NDJSON, JSON arrays and Parquet, plain or compressed. It
// finds out what a file is from its name and its first bytes, says what it found, and reads in bounded memory.
package table

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"recount/deploy/client/eventfile/input"
)

// The bounds of what is held in memory. Pages of Parquet files are held as their writer made them.
const (
	MaxLine    = 4 << 20 // MaxLine is the size in bytes of a line of text, or of a JSON object.
	MaxColumns = 10_000  // MaxColumns is how many columns a file has at most.
	maxDepth   = 32      // maxDepth is how deep objects may lie in each other.
	sniffed    = 1 << 20 // sniffed is how many bytes of a file are looked at before it is read.
)

// Format is what a file holds.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	JSON    Format = "json" // JSON is one object a line, one array of objects, or one object after the other.
	Parquet Format = "parquet"
)

// Options say what is known about a file. What is empty is found out.
type Options struct {
	Format    Format
	Separator rune     // Separator is between the values of CSV.
	Encoding  Encoding // Encoding is that of text.
	Columns   []string // Columns are the names of the columns of CSV without a header.
	Ignore    []string // Ignore are columns that need not be readable.
}

// File is an open file of rows. Rows and Objects read the same content, so only one of them may be used.
type File struct {
	Format  Format
	Found   []string // Found are the things that were found out and that the name of the file does not say.
	content *input.Content
	closers []func() error
	options Options
	text    *text    // text is the content, decompressed. It is nil for Parquet.
	objects *Objects // objects is nil except for JSON.
	parquet *parquetRows
	read    *counter
}

// Open looks at the first bytes of a file. The name only serves its extension. The content is closed with the file, or
// when Open fails.
func Open(name string, content *input.Content, o Options) (*File, error) {
	f := &File{content: content, closers: []func() error{content.Close}, options: o}
	err := f.open(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *File) open(name string) (err error) {
	f.read = &counter{from: f.content.Reader}
	unpacked, packing, err := decompress(f.read)
	if err != nil {
		return err
	}
	size := f.content.Size + 1 // With one byte more, a look at the begin sees the end.
	if packing != nil || f.content.Size == 0 {
		size = 0
	}
	if packing != nil {
		f.Found = append(f.Found, packing.name)
		f.closers = append(f.closers, packing.close)
		f.content.At = nil // It would read the compressed bytes.
	}
	f.text = newText(unpacked, size)
	head, err := f.text.peek()
	if err != nil {
		return err
	}
	extension := extensionOf(name)
	if f.Format, err = formatOf(extension, head, f.options.Format); err != nil {
		return err
	}
	if f.Format == Parquet {
		return f.seekable()
	}
	found, err := f.text.decode(f.options.Encoding)
	if err != nil {
		return err
	}
	if found != "" {
		f.Found = append(f.Found, found)
	}
	if f.Format == JSON {
		f.objects, err = newObjects(f.text)
	}
	return err
}

// seekable makes the content readable anywhere.
func (f *File) seekable() error {
	if f.content.At != nil {
		return nil
	}
	spooled, size, err := input.Spool(f.text)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, spooled.Close)
	f.content.At = spooled
	f.content.Size = size
	return nil
}

// Objects returns the objects of a JSON file.
func (f *File) Objects() *Objects { return f.objects }

// Rows returns the rows of the file.
func (f *File) Rows() (Rows, error) {
	switch f.Format {
	case CSV:
		rows, found, err := newCSV(f.text, f.options)
		if err != nil {
			return nil, err
		}
		if found != "" {
			f.Found = append(f.Found, found)
		}
		return rows, nil
	case Parquet:
		rows, err := newParquet(f.content.At, f.content.Size, f.options)
		if err != nil {
			return nil, err
		}
		f.closers = append(f.closers, rows.reader.Close)
		f.parquet = rows
		return rows, nil
	}
	return newMembers(f.objects), nil
}

// Progress returns how much of the file was read, and how much it is in the same unit, or 0 when that is not known.
func (f *File) Progress() (done, total int64) {
	if f.parquet != nil {
		return f.parquet.done, f.parquet.total
	}
	return f.read.bytes, f.content.Size
}

// Close closes the file.
func (f *File) Close() (err error) {
	for _, closeIt := range slices.Backward(f.closers) {
		err = errors.Join(err, closeIt())
	}
	f.closers = nil
	return err
}

// Rows reads the rows of a file.
type Rows interface {
	// Columns returns the names of the columns in their order.
	Columns() []string
	// Fixed reports whether there are all columns before the first row. JSON may have more of them in each row.
	Fixed() bool
	// Next returns the cells of the next row that have a value, valid until the next call. It returns io.EOF at the
	// end. After a *RowError, which refuses one row, the next row can be read.
	Next() ([]Cell, error)
	// Place says where the last row is, such as "line 7".
	Place() string
}

// Cell is a value of a row.
type Cell struct {
	Column int // Column is an index in Columns.
	Kind   Kind
	Text   string
}

// Kind says what the text of a cell is.
type Kind byte

// The kinds of cells.
const (
	Untyped Kind = iota // Untyped is text that may stand for a value of any type, as in CSV.
	String              // String is text.
	Number              // Number is a JSON number.
	Decimal             // Decimal is a JSON number of a column of decimals, with all its digits after the point.
	Bool                // Bool is true or false.
	Other               // Other is a JSON array.
	Instant             // Instant is a time in RFC 3339.
	Local               // Local is a time without a zone, as 2006-01-02T15:04:05.999999999.
	Date                // Date is a date as 2006-01-02.
)

// RowError refuses one row. The rows after it can be read.
type RowError struct {
	Reason string // Reason is the same for all rows of one mistake, such as wrong_columns.
	Err    error
}

func (e *RowError) Error() string { return e.Err.Error() }
func (e *RowError) Unwrap() error { return e.Err }

// counter counts the bytes that were read.
type counter struct {
	from  io.Reader
	bytes int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.bytes += int64(n)
	return n, err
}

// tooManyColumns is the error of a file with more than MaxColumns columns.
func tooManyColumns() error {
	return fmt.Errorf("the file has more than %d columns; is it read as it was meant?", MaxColumns)
}
