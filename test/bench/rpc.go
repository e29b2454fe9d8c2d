package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// steadyRates are the calls a second at which latency is compared: ones that every way can bear.
var steadyRates = [...]int{1000, 2000}

// callSample is what one round found of one way.
type callSample struct {
	perSecond float64
	proxy     time.Duration // processor time for each call, of what is between clients and hosts
	hosts     time.Duration // likewise, of the hosts
	busy      quantiles     // with as many calls as come back
	steady    [len(steadyRates)]quantiles
}

// rpcResults is everything that was found, by way.
type rpcResults struct {
	rounds, seconds int
	calls           [wayCount][]callSample
	idle            [wayCount][]float64 // octets of memory for each idle connection
}

// benchRPC measures every way in each of several rounds.
func benchRPC(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench rpc", flag.ContinueOnError)
	r := rpcResults{}
	flags.IntVar(&r.rounds, "rounds", 5, "how often each way is measured")
	flags.IntVar(&r.seconds, "seconds", 4, "how long each time, at full load and at each fixed rate")
	write := flags.Bool("write", false, "put the result into "+document)
	profile := flags.String("profile", "", "measure nothing; write a processor profile of the responder at full load into this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if r.rounds < 1 || r.seconds < 1 || flags.NArg() > 0 {
		return fmt.Errorf("rpc [-rounds N] [-seconds N] [-write], each N from 1")
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kms-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(progress, "building")
	if err := build(ctx, root, dir, "./build"); err != nil {
		return err
	}
	arena := func() (*rpcArena, error) { return newRPCArena(ctx, dir, self, filepath.Join(dir, "build")) }
	if *profile != "" {
		return profileCalls(ctx, arena, time.Duration(r.seconds)*time.Second, *profile)
	}
	if err := r.measureIdle(ctx, arena, progress); err != nil {
		return err
	}
	if err := r.measureCalls(ctx, arena, progress); err != nil {
		return err
	}
	section := r.report()
	fmt.Fprint(out, section)
	if *write {
		return replaceSection(filepath.Join(root, document), "bench rpc", section)
	}
	return nil
}

// measureCalls measures every way, after a short run that does not count, once in each round. Every round begins with another
// one.
func (r *rpcResults) measureCalls(ctx context.Context, arena func() (*rpcArena, error), progress io.Writer) error {
	a, err := arena()
	if err != nil {
		return err
	}
	defer a.stop()
	visits, err := a.record(ctx, clientCount)
	if err != nil {
		return err
	}
	for round := -1; round < r.rounds; round++ {
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
			fmt.Fprintf(progress, "round %d: %-20s %6.0f calls/s %6.1f µs/call, p99 %5.0f µs; steady p99 %5.0f µs, %5.0f µs\n", round+1, a.ways[i].name,
				s.perSecond, microseconds(s.proxy), microseconds(s.busy.p99), microseconds(s.steady[0].p99), microseconds(s.steady[1].p99))
			r.calls[i] = append(r.calls[i], s)
		}
	}
	// All must still answer, and right.
	_, err = a.record(ctx, 1)
	return err
}

// measure loads w as much as it bears, and then steadily, for its latency.
func (a *rpcArena) measure(ctx context.Context, w way, visits []visit, lasting time.Duration) (s callSample, err error) {
	load := calls{addresses: w.addresses, visits: visits}
	before, err := a.cpuOf(w)
	if err != nil {
		return s, err
	}
	latencies, took, err := load.closed(ctx, lasting)
	if err != nil {
		return s, err
	}
	after, err := a.cpuOf(w)
	if err != nil {
		return s, err
	}
	n := time.Duration(len(latencies))
	s = callSample{
		perSecond: float64(n) / took.Seconds(),
		proxy:     (after.proxy - before.proxy) / n,
		hosts:     (after.hosts - before.hosts) / n,
		busy:      quantilesOf(latencies),
	}
	for i, rate := range steadyRates {
		latencies, err := load.steady(ctx, lasting, rate)
		if err != nil {
			return s, err
		}
		s.steady[i] = quantilesOf(latencies)
	}
	return s, nil
}

// used is the processor time that was used so far.
type used struct{ proxy, hosts time.Duration }

func (a *rpcArena) cpuOf(w way) (u used, err error) {
	if u.hosts, err = a.hosts.cpu(); err == nil && w.process != a.hosts {
		u.proxy, err = w.cpu()
	}
	return u, err
}
