package exact

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"

	"recount/schemas/eventbatch"
)

// stretch is a run of an object's rows that are read in one call: neighbouring pieces, or one
// slice of a piece.
type stretch struct {
	object   int
	from, to int64
	offset   int64 // index of the first row in the part's flat arrays
	pieces   []*piece
}

// stretches joins neighbouring pieces. With slices > 1 it returns only the rows of slice k.
func stretches(pieces []*piece, k, slices int) (out []stretch) {
	for _, x := range pieces {
		from := x.from
		to := x.to
		if slices > 1 {
			from = x.cuts[k]
			to = x.cuts[k+1]
		}
		if from == to {
			continue
		}
		if n := len(out) - 1; n >= 0 && out[n].object == x.object && out[n].to == from {
			out[n].to = to
			out[n].pieces = append(out[n].pieces, x)
			continue
		}
		out = append(out, stretch{x.object, from, to, x.offset + from - x.from, []*piece{x}})
	}
	return out
}

// recordCuts records at which of these rows slices begin. times are those of the rows from file row row
// on, in ascending order. A piece of a bucket beside the span's own (I3) is not sliced.
func (f *stretch) recordCuts(s *span, row int64, times *array.Timestamp) {
	for i := range int64(times.Len()) {
		x := f.pieceAt(row + i)
		if x.beside {
			continue
		}
		for k := (int64(times.Value(int(i))) - x.bucket) / s.sliceWidth; int64(len(x.cuts)) <= k; {
			x.cuts = append(x.cuts, row+i)
		}
	}
}

func (f *stretch) pieceAt(row int64) *piece {
	i := 0
	for row >= f.pieces[i].to {
		i++
	}
	return f.pieces[i]
}

func (f *stretch) finishCuts(s *span) {
	for _, x := range f.pieces {
		for s.slices > 1 && len(x.cuts) <= s.slices {
			x.cuts = append(x.cuts, x.to)
		}
	}
}

// read calls fn with chunks of exactly the rows [from, to) of the object.
func (r *run) read(ctx context.Context, object int, columns []string, from, to int64,
	fn func(eventbatch.Columns) error) error {
	key := r.objects[object].Key
	f, err := r.files.get(object)
	if err != nil {
		return err
	}
	rows := int64(0)
	began := time.Now()
	for c, err := range f.Read(ctx, columns, from, to) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			rows += c.Rec.NumRows()
			if rows > to-from {
				err = fmt.Errorf("more than %d rows", to-from)
			} else {
				err = fn(c)
			}
			r.giveWay(time.Since(began))
			began = time.Now()
		}
		if err != nil {
			return fmt.Errorf("read rows %d to %d of %s: %w", from, to, key, err)
		}
	}
	if rows != to-from {
		return fmt.Errorf("read rows %d to %d of %s: got %d rows; the object has fewer than its commit record says",
			from, to, key, rows)
	}
	return nil
}
