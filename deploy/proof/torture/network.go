package main

import (
	"context"
	"time"

	"recount/deploy/proof/faultproxy"
)

// breakage disturbs the connections to an engine for a few seconds.
type breakage struct {
	name  string
	apply func(ctx context.Context, w *world, engine string) error
}

// withFaults returns a breakage that sets the faults of the engine's proxy for a random time.
func withFaults(f faultproxy.Faults) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, engine string) error {
		p := w.engines.proxies[engine]
		p.Set(f)
		defer p.Set(faultproxy.Faults{})
		return sleep(ctx, w.randomDuration(time.Second, 3*time.Second))
	}
}

var breakages = []breakage{
	{"latency", withFaults(faultproxy.Faults{
		ToServer: faultproxy.Direction{Latency: 20 * time.Millisecond, Jitter: 80 * time.Millisecond},
		ToClient: faultproxy.Direction{Latency: 20 * time.Millisecond, Jitter: 80 * time.Millisecond}})},
	{"bandwidth", withFaults(faultproxy.Faults{
		ToServer: faultproxy.Direction{BytesPerSecond: 200 << 10},
		ToClient: faultproxy.Direction{BytesPerSecond: 200 << 10}})},
	{"lost answers", withFaults(faultproxy.Faults{ToClient: faultproxy.Direction{Stall: true}})},
	{"lost requests", withFaults(faultproxy.Faults{ToServer: faultproxy.Direction{Stall: true}})},
	{"resets", func(ctx context.Context, w *world, engine string) error {
		for range 8 {
			w.engines.proxies[engine].Reset()
			if err := sleep(ctx, w.randomDuration(20*time.Millisecond, 300*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}},
	{"half open", func(ctx context.Context, w *world, engine string) error {
		w.engines.proxies[engine].HalfOpen()
		return sleep(ctx, w.randomDuration(time.Second, 3*time.Second))
	}},
	{"engine killed", func(ctx context.Context, w *world, engine string) error {
		w.engines.procs[engine].kill()
		if err := sleep(ctx, w.randomDuration(100*time.Millisecond, 2*time.Second)); err != nil {
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

// breakagesPerRound is how many breakages a round plays.
const breakagesPerRound = 8

// networkRound runs one server over engines in other processes and breaks its connections to
// them, one engine at a time.
func networkRound(ctx context.Context, w *world) error {
	if err := w.begin(ctx, 1, true); err != nil {
		return err
	}
	n := breakagesPerRound
	if w.h.short {
		n = 3
	}
	for range n {
		b := w.h.breaks.draw()
		w.say("%s: %s", b.engine, b.name)
		w.h.report.fault(b.engine + ": " + b.name)
		if err := b.apply(ctx, w, b.engine); err != nil {
			return err
		}
		if err := sleep(ctx, w.randomDuration(300*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}
