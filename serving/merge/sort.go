package merge

// smallest moves the k smallest entries to the front, in no order, and returns them. It keeps a
// heap of the best k entries with the worst at its root, so one comparison rejects most entries
// of a long list. k must be less than len(entries).
func smallest(entries []entry, k int, compare func(a, b entry) int) []entry {
	heap := entries[:k]
	if k == 0 {
		return heap
	}
	for i := k/2 - 1; i >= 0; i-- {
		sink(heap, i, compare)
	}
	for i := k; i < len(entries); i++ {
		if compare(entries[i], heap[0]) < 0 {
			heap[0], entries[i] = entries[i], heap[0]
			sink(heap, 0, compare)
		}
	}
	return heap
}

func sink(heap []entry, i int, compare func(a, b entry) int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && compare(heap[child+1], heap[child]) > 0 {
			child++
		}
		if compare(heap[child], heap[i]) <= 0 {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// radixRows is the number of rows from which a radix sort is faster than comparisons.
const radixRows = 1 << 10

// radixSort sorts entries by the low bits of their words, least significant digits first.
func radixSort(entries []entry, bits int) []entry {
	const digit = 11
	from := entries
	to := make([]entry, len(entries))
	for shift := 0; shift < bits; shift += digit {
		var starts [1 << digit]int
		for _, e := range from {
			starts[e.word>>shift&(1<<digit-1)]++
		}
		sum := 0
		for d, n := range starts {
			starts[d] = sum
			sum += n
		}
		for _, e := range from {
			d := e.word >> shift & (1<<digit - 1)
			to[starts[d]] = e
			starts[d]++
		}
		from, to = to, from
	}
	return from
}
