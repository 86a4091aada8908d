package realtime

import (
	"context"
	"fmt"
)

// Renew starts a partition again, as Open would without a snapshot. It is needed after another owner
// began an epoch (L5, C1): this process may count by the old rule, or count messages that the log has
// lost. Until Renew, the partition gives nothing for cuts of the new epoch. Identities are forgotten
// too. Otherwise the copies of lost events that clients send again would not count (D3).
func (v *Views) Renew(partition int, s PartitionStart) error {
	p := v.partitions[partition]
	if err := checkEpochs(s.Epochs, s.OldestKept); err != nil {
		return fmt.Errorf("renew real-time views: partition %d: %w", partition, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewal = &s
	if p.interrupt != nil {
		p.interrupt()
	}
	p.wakeUp()
	return nil
}

// applyRenewal resets the partition if Renew was called, and reports whether it was.
func (p *partition) applyRenewal() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.renewal
	if s == nil {
		return false
	}
	p.renewal = nil
	p.state = state{}
	p.epochs = s.Epochs
	p.replay = max(s.OldestKept, s.ReplayFrom)
	p.floor = p.replay
	p.logEnd.observe(p.next)
	p.logEnd.begin(s.LogNext, s.LogLost)
	p.reset(p.floor, newIDWindow(p.cfg, p.bucket, p.floor))
	p.logger.Warn("another owner began an epoch; the real-time views are counted again", "from", p.floor)
	return true
}

// readContext returns a context for reading that Renew ends.
func (p *partition) readContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt = end
	if p.renewal != nil || p.successor != nil {
		end()
	}
	return ctx, end
}

// wakeUp makes a waiting partition check its condition again. mu must be held.
func (p *partition) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
