package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// everyTrouble is how many seeds meet every trouble at least once.
const everyTrouble = 2000

// wanted are the troubles that have to come, besides what may become of each kind of
// operation: a change after which one of them never comes leaves the simulation proving less.
var wanted = []string{
	"kill", "pause", "pause longer than any lease", "power failure", "boot fails",
	"an acknowledged message is lost", "a lost message lands", "a message vanishes", "an epoch is sealed",
	"the log is trimmed",
	"another owner trims what is still to be read", "a running process follows another's epoch", "stale LIST",
	"unsorted LIST",
	"two meet at a record below land", "two meet at a record below publish", "orphan objects are collected",
	"an outage of hours", "the store loses an object", "the store loses an object that was published",
	"an object is rebuilt",
	"ClickHouse loses rows", "a publication brings lost rows back", "rows are collected",
	"the views are changed", "the table of a changed view is dropped",
	"a copy in the same bucket", "a copy in another bucket", "copies beyond the dedup window",
	"a late event of a published bucket",
	"a snapshot is resumed", "slow reader", "a reader's publication has expired",
	"a full log refuses", "a log that was full accepts again", "the cut rule is changed",
	"answer: of a pinned publication",
	"answer: merged", "answer: exact", "answer: live", "answer: distinct", "answer: an estimate and its bounds",
	"answer: as_of", "answer: an error", "answer: without a partition's live part",
}

// met counts troubles over seeds.
type met struct {
	mu    sync.Mutex
	times map[string]int
}

func (m *met) add(times map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.times == nil {
		m.times = map[string]int{}
	}
	for trouble, n := range times {
		m.times[trouble] += n
	}
}

func (m *met) sum(troubles ...string) (n int) {
	for _, t := range troubles {
		n += m.times[t]
	}
	return n
}

// never are the troubles that were wanted, or possible for an operation that there was, and did not come.
func (m *met) never() (never []string) {
	for _, t := range wanted {
		m.times[t] += 0
	}
	for _, t := range slices.Sorted(maps.Keys(m.times)) {
		if m.times[t] == 0 {
			never = append(never, t)
		}
	}
	return never
}

func (m *met) table() string {
	var s strings.Builder
	for _, t := range slices.Sorted(maps.Keys(m.times)) {
		fmt.Fprintf(&s, "\n%8d  %s", m.times[t], t)
	}
	return s.String()
}
