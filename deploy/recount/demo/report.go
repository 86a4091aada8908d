package demo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"text/tabwriter"
)

// shown is how many origins the table lists. All origins are compared.
const shown = 10

// report prints the comparison and fails if the counts differ by more than their stated error.
func (d *director) report(ctx context.Context, truth, merged, exact totals) error {
	origins := make([]numbers, 0, len(truth.origins))
	for _, n := range truth.origins {
		origins = append(origins, n)
	}
	slices.SortFunc(origins, func(a, b numbers) int {
		return cmp.Or(cmp.Compare(b.Flights, a.Flights), cmp.Compare(a.Origin, b.Origin))
	})
	w := tabwriter.NewWriter(d.out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\nflights from\ttruth\tmerged\texact\tdifference\t\n")
	wrong := 0
	for i, want := range append([]numbers{truth.all}, origins...) {
		live := pick(merged, want.Origin)
		batch := pick(exact, want.Origin)
		if !agree(want, live) || !agree(want, batch) || batch.Routes != want.Routes || !bounded(want, live) {
			wrong++
		} else if i > shown {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", cmp.Or(want.Origin, "everywhere"), want.Flights, live.Flights,
			batch.Flights, batch.Flights-want.Flights)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "… and %d more origins. Miles, worst delay, mean delay and distinct routes of every origin "+
		"were compared as well.\n\n", max(0, len(origins)-shown))
	extra := d.summary(ctx, truth, merged)
	if wrong > 0 || len(exact.origins) != len(truth.origins) || len(merged.origins) != len(truth.origins) {
		return fmt.Errorf("%w: %d of %d rows", errDiffers, wrong, len(origins)+1)
	}
	return extra
}

// pick returns the numbers of one origin, or of all flights for the empty origin.
func pick(t totals, origin string) numbers {
	if origin == "" {
		return t.all
	}
	return t.origins[origin]
}

// agree reports whether all measures but the distinct count are the same. The mean may differ by rounding.
func agree(want, got numbers) bool {
	return got.Flights == want.Flights && got.Miles == want.Miles && got.Worst == want.Worst &&
		math.Abs(got.Delay-want.Delay) < 1e-9*max(1, math.Abs(want.Delay))
}

// bounded reports whether the true number of routes is within the stated bounds.
func bounded(want, got numbers) bool {
	if got.Bounds.Routes == nil {
		return got.Routes == want.Routes
	}
	return got.Bounds.Routes[0] <= want.Routes && want.Routes <= got.Bounds.Routes[1]
}

// summary prints the totals, and fails if those of the server differ from those of the replay.
func (d *director) summary(ctx context.Context, truth, merged totals) error {
	p, err := d.api.newest(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(d.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "sent\t%d events in %.1f s, %.0f acknowledged a second, %d requests sent again\n", d.plan.sent,
		d.sendTime.Seconds(), float64(d.accepted.Load())/d.sendTime.Seconds(), d.retries.Load())
	fmt.Fprintf(w, "late\t%d events arrived hours after their event time\n", d.plan.late)
	fmt.Fprintf(w, "rejected\t%d of %d malformed events\n", d.rejected.Load(), d.plan.malformed)
	fmt.Fprintf(w, "duplicates\t%d events sent twice; publication %d dropped %d\n", d.plan.duplicates, p.N,
		p.Duplicates)
	bounds := "exact"
	if b := merged.all.Bounds.Routes; b != nil {
		bounds = fmt.Sprintf("stated bounds %d to %d", b[0], b[1])
	}
	fmt.Fprintf(w, "distinct\t%d routes live, %d in the source file: error %.3f %%, %s\n", merged.all.Routes,
		truth.all.Routes, 100*math.Abs(float64(merged.all.Routes)/float64(truth.all.Routes)-1), bounds)
	if mib := peakMemory(); mib > 0 {
		fmt.Fprintf(w, "memory\t%d MiB resident at the peak, with the engines\n", mib)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if d.rejected.Load() != int64(d.plan.malformed) || p.Duplicates < int64(d.plan.duplicates) ||
		p.Events != d.accepted.Load()+p.Duplicates-int64(d.plan.duplicates) {
		return fmt.Errorf("%w: of %d events sent, %d were accepted and %d rejected; the publication holds %d with "+
			"%d duplicates",
			errDiffers, d.plan.sent, d.accepted.Load(), d.rejected.Load(), p.Events, p.Duplicates)
	}
	return nil
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory returns the largest resident size of the process in MiB, or 0 where the system does not report it.
func peakMemory() int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	m := peakLine.FindSubmatch(raw)
	if m == nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kib >> 10
}
