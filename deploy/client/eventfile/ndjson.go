package eventfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

// MaxLine is the longest line of an NDJSON file in bytes.
const MaxLine = 4 << 20

type ndjsonFile struct {
	file    *os.File
	scanner *bufio.Scanner
	line    int64 // line is the number of the last line that was read.
	done    int64
	total   int64
}

func newNDJSON(file *os.File, size int64) *ndjsonFile {
	f := &ndjsonFile{file: file, scanner: bufio.NewScanner(file), total: size}
	f.scanner.Buffer(make([]byte, 64<<10), MaxLine)
	return f
}

func (f *ndjsonFile) Next() ([]byte, error) {
	for f.scanner.Scan() {
		line := f.scanner.Bytes()
		f.line++
		f.done += int64(len(line)) + 1
		if f.line == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case bytes.IndexByte(line, '\r') >= 0:
			return nil, fmt.Errorf("line %d: %w", f.line, errCarriageReturn)
		default:
			return line, nil
		}
	}
	if err := f.scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d, byte %d: %w; write one event in a line of at most %d bytes", f.line+1, f.done,
			err, MaxLine)
	}
	f.done = f.total // Line ends of two bytes were counted as one.
	return nil, io.EOF
}

func (f *ndjsonFile) Progress() (int64, int64) { return min(f.done, f.total), f.total }
func (f *ndjsonFile) Close() error             { return f.file.Close() }
