package sim

// The zstd encoders that Parquet keeps hold channels, which must not wander between the
// bubbles of synctest. What compresses runs in goroutines outside all of them.
type worker struct {
	in  chan func()
	out chan struct{}
}

var idle = startWorkers(4)

func startWorkers(n int) chan worker {
	free := make(chan worker, n)
	for range n {
		w := worker{make(chan func()), make(chan struct{})}
		go func() {
			for f := range w.in {
				f()
				w.out <- struct{}{}
			}
		}()
		free <- w
	}
	return free
}

// outside runs f outside every bubble. The bubble's clock stands still meanwhile.
func outside(f func()) {
	w := <-idle
	w.in <- f
	<-w.out
	idle <- w
}
