package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount/schemas/problem"
)

// smallAnswer is the size from which answers are compressed. A smaller one fits into one packet anyway.
const smallAnswer = 1400

// zstdWindow bounds the memory of an encoder. Answers repeat the same texts within a few rows.
const zstdWindow = 256 << 10

// encoder compresses one answer after another.
type encoder interface {
	io.WriteCloser
	Reset(to io.Writer)
}

// coding is a content coding of HTTP, with encoders that wait for their next answer.
type coding struct {
	name string
	make func() (encoder, error)
	idle sync.Pool
}

// newCodings returns the codings in order of preference. Their encoders start no goroutines.
func newCodings() []*coding {
	return []*coding{
		{name: "zstd", make: func() (encoder, error) {
			return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
				zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		}},
		{name: "gzip", make: func() (encoder, error) { return gzip.NewWriterLevel(nil, gzip.BestSpeed) }},
	}
}

// chooseCoding returns the coding with the highest weight in the header Accept-Encoding, or nil for none.
func (a *API) chooseCoding(r *http.Request) *coding {
	header := strings.Join(r.Header.Values("Accept-Encoding"), ",")
	var best *coding
	weight := weightOf(header, map[string]int{"identity": 1})
	for _, c := range a.codings {
		q := weightOf(header, map[string]int{"*": 1, c.name: 2})
		if q > weight || q == weight && q > 0 && best == nil {
			best = c
			weight = q
		}
	}
	return best
}

// refusesPlain reports whether the header Accept-Encoding excludes an answer without a coding: it says identity;q=0, or
// *;q=0 and nothing of identity.
func refusesPlain(r *http.Request) bool {
	const unsaid = "unsaid" // It stands for a header that says nothing of identity.
	header := strings.Join(append([]string{unsaid}, r.Header.Values("Accept-Encoding")...), ",")
	return weightOf(header, map[string]int{unsaid: 1, "*": 2, "identity": 3}) == 0
}

// compressed is an answer that is compressed on its way from the encoder of its format to what holds it. So less is
// held. Small answers, and those in a format that is compressed already, stay plain, unless the client refuses that.
type compressed struct {
	http.ResponseWriter
	coding  *coding // nil for a plain answer
	always  bool    // the client refuses plain answers
	first   []byte  // the beginning of an answer, while it may be a small one
	encoder encoder // nil until the answer is known to be large
}

// newCompressed returns an answer that is compressed as the client accepts.
func (a *API) newCompressed(r *http.Request) (*compressed, error) {
	c := &compressed{coding: a.chooseCoding(r), always: refusesPlain(r)}
	if c.coding == nil && c.always {
		return nil, problem.New(http.StatusNotAcceptable, problem.NotAcceptable,
			"an answer is plain, or compressed with zstd or gzip; permit one of these in Accept-Encoding")
	}
	return c, nil
}

// Write implements http.ResponseWriter.
func (c *compressed) Write(p []byte) (int, error) {
	switch {
	case c.encoder != nil:
		return c.encoder.Write(p)
	case c.coding == nil:
		return c.ResponseWriter.Write(p)
	case len(c.first)+len(p) < smallAnswer && !c.always:
		c.first = append(c.first, p...)
		return len(p), nil
	}
	return len(p), c.begin(p)
}

// begin writes the beginning of a large answer, of which p is the last part.
func (c *compressed) begin(p []byte) error {
	out := io.Writer(c.ResponseWriter)
	if strings.HasSuffix(c.Header().Get("Content-Type"), "parquet") && !c.always {
		c.coding = nil
	} else {
		var err error
		if c.encoder, err = c.coding.takeEncoder(c.ResponseWriter); err != nil {
			return err
		}
		c.Header().Set("Content-Encoding", c.coding.name)
		out = c.encoder
	}
	for _, part := range [][]byte{c.first, p} {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	c.first = nil
	return nil
}

// WriteHeader sends the header, after which the coding cannot change. Answers with a status of their own are small.
func (c *compressed) WriteHeader(status int) {
	c.coding = nil
	c.ResponseWriter.WriteHeader(status)
}

// finish writes the end of the answer.
func (c *compressed) finish() error {
	var err error
	if c.encoder != nil {
		err = c.encoder.Close()
	} else if len(c.first) > 0 {
		_, err = c.ResponseWriter.Write(c.first)
	}
	c.release()
	return err
}

// discard forgets an answer in place of which an error is sent.
func (c *compressed) discard() {
	c.Header().Del("Content-Encoding")
	c.release()
}

func (c *compressed) release() {
	if c.encoder != nil {
		c.encoder.Reset(nil)
		c.coding.idle.Put(c.encoder)
	}
	c.encoder = nil
	c.coding = nil
	c.first = nil
}

// takeEncoder returns an encoder that writes to w.
func (c *coding) takeEncoder(w io.Writer) (encoder, error) {
	e, _ := c.idle.Get().(encoder)
	if e == nil {
		var err error
		if e, err = c.make(); err != nil {
			return nil, fmt.Errorf("make an encoder of %s: %w", c.name, err)
		}
	}
	e.Reset(w)
	return e, nil
}
