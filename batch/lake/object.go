package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	tailWindow = 64 << 10 // bytes that Open fetches: nearly always the whole footer of a Parquet file
	readWindow = 1 << 20  // bytes that are fetched for a smaller read
	maxWindows = 16       // windows that are kept of an object, so at most 16 MiB
)

// Object reads ranges of one object. It is an io.ReaderAt for concurrent use.
//
// A Parquet reader makes small steps forward, in several columns at once. So a read below 1 MiB
// fetches a window of 1 MiB that begins where the read begins, and the next steps are served from
// memory. Aligned blocks would cost two requests if a read crosses an edge; windows never do. Larger
// reads go to the store as they are. All requests name the ETag that Open has seen, so a read of an
// object that was replaced since is an error.
type Object struct {
	ctx   context.Context // io.ReaderAt has no other place for it
	store *Store
	key   string
	size  int64
	etag  string

	mu      sync.Mutex
	windows []*window // least recently used first
}

// window is the range [from, to) of the object. It is filled when ready is closed.
type window struct {
	from, to int64
	ready    chan struct{}
	data     []byte
	err      error
}

// Open opens an object for ranged reads. All of them end when the context ends. Open fetches the end of
// the object, where Parquet has its footer, and with it the size. The error wraps
// record.ErrNotFound if there is no object. There is nothing to close.
func (s *Store) Open(ctx context.Context, key string) (*Object, error) {
	o := &Object{ctx: ctx, store: s, key: key}
	tail, whole, err := o.fetch("bytes=-"+strconv.Itoa(tailWindow), make([]byte, tailWindow))
	if statusOf(err) == 416 {
		// The range cannot be satisfied, because the object is empty.
		info, err := s.Head(ctx, key)
		o.size = info.Size
		o.etag = info.ETag
		return o, err
	}
	if err != nil {
		return nil, err
	}
	o.size = whole.size
	o.etag = whole.etag
	w := &window{from: o.size - int64(len(tail)), to: o.size, ready: make(chan struct{}), data: tail}
	close(w.ready)
	o.windows = []*window{w}
	return o, nil
}

// Size returns the size of the object in bytes.
func (o *Object) Size() int64 { return o.size }

// ReadAt implements io.ReaderAt.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset %d", o.key, off)
	}
	n := min(int64(len(p)), o.size-off)
	if n <= 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	if err := o.read(p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// read fills p from off. The whole range is inside the object.
func (o *Object) read(p []byte, off int64) error {
	w, isNew := o.window(off, off+int64(len(p)))
	if w == nil {
		_, _, err := o.fetch(byteRange(off, off+int64(len(p))), p)
		return err
	}
	if isNew {
		o.fill(w)
	}
	select {
	case <-w.ready:
	case <-o.ctx.Done():
		return fmt.Errorf("read %s: %w", o.key, o.ctx.Err())
	}
	if w.err != nil {
		return w.err
	}
	copy(p, w.data[off-w.from:])
	return nil
}

// window returns the window that holds [from, to). If there is none it makes one, and isNew says that the
// caller must fill it. It returns nil for a range that is too large for a window.
func (o *Object) window(from, to int64) (w *window, isNew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, w := range o.windows {
		if w.from <= from && to <= w.to {
			o.windows = append(slices.Delete(o.windows, i, i+1), w)
			return w, false
		}
	}
	if to-from >= readWindow {
		return nil, false
	}
	if len(o.windows) == maxWindows {
		o.windows = slices.Delete(o.windows, 0, 1)
	}
	w = &window{from: from, to: min(from+readWindow, o.size), ready: make(chan struct{})}
	o.windows = append(o.windows, w)
	return w, true
}

// fill fetches a window. A window that cannot be fetched is dropped, so that the next read tries again.
func (o *Object) fill(w *window) {
	w.data, _, w.err = o.fetch(byteRange(w.from, w.to), make([]byte, w.to-w.from))
	if w.err != nil {
		o.mu.Lock()
		o.windows = slices.DeleteFunc(o.windows, func(other *window) bool { return other == w })
		o.mu.Unlock()
	}
	close(w.ready)
}

func byteRange(from, to int64) string { return fmt.Sprintf("bytes=%d-%d", from, to-1) }

// fetched is what an answer says about the whole object.
type fetched struct {
	size int64
	etag string
}

// fetch gets a range of at most len(p) bytes into p, and returns the part of p that it filled. It tries again if the
// body breaks off.
func (o *Object) fetch(ranged string, p []byte) (data []byte, whole fetched, err error) {
	for attempt := 1; attempt <= o.store.cfg.Attempts; attempt++ {
		if data, whole, err = o.fetchOnce(ranged, p); !errors.Is(err, errBody) || o.ctx.Err() != nil {
			break
		}
		if sleep(o.ctx, pause(attempt, o.store.cfg.Backoff)) != nil {
			break
		}
	}
	return data, whole, err
}

// fetchOnce gets a range of at most len(p) bytes into p.
func (o *Object) fetchOnce(ranged string, p []byte) ([]byte, fetched, error) {
	n := int64(len(p))
	ctx, cancel := o.store.withDeadline(o.ctx, "range", n)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &o.store.cfg.Bucket, Key: o.store.key(o.key), Range: &ranged}
	if o.etag != "" {
		in.IfMatch = &o.etag
	}
	out, err := o.store.client.GetObject(ctx, in)
	if err != nil {
		return nil, fetched{}, wrapError(err, "read "+ranged+" of", o.key)
	}
	defer out.Body.Close()
	whole, err := parseContentRange(aws.ToString(out.ContentRange))
	length := aws.ToInt64(out.ContentLength)
	if err != nil || length <= 0 || length > n || o.etag != "" && length != n {
		return nil, fetched{}, fmt.Errorf("read %s of %s: the store answered with %d bytes and the Content-Range %q",
			ranged, o.key, length, aws.ToString(out.ContentRange))
	}
	data := p[:length]
	if _, err := io.ReadFull(out.Body, data); err != nil {
		return nil, fetched{}, fmt.Errorf("read %s of %s: %w: %w", ranged, o.key, errBody, err)
	}
	return data, fetched{size: whole, etag: aws.ToString(out.ETag)}, nil
}

// parseContentRange returns the size of the whole object from "bytes 0-9/10".
func parseContentRange(s string) (int64, error) {
	_, whole, ok := strings.Cut(s, "/")
	if !ok {
		return 0, errors.New("the answer has no Content-Range")
	}
	return strconv.ParseInt(whole, 10, 64)
}
