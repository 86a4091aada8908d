package main

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// passes holds, for each failpoint, how often a server passes it within about a second of load.
// The pass at which the server is killed is drawn from that number. TestEveryPointIsKilledAt
// compares the names with those in the source.
var passes = map[string]int{
	"exact.aggregate.after":  2,
	"exact.dedup.after":      2,
	"exact.load.after":       3,
	"exact.load.before":      3,
	"ingest.answer.after":    60,
	"ingest.answer.before":   60,
	"landing.ack.after":      9,
	"landing.ack.before":     9,
	"landing.consume.after":  100,
	"landing.consume.before": 100,
	"landing.create.after":   9,
	"landing.create.before":  9,
	"landing.cut.after":      9,
	"landing.encode.after":   9,
	"landing.put.after":      9,
	"landing.put.before":     9,
	"landing.recover.after":  3,
	"landing.recover.before": 3,
	"landing.verify.after":   9,
	"log.ack.after":          100,
	"log.ack.before":         100,
	"log.append.after":       100,
	"log.append.before":      100,
	"log.trim.after":         3,
	"log.trim.before":        3,
	"mark.folder.after":      2,
	"mark.fsync.before":      2,
	"mark.rename.after":      2,
	"mark.rename.before":     2,
	"mark.temp.before":       2,
	"publish.collect.after":  1,
	"publish.collect.before": 1,
	"publish.create.after":   2,
	"publish.create.before":  2,
	"publish.dirty.before":   2,
	"publish.insert.after":   2,
	"publish.insert.before":  2,
	"publish.plan.after":     2,
	"publish.plan.before":    2,
	"publish.project.before": 2,
	"publish.verify.before":  2,
	"publish.write.after":    2,
	"publish.write.before":   2,
	"s3.folder.after":        30,
	"s3.rename.after":        30,
	"s3.rename.before":       30,
	"s3.temp.after":          30,
	"s3.temp.before":         30,
	"snapshot.folder.after":  6,
	"snapshot.fsync.before":  6,
	"snapshot.rename.after":  6,
	"snapshot.rename.before": 6,
	"snapshot.temp.before":   6,

	// A server passes these only when its log has lost its end; the round "lost log" kills at them.
	"log.advance.after":  1,
	"log.advance.before": 1,
	"log.seal.after":     1,
	"log.seal.before":    1,
}

// lostLogPoints are the failpoints at which the round "lost log" kills.
var lostLogPoints = []string{"log.seal.before", "log.seal.after", "log.advance.before", "log.advance.after"}

// turns returns its items in a random order, again and again. Every item gets its turn, however
// many rounds there are.
type turns[T any] struct {
	items []T
	next  int
}

func newTurns[T any](seed uint64, items []T) *turns[T] {
	rng := rand.New(rand.NewPCG(seed, uint64(len(items))))
	items = slices.Clone(items)
	rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return &turns[T]{items: items}
}

// draw returns the next item.
func (t *turns[T]) draw() T {
	item := t.items[t.next%len(t.items)]
	t.next++
	return item
}

// killPoints returns the failpoints that a server reaches without losing its log.
func killPoints() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(passes)),
		func(name string) bool { return slices.Contains(lostLogPoints, name) })
}
