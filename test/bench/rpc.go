package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// steadyRates are the calls a second at which latency is compared: ones that every way can bear.
var steadyRates = [...]int{1000, 2000}

// shares are the parts of what a way bore at full load, right before, that it is then loaded with.
var shares = [...]float64{0.1, 0.2, 0.4, 0.6, 0.8}

// callSample is what one round found of one way.
type callSample struct {
	perSecond float64
	used                // for each call
	busy      quantiles // with as many calls as come back
	steady    [len(steadyRates)]steadySample
	share     [len(shares)]quantiles
}

// steadySample is what it found at one of steadyRates.
type steadySample struct {
	quantiles
	used // for each call
}

// rpcResults is everything that was found, by way.
type rpcResults struct {
	bench
	calls [wayCount][]callSample
	idle  [wayCount][]float64 // octets of memory for each idle connection
}

// startArena starts hosts and ways.
func startArena(ctx context.Context, b bench) (*rpcArena, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return newRPCArena(ctx, b.dir, self, filepath.Join(b.dir, "build"))
}

// benchRPC measures every way in each of several rounds.
func benchRPC(ctx context.Context, b bench) (finding, error) {
	r := rpcResults{bench: b}
	if err := r.measureIdle(ctx); err != nil {
		return finding{}, err
	}
	if err := r.measureCalls(ctx); err != nil {
		return finding{}, err
	}
	return r.finding(), nil
}

// measureCalls measures every way, after a short run that does not count, once in each round. Every round begins with another
// one.
func (r *rpcResults) measureCalls(ctx context.Context) error {
	a, err := startArena(ctx, r.bench)
	if err != nil {
		return err
	}
	defer a.stop()
	visits, err := a.record(ctx, clientCount)
	if err != nil {
		return err
	}
	for round := -1; round < r.bench.rounds; round++ {
		for turn := range a.ways {
			i := (turn + max(round, 0)) % len(a.ways)
			lasting := time.Duration(r.seconds) * time.Second
			if round < 0 {
				lasting = time.Second
			}
			s, err := a.measure(ctx, a.ways[i], visits, lasting)
			if err != nil {
				return fmt.Errorf("%s: %w", a.ways[i].name, err)
			}
			if round < 0 {
				continue
			}
			fmt.Fprintf(r.progress, "round %d: %-20s %6.0f calls/s %6.1f µs/call, p99 %5.0f µs; steady p99 %5.0f µs, %5.0f µs\n", round+1, a.ways[i].name,
				s.perSecond, microseconds(s.proxy), microseconds(s.busy.p99), microseconds(s.steady[0].p99), microseconds(s.steady[1].p99))
			r.calls[i] = append(r.calls[i], s)
		}
	}
	// All must still answer, and right.
	_, err = a.record(ctx, 1)
	return err
}

// measure loads w as much as it bears, and then steadily, for its latency, at fixed rates and at shares of what it bore.
func (a *rpcArena) measure(ctx context.Context, w way, visits []visit, lasting time.Duration) (s callSample, err error) {
	load := calls{addresses: w.addresses, visits: visits}
	var took time.Duration
	latencies, cost, err := a.costing(w, func() (latencies []time.Duration, err error) {
		latencies, took, err = load.closed(ctx, lasting)
		return latencies, err
	})
	if err != nil {
		return s, err
	}
	s = callSample{perSecond: float64(len(latencies)) / took.Seconds(), used: cost, busy: quantilesOf(latencies)}
	for i, rate := range steadyRates {
		latencies, cost, err := a.costing(w, func() ([]time.Duration, error) { return load.steady(ctx, lasting, rate) })
		if err != nil {
			return s, err
		}
		s.steady[i] = steadySample{quantilesOf(latencies), cost}
	}
	for i, share := range shares {
		latencies, err := load.steady(ctx, (lasting+time.Second)/2, int(share*s.perSecond))
		if err != nil {
			return s, err
		}
		s.share[i] = quantilesOf(latencies)
	}
	return s, nil
}

// costing makes calls and tells what processor time each took.
func (a *rpcArena) costing(w way, load func() ([]time.Duration, error)) (latencies []time.Duration, each used, err error) {
	through := func() (latencies []time.Duration, err error) {
		latencies, each.proxy, err = w.costing(load)
		return latencies, err
	}
	if w.process == a.hosts {
		through = load
	}
	latencies, each.hosts, err = a.hosts.costing(through)
	return latencies, each, err
}

// used is processor time.
type used struct {
	proxy time.Duration // of what is between clients and hosts
	hosts time.Duration
}
