package main

import (
	"context"
	"time"

	"recount/deploy/proof/faultproxy"
)

// flipTargets are the directions in which bits are flipped, and how many. After the flips end
// they must have done no harm. The way to the log is not among them: a frame that becomes
// corrupt there is stored as it arrives, and its checksum shows that only to a reader (C7).
var flipTargets = []struct {
	engine string
	faults faultproxy.Faults
}{
	{"s3", faultproxy.Faults{ToServer: faultproxy.Direction{FlipOneIn: 20 << 10}}},
	{"s3", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 20 << 10}}},
	{"clickhouse", faultproxy.Faults{ToServer: faultproxy.Direction{FlipOneIn: 5 << 10}}},
	{"clickhouse", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 512}}},
	{"nats", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 100 << 10}}},
}

// flipRound flips bits on the way to and from the engines, one direction at a time.
func flipRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, true); err != nil {
		return err
	}
	longest := 3 * time.Second
	if w.h.short {
		longest = 1200 * time.Millisecond
	}
	for _, f := range flipTargets {
		p := w.engines.proxies[f.engine]
		direction := "from"
		if f.faults.ToServer.FlipOneIn > 0 {
			direction = "to"
		}
		before := p.Stats().Flips
		p.Set(f.faults)
		err := sleep(ctx, w.randomDuration(longest/2, longest))
		p.Set(faultproxy.Faults{})
		n := p.Stats().Flips - before
		for range n {
			w.h.report.fault("bits flipped " + direction + " " + f.engine)
		}
		w.say("%d bits flipped on the way %s %s", n, direction, f.engine)
		if err != nil {
			return err
		}
	}
	return w.finish(ctx)
}
