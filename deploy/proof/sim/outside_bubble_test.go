package sim

// worker is a goroutine outside every bubble of synctest. Code that compresses runs in a worker,
// because Parquet reuses zstd encoders, whose channels must not move from one bubble to another.
type worker struct {
	calls chan func()
	done  chan struct{}
}

var idleWorkers = startWorkers(4)

func startWorkers(n int) chan worker {
	free := make(chan worker, n)
	for range n {
		w := worker{make(chan func()), make(chan struct{})}
		go func() {
			for f := range w.calls {
				f()
				w.done <- struct{}{}
			}
		}()
		free <- w
	}
	return free
}

// outsideBubble runs f in a worker and waits for it. The clock of the caller's bubble stops meanwhile.
func outsideBubble(f func()) {
	w := <-idleWorkers
	w.calls <- f
	<-w.done
	idleWorkers <- w
}
