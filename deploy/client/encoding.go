package client

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoding is how the bodies of events are compressed.
type Encoding string

// The encodings that a server reads.
const (
	Identity Encoding = ""
	Gzip     Encoding = "gzip"
	Zstd     Encoding = "zstd"
)

func (e Encoding) known() bool { return e == Identity || e == Gzip || e == Zstd }

// zstdWindow is how far zstd looks back. A server accepts larger windows, but they cost memory.
const zstdWindow = 1 << 20

// encode compresses a body.
func (e Encoding) encode(body []byte) ([]byte, error) {
	switch e {
	case Gzip:
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(body); err != nil {
			return nil, fmt.Errorf("compress events: %w", err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("compress events: %w", err)
		}
		return out.Bytes(), nil
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("compress events: %w", err)
		}
		return w.EncodeAll(body, nil), w.Close()
	}
	return body, nil
}
