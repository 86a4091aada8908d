package main

import (
	"context"
	"time"

	"recount/deploy/proof/faultproxy"
)

// breakage is something that happens to the connections to an engine for a while.
type breakage struct {
	name string
	do   func(ctx context.Context, w *world, engine string) error
}

// faulty has the proxy do a fault for a drawn time and then heals it.
func faulty(f faultproxy.Faults) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, engine string) error {
		p := w.engines.proxies[engine]
		p.Set(f)
		defer p.Set(faultproxy.Faults{})
		return pause(ctx, w.between(time.Second, 3*time.Second))
	}
}

var breakages = []breakage{
	{"latency", faulty(faultproxy.Faults{
		ToServer: faultproxy.Direction{Latency: 20 * time.Millisecond, Jitter: 80 * time.Millisecond},
		ToClient: faultproxy.Direction{Latency: 20 * time.Millisecond, Jitter: 80 * time.Millisecond}})},
	{"bandwidth", faulty(faultproxy.Faults{
		ToServer: faultproxy.Direction{BytesPerSecond: 200 << 10},
		ToClient: faultproxy.Direction{BytesPerSecond: 200 << 10}})},
	{"lost answers", faulty(faultproxy.Faults{ToClient: faultproxy.Direction{Stall: true}})},
	{"lost requests", faulty(faultproxy.Faults{ToServer: faultproxy.Direction{Stall: true}})},
	{"resets", func(ctx context.Context, w *world, engine string) error {
		for range 8 {
			w.engines.proxies[engine].Reset()
			if err := pause(ctx, w.between(20*time.Millisecond, 300*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}},
	{"half open", func(ctx context.Context, w *world, engine string) error {
		w.engines.proxies[engine].HalfOpen()
		return pause(ctx, w.between(time.Second, 3*time.Second))
	}},
	{"engine killed", func(ctx context.Context, w *world, engine string) error {
		w.engines.procs[engine].kill()
		if err := pause(ctx, w.between(100*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
		return w.engines.start(ctx, engine)
	}},
}

// engineBreak is a breakage of one engine's connections.
type engineBreak struct {
	breakage
	engine string
}

func engineBreaks() (all []engineBreak) {
	for _, b := range breakages {
		for _, engine := range engineKinds {
			all = append(all, engineBreak{b, engine})
		}
	}
	return all
}

// breakagesARound is how many breakages one world sees.
const breakagesARound = 8

// networkRound has one server over engines of their own, and breaks the connections
// between them, one engine at a time.
func networkRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, true); err != nil {
		return err
	}
	n := breakagesARound
	if w.h.short {
		n = 3
	}
	for range n {
		b := w.h.breaks.take()
		w.say("%s: %s", b.engine, b.name)
		w.h.report.fault(b.engine + ": " + b.name)
		if err := b.do(ctx, w, b.engine); err != nil {
			return err
		}
		if err := pause(ctx, w.between(300*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return w.end(ctx)
}
