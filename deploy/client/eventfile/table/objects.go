package table

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Objects reads the objects of a JSON file: one a line, those of an array, or one after the other.
type Objects struct {
	next   func() ([]byte, error)
	peeked []byte // peeked is the next object, if it was looked at.
	place  string // place is what objects are counted in: line or element.
	at     int64
}

// newObjects looks at the first bytes to find out how the objects are divided. A first line that is an object means
// one object a line, so that a line which is no JSON costs itself only.
func newObjects(t *text) (*Objects, error) {
	head, err := t.peek()
	if err != nil {
		return nil, err
	}
	trimmed := bytes.TrimSpace(head)
	first, _, more := bytes.Cut(trimmed, []byte("\n"))
	o := &Objects{place: "element"}
	switch {
	case len(trimmed) > 0 && trimmed[0] == '[':
		o.next = o.elements(t, true)
	case more && !json.Valid(first) && spansLines(trimmed):
		o.next = o.elements(t, false)
	default:
		o.place = "line"
		o.next = o.lines(t)
	}
	return o, nil
}

// spansLines reports whether the first object has several lines. The object may go on after what was sniffed.
func spansLines(head []byte) bool {
	var object json.RawMessage
	err := json.NewDecoder(bytes.NewReader(head)).Decode(&object)
	return err == nil && bytes.IndexByte(object, '\n') >= 0 || errors.Is(err, io.ErrUnexpectedEOF)
}

// Next returns the next object in one line, valid until the next call. It returns io.EOF at the end.
func (o *Objects) Next() ([]byte, error) {
	if o.peeked != nil {
		object := o.peeked
		o.peeked = nil
		return object, nil
	}
	return o.next()
}

// Peek returns the next object without reading it, or nil at the end or where the next one cannot be read.
func (o *Objects) Peek() []byte {
	if o.peeked == nil {
		object, err := o.next()
		if err != nil {
			failed := err
			o.next = func() ([]byte, error) { return nil, failed }
			return nil
		}
		o.peeked = object
	}
	return o.peeked
}

// Place says where the last object is, such as "line 7".
func (o *Objects) Place() string { return fmt.Sprintf("%s %d", o.place, o.at) }

// lines reads one object a line. It does not check that a line is JSON.
func (o *Objects) lines(t *text) func() ([]byte, error) {
	scanner := bufio.NewScanner(t)
	scanner.Buffer(make([]byte, 64<<10), MaxLine)
	done := int64(0)
	return func() ([]byte, error) {
		for scanner.Scan() {
			line := scanner.Bytes()
			o.at++
			done += int64(len(line)) + 1
			line = bytes.TrimSpace(line)
			switch {
			case len(line) == 0:
			case bytes.IndexByte(line, '\r') >= 0:
				return nil, fmt.Errorf("line %d: %w", o.at, errCarriageReturn)
			default:
				return line, nil
			}
		}
		if err := scanner.Err(); err != nil {
			return nil, fmt.Errorf("line %d, byte %d: %w; write one object in a line of at most %d bytes", o.at+1, done,
				err, MaxLine)
		}
		return nil, io.EOF
	}
}

// elements reads the elements of an array, or values one after the other.
func (o *Objects) elements(t *text, array bool) func() ([]byte, error) {
	source := &bounded{from: t}
	d := json.NewDecoder(source)
	begun := false
	var line bytes.Buffer
	return func() ([]byte, error) {
		if array && !begun {
			begun = true
			if _, err := d.Token(); err != nil {
				return nil, o.wrong(err)
			}
		}
		if array && !d.More() {
			return nil, o.end(d)
		}
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			if !array && errors.Is(err, io.EOF) {
				return nil, io.EOF
			}
			return nil, o.wrong(err)
		}
		o.at++
		source.until = d.InputOffset()
		line.Reset()
		if err := json.Compact(&line, element); err != nil {
			return nil, o.wrong(err)
		}
		return line.Bytes(), nil
	}
}

// end reads the end of the array, after which only white space may follow.
func (o *Objects) end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return o.wrong(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the end of the array, which has %d elements, the file goes on; check what wrote it",
			o.at)
	}
	return io.EOF
}

func (o *Objects) wrong(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("element %d: %w", o.at+1, err)
}

// bounded fails when a value is larger than MaxLine, which the decoder would hold in memory.
type bounded struct {
	from  io.Reader
	read  int64 // read is how many bytes were read.
	until int64 // until is where the last value ended.
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.read-b.until > 2*MaxLine { // The decoder reads ahead at most what it holds.
		return 0, fmt.Errorf("it has more than %d bytes", MaxLine)
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	return n, err
}
