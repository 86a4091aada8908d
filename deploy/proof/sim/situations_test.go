package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// seedsForAll is a number of seeds in which every required situation must occur.
const seedsForAll = 2000

// required lists situations that must occur, in addition to every possible fate of every kind of
// operation. If a change keeps one of them from occurring, the simulation proves less than before.
var required = []string{
	"kill", "pause", "pause longer than any lease", "power failure", "boot fails", "a boot is killed",
	"an acknowledged message is lost", "a lost message lands", "a message vanishes", "a range is given up",
	"a hole is refused", "answer: names a hole", "an epoch is sealed",
	"the log is trimmed", "another owner trims unread messages", "a process follows another owner's epoch",
	"stale LIST", "unsorted LIST",
	"two processes create the same record below land", "two processes create the same record below publish",
	"orphan objects are collected", "old publications are forgotten",
	"an outage of an hour", "the store loses an object",
	"the store loses a published object", "an object is rebuilt",
	"ClickHouse loses rows", "ClickHouse has another row", "a publication restores damaged rows",
	"a check by the clock finds damaged rows", "rows are collected",
	"the views are changed", "the table of a changed view is dropped",
	"a copy in the same bucket", "a copy in another bucket", "copies beyond the dedup window",
	"a late event of a published bucket",
	"a snapshot is resumed", "slow reader", "a reader's publication has expired",
	"a reader's publication has expired in one partition only",
	"a full log refuses", "a log that was full accepts again", "the cut rule is changed",
	"jobs refuse a store that lacks records",
	"answer: from a pinned publication",
	"answer: merged", "answer: exact", "answer: live", "answer: distinct", "answer: an estimate and its bounds",
	"answer: as_of", "answer: an error", "answer: of a range without an end", "answer: without a partition's live part",
	"answer: a last window longer than those before it",
	"answer: older than one before, and says so",
	"answer: a value does not fit its field's present type",
	"the catalog is changed while processes run", "a process learns of two generations at once",
	"answer: by the definition of its publication, which is not the newest",
	"a view is filled in steps", "answer: from before the view is filled",
	"the limit of values is raised", "answer: a value overflows in the batch part", "answer: a value overflows live",
	"answer: a value that ingest found too many",
}

// situationCounts counts situations over many seeds.
type situationCounts struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *situationCounts) add(counts map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	for situation, n := range counts {
		c.counts[situation] += n
	}
}

func (c *situationCounts) sum(situations ...string) (n int) {
	for _, s := range situations {
		n += c.counts[s]
	}
	return n
}

// missing returns the situations that did not occur: the required ones, and the fates that an
// operation could have had.
func (c *situationCounts) missing() (missing []string) {
	for _, s := range required {
		c.counts[s] += 0
	}
	for _, s := range slices.Sorted(maps.Keys(c.counts)) {
		if c.counts[s] == 0 {
			missing = append(missing, s)
		}
	}
	return missing
}

func (c *situationCounts) table() string {
	var table strings.Builder
	for _, s := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&table, "\n%8d  %s", c.counts[s], s)
	}
	return table.String()
}
