package main

import (
	"context"
	"time"

	"recount/deploy/proof/faultproxy"
)

// flipsOf are the directions in which flipped bits must do no harm once they end, and one
// bit in how many bytes is flipped. Not among them: what goes up to the log. A frame that
// is spoilt there is stored as it arrives, and its checksum can only say so afterwards (C7).
var flipsOf = []struct {
	engine string
	faults faultproxy.Faults
}{
	{"s3", faultproxy.Faults{ToServer: faultproxy.Direction{FlipOneIn: 20 << 10}}},
	{"s3", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 20 << 10}}},
	{"clickhouse", faultproxy.Faults{ToServer: faultproxy.Direction{FlipOneIn: 5 << 10}}},
	{"clickhouse", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 512}}},
	{"nats", faultproxy.Faults{ToClient: faultproxy.Direction{FlipOneIn: 100 << 10}}},
}

// flipRound flips bits on the way to and from the engines, one direction after the other.
func flipRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, true); err != nil {
		return err
	}
	long := 3 * time.Second
	if w.h.short {
		long = 1200 * time.Millisecond
	}
	for _, f := range flipsOf {
		p := w.engines.proxies[f.engine]
		way := "from"
		if f.faults.ToServer.FlipOneIn > 0 {
			way = "to"
		}
		before := p.Stats().Flips
		p.Set(f.faults)
		err := pause(ctx, w.between(long/2, long))
		p.Set(faultproxy.Faults{})
		n := p.Stats().Flips - before
		for range n {
			w.h.report.fault("bits flipped " + way + " " + f.engine)
		}
		w.say("%d bits flipped on the way %s %s", n, way, f.engine)
		if err != nil {
			return err
		}
	}
	return w.end(ctx)
}
