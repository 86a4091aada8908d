package sim

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"recount/batch/landing"
	"recount/schemas/record"
)

// checkMissingRecords removes records of the settled world, one kind after the other, and starts a
// process on what is left. Its jobs must refuse: they may neither delete anything (C8, P3) nor give
// the number of a publication again (P2). It may neither seal a chain nor land (C10), although its cut rule is another
// one and its log has messages. All objects are old enough to be collected by then.
func (w *world) checkMissingRecords(nodes []*node) error {
	for _, n := range nodes {
		n.p.pausedUntil = math.MaxInt
	}
	w.advanceClock(int(collectAfter/step) + 1)
	whole := maps.Clone(w.records)
	if err := w.runJobsOnce("no record", func(err error) error { return err }); err != nil {
		return err
	}
	commits := w.newestCommits()
	stops := "land/"
	if len(commits) > 0 {
		stops = "/" + strings.Split(commits[0], "/")[2] + "/" // The other partitions go on.
	}
	for _, missing := range []struct {
		what  string
		keys  []string
		stops string // part of the keys of the records that must not be created
	}{
		{"the newest commit records of a partition", commits, stops},
		{"the newest publication", []string{record.PublicationKey(w.states[len(w.states)-1].N)}, "land/"},
	} {
		if len(missing.keys) == 0 {
			continue
		}
		for _, k := range missing.keys {
			delete(w.records, k)
		}
		what := missing.what
		objects := len(w.objects)
		left := maps.Clone(w.records)
		err := w.runJobsOnce(what, func(err error) error {
			if err == nil {
				return errors.New("it returned no error")
			}
			if !errors.Is(err, record.ErrMissing) {
				return fmt.Errorf("it returned %w, want an error about missing records", err)
			}
			return nil
		})
		if err == nil && len(w.objects) != objects {
			err = fmt.Errorf("%s is missing, and %d objects were deleted (C8)", what, objects-len(w.objects))
		}
		for k := range w.records {
			if _, found := left[k]; !found && strings.Contains(k, missing.stops) && err == nil {
				err = fmt.Errorf("%s is missing, and %s was created (C10)", what, k)
			}
		}
		if err != nil {
			return err
		}
		w.observe("jobs refuse a store that lacks records")
		w.records = maps.Clone(whole)
	}
	return nil
}

// newestCommits returns the keys of the newest commit records of a partition, from the last segment that is
// published. It returns none if the newest publication covers nothing.
func (w *world) newestCommits() (keys []string) {
	h := w.states[len(w.states)-1].H
	for _, c := range slices.Backward(w.segments) {
		if c.End > h[c.Partition].Seq {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(w.records)) {
			var e, p int
			var start uint64
			n, _ := fmt.Sscanf(k, "land/e%d/p%d/%d.json", &e, &p, &start)
			if n == 3 && p == c.Partition && start >= c.Start {
				keys = append(keys, k)
			}
		}
		return keys
	}
	return nil
}

// runJobsOnce starts a process without faults that begins every chain under another cut rule, lands, and runs each job
// once. judge gets what a job returned.
func (w *world) runJobsOnce(missing string, judge func(error) error) (err error) {
	p := w.start("later")
	ended := false
	go func() {
		defer func() { ended = true }()
		n := &node{w: w, name: "later", p: p, catalog: catalogs[w.catalog], records: openRecords(w, p, "")}
		objects := processObjects{w, p}
		if w.liveCatalog {
			if err = n.bootCatalog(p); err != nil {
				return
			}
		}
		if err = n.bootPublisher(p, n.records, objects); err != nil {
			return
		}
		next := record.Next{Epoch: 1, Rule: w.rule, Bucket: bucket, Partitions: partitions}
		next.Rule.Rows++
		for i := range partitions {
			c, beginErr := landing.Begin(p.ctx, n.records, i, next, n.publisher.Published)
			if beginErr != nil && !errors.Is(beginErr, record.ErrMissing) {
				err = beginErr
				return
			}
			n.chains = append(n.chains, c)
		}
		if n.landers, err = openLanders(w, p, n.chains, processLog{w, p}, objects, n.publisher); err != nil {
			return
		}
		_, collect := n.publisher.Collect(p.ctx)
		check := n.publisher.CheckStored(p.ctx)
		_, recompute := n.publisher.Recompute(p.ctx)
		for _, j := range []struct {
			name string
			err  error
		}{{"collect", collect}, {"expire", check}, {"recompute", recompute}} {
			if e := judge(j.err); e != nil {
				err = errors.Join(err,
					fmt.Errorf("a process starts where %s is missing and runs %s: %w", missing, j.name, e))
			}
		}
	}()
	w.run(func() bool { return ended }, func() {})
	return errors.Join(err, w.failure())
}
