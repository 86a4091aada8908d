package eventlog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

const (
	// quorumTimeout bounds one look. It is below the time that /readyz has for all of its checks.
	quorumTimeout = 1500 * time.Millisecond
	// quorumEvery is how long an answer is used again, so that requests of /readyz do not multiply at the servers.
	quorumEvery = time.Second
	// replicaSilence is how long a server of a stream may be silent. Servers exchange a message every second. The
	// leader itself notices only after ten seconds that it is alone, and acknowledges nothing meanwhile.
	replicaSilence = 4 * time.Second
)

// quorum is the last look at whether the streams of an external log accept messages.
type quorum struct {
	mu   sync.Mutex // held during a look, so that callers share it
	last time.Time
	err  error
}

// checkQuorum returns an error that names the partitions whose stream has no leader, or whose leader hears from fewer
// than half of the stream's servers. Such a stream acknowledges no message. The connection does not show it: it stays
// up as long as one server of the cluster runs.
func (l *Log) checkQuorum(ctx context.Context) error {
	l.quorum.mu.Lock()
	defer l.quorum.mu.Unlock()
	if time.Since(l.quorum.last) < quorumEvery {
		return l.quorum.err
	}
	// A caller that gives up must not leave its error to the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quorumTimeout)
	defer cancel()
	var g errgroup.Group
	for p, s := range l.streams {
		g.Go(func() error { return streamQuorum(ctx, p, s) })
	}
	l.quorum.err = g.Wait()
	l.quorum.last = time.Now()
	return l.quorum.err
}

func streamQuorum(ctx context.Context, partition int, s jetstream.Stream) error {
	info, err := s.Info(ctx)
	if err != nil {
		return fmt.Errorf("%w: partition %d accepts no events, because its stream has no leader: start the servers of "+
			"the log that are down: %w", ErrUnavailable, partition, err)
	}
	if info.Cluster == nil {
		return nil
	}
	servers := 1 + len(info.Cluster.Replicas)
	up := 1
	for _, r := range info.Cluster.Replicas {
		if !r.Offline && r.Active < replicaSilence {
			up++
		}
	}
	if up <= servers/2 {
		return fmt.Errorf("%w: partition %d accepts no events, because only %d of its %d servers answer: start the "+
			"servers of the log that are down", ErrUnavailable, partition, up, servers)
	}
	return nil
}
