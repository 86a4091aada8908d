package table

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how many bytes the decompression of zstd holds: what zstd --long needs at most.
const maxWindow = 128 << 20

// packing is how a file is compressed.
type packing struct {
	name  string
	close func() error
}

// decompress returns the content without its compression, which its first bytes show. Without one, packing is nil.
func decompress(from io.Reader) (io.Reader, *packing, error) {
	buffered := bufio.NewReaderSize(from, 64<<10)
	begin, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	open := func() error { return nil }
	switch b := string(begin); {
	case strings.HasPrefix(b, "\x1f\x8b"):
		r, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("decompress with gzip: %w", err)
		}
		return &unpacked{r, "gzip"}, &packing{"compressed with gzip", r.Close}, nil
	case b == "\x28\xb5\x2f\xfd":
		r, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("decompress with zstd: %w", err)
		}
		return &unpacked{r, "zstd"}, &packing{"compressed with zstd", func() error {
			r.Close()
			return nil
		}}, nil
	case strings.HasPrefix(b, "BZh"):
		return &unpacked{bzip2.NewReader(buffered), "bzip2"}, &packing{"compressed with bzip2", open}, nil
	}
	return buffered, nil, nil
}

// unpacked names the compression in errors.
type unpacked struct {
	io.Reader
	name string
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("decompress with %s: %w; the file is damaged or was cut", u.name, err)
	}
	return n, err
}
