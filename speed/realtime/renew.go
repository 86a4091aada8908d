package realtime

import (
	"context"
	"fmt"
)

// Renew begins a partition anew, as Open would: another owner began an epoch since (L5, C1),
// so this one may count by another rule, or messages that the log has lost. It gives
// nothing for cuts of that epoch until then. Identities are forgotten with the rest: taken
// for seen, the copies that clients send of lost events would not count (D3).
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

// renew does what Renew asked for and reports whether there was anything.
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
	p.reset(p.floor, newIDWindow(p.cfg, p.bucket, p.floor))
	p.logger.Warn("another owner began an epoch; real-time views are counted again", "from", p.floor)
	return true
}

// interruptible is a context for reading that Renew ends.
func (p *partition) readContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupt = end
	if p.renewal != nil {
		end()
	}
	return ctx, end
}

// awake lets a partition that waits look again. mu must be held.
func (p *partition) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
