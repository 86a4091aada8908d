package deadletters

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"recount/schemas/deadletter"
	"recount/schemas/record"
)

const (
	objectsPrefix = "data/type=" + deadletter.Type + "/"
	// maxDeletes is how many objects one run deletes; the next run continues.
	maxDeletes = 10_000
)

// letterObject is an object of dead letters with its segment.
type letterObject struct {
	*record.Object
	segment *record.Commit
	settled bool // the object is published and its buckets get no more rows
}

// Retire retires the objects that landed longer ago than Keep, and the oldest objects while all
// together exceed MaxBytes. It returns how many dead letters it retired.
func (s *Store) Retire(ctx context.Context) (retiredLetters int64, err error) {
	horizons, err := s.horizons(ctx)
	if err != nil {
		return 0, err
	}
	all, err := s.objects(ctx)
	if err != nil {
		return 0, err
	}
	before := s.newHorizon(slices.DeleteFunc(slices.Clone(all),
		func(o letterObject) bool { return horizons.Retired(o.segment, o.Object) }))
	raised := record.Horizons{deadletter.Type: before}
	for _, o := range all {
		if raised.Retired(o.segment, o.Object) && !horizons.Retired(o.segment, o.Object) {
			retiredLetters += o.Rows
		}
	}
	if retiredLetters > 0 {
		if err := s.createHorizon(ctx, before); err != nil {
			return 0, err
		}
		horizons = raised
		s.metrics.retired.Add(float64(retiredLetters))
	}
	s.measure(all, horizons)
	return retiredLetters, s.sweep(ctx, all, horizons)
}

// objects returns all objects of dead letters that commit records name, in the order they landed.
func (s *Store) objects(ctx context.Context) (out []letterObject, err error) {
	chains, err := s.cfg.Chains(ctx)
	if err != nil {
		return nil, fmt.Errorf("read commit chains: %w", err)
	}
	published := s.cfg.Published()
	for p, c := range chains {
		for _, segment := range c.Segments {
			for i := range segment.Objects {
				if o := &segment.Objects[i]; o.Type == deadletter.Type {
					last := o.Buckets[len(o.Buckets)-1].Bucket
					over := last+2*c.Bucket.Microseconds() <= s.cfg.Now().UnixMicro()
					out = append(out, letterObject{o, segment, over && segment.End <= published[p].Seq})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b letterObject) int { return a.segment.Created.Compare(b.segment.Created) })
	return out, nil
}

// newHorizon returns the time before which objects must have landed to be retired. kept holds the
// objects that are not retired yet, oldest first. The time is a whole second, as in the record.
func (s *Store) newHorizon(kept []letterObject) time.Time {
	before := s.cfg.Now().Add(-s.cfg.Keep).Truncate(time.Second)
	total := int64(0)
	for _, o := range slices.Backward(kept) {
		if total += o.Size; total > s.cfg.MaxBytes {
			before = latest(before, o.segment.Created.Truncate(time.Second).Add(time.Second))
			break
		}
	}
	for _, o := range kept {
		if !o.settled && o.segment.Created.Before(before) {
			before = o.segment.Created.Truncate(time.Second)
		}
	}
	return before
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// createHorizon creates the record that retires the objects before a time. Another process may have created
// the same record.
func (s *Store) createHorizon(ctx context.Context, before time.Time) error {
	r := &record.Retired{Type: deadletter.Type, Before: before.UTC(),
		Reason: fmt.Sprintf("dead_letters.keep is %s and max_bytes %d", s.cfg.Keep, s.cfg.MaxBytes)}
	raw, err := r.Encode()
	if err != nil {
		return err
	}
	if _, _, err := s.cfg.Records.Create(ctx, r.Key(), raw); err != nil {
		return fmt.Errorf("retire dead letters: %w", err)
	}
	s.cfg.Logger.Info("dead letters retired", "landed_before", r.Before)
	return nil
}

// sweep deletes the retired objects that still exist, and all records of retirement but the last.
// Keys begin with the day of landing, so it lists no day after the horizon's.
func (s *Store) sweep(ctx context.Context, all []letterObject, horizons record.Horizons) error {
	horizon, ok := horizons[deadletter.Type]
	if !ok {
		return nil
	}
	retired := map[string]bool{}
	for _, o := range all {
		if horizons.Retired(o.segment, o.Object) {
			retired[o.Key] = true
		}
	}
	last := objectsPrefix + "landed=" + horizon.UTC().Format(time.DateOnly) + "0" // '0' sorts right after '/'.
	var there []string
	for info, err := range s.cfg.Objects.List(ctx, objectsPrefix, "") {
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		if cmp.Compare(info.Key, last) > 0 || len(there) == maxDeletes {
			break
		}
		if retired[info.Key] {
			there = append(there, info.Key)
		}
	}
	if len(there) > 0 && s.cfg.Retiring != nil {
		s.cfg.Retiring(ctx)
	}
	if err := s.cfg.Objects.Delete(ctx, there...); err != nil {
		return fmt.Errorf("delete retired dead letters: %w", err)
	}
	records, err := s.cfg.Records.List(ctx, record.RetiredPrefix+deadletter.Type+"/")
	if err != nil || len(records) < 2 {
		return err
	}
	slices.Sort(records)
	return s.cfg.Objects.Delete(ctx, records[:len(records)-1]...)
}

// measure sets the gauges about the dead letters that are kept.
func (s *Store) measure(all []letterObject, horizons record.Horizons) {
	var rows, bytes, oldest int64
	for _, o := range slices.Backward(all) {
		if horizons.Retired(o.segment, o.Object) {
			break
		}
		rows = rows + o.Rows
		bytes = bytes + o.Size
		oldest = o.segment.Created.Unix()
	}
	s.metrics.stored.Set(float64(rows))
	s.metrics.bytes.Set(float64(bytes))
	s.metrics.oldest.Set(float64(oldest))
}
