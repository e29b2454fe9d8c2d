package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

const (
	// detectInterval and detectFall are how everybody checks: every so many seconds, so many failures to be out.
	detectInterval = 2
	detectFall     = 3
	detectRise     = 2

	lookEvery = 20 * time.Millisecond
	backTime  = 40 * time.Second // for a host to be used again
	callEvery = 50 * time.Millisecond
)

// A stage is something that befalls a host, and then that it is well again.
type stage struct {
	name      string
	out, back func(*detection) error
}

var stages = []stage{
	{"killed", (*detection).killHost, (*detection).startHost},
	{"hung", func(d *detection) error { return d.host.cmd.Process.Signal(syscall.SIGSTOP) },
		func(d *detection) error { return d.host.cmd.Process.Signal(syscall.SIGCONT) }},
}

// sighting is what was seen of one host in one stage by one way to look.
type sighting struct {
	gone time.Duration // from the blow until the host was last seen to be used
	kept bool          // it still was when its time was over
	back time.Duration // from its return until it was first seen again; 0: it never was gone
	lost bool          // it was not seen again
}

// lossSample is what became of the calls of one stage.
type lossSample struct {
	calls, failed int
	slowest       time.Duration // of those that were answered
}

// detected is all that one repetition found.
type detected struct {
	seen  [][]sighting   // by stage and looker
	calls [][]lossSample // by stage and caller
}

// benchDetect strikes hosts and looks how long they are still used. All repetitions run at once, each with hosts and servers of
// its own, and strike at different times of the others' intervals: nearly all of it is waiting.
func benchDetect(ctx context.Context, b bench) (finding, error) {
	all, failed := make([]detected, b.rounds), make([]error, b.rounds)
	var names, callers []string
	var wg sync.WaitGroup
	for i := range all {
		d, err := newDetection(ctx, b, i)
		defer d.stop()
		if err != nil {
			return finding{}, err
		}
		names, callers = d.names()
		wg.Go(func() {
			// Not all at once, and at a different point of the interval each.
			time.Sleep(time.Duration(i) * 1300 * time.Millisecond)
			all[i], failed[i] = d.run(ctx)
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return finding{}, err
	}
	return detectFinding(all, names, callers, b.seconds), nil
}

// run carries out every stage.
func (d *detection) run(ctx context.Context) (found detected, err error) {
	if err := d.settle(ctx); err != nil {
		return found, err
	}
	for _, s := range stages {
		seen, calls, err := d.stage(ctx, s)
		if err != nil {
			return found, fmt.Errorf("%s: %w", s.name, err)
		}
		found.seen, found.calls = append(found.seen, seen), append(found.calls, calls)
		fmt.Fprintf(d.progress, "repetition %d: %s: %v, calls %v\n", d.number+1, s.name, seen, calls)
	}
	return found, nil
}

// stage strikes the host, leaves it struck for so many seconds, and brings it back. Everybody looks, and calls, all the while.
func (d *detection) stage(ctx context.Context, s stage) ([]sighting, []lossSample, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	struck := time.Now()
	returned := struck.Add(time.Duration(d.seconds) * time.Second)
	seen, errs := make([]sighting, len(d.lookers)), make([]error, len(d.lookers))
	var looks, calls sync.WaitGroup
	if err := s.out(d); err != nil {
		return nil, nil, err
	}
	for i, l := range d.lookers {
		looks.Go(func() { seen[i], errs[i] = watchHost(ctx, l, struck, returned) })
	}
	losses := make([]lossSample, len(d.callers))
	for i, c := range d.callers {
		calls.Go(func() { losses[i] = c.callOn(ctx, returned) })
	}
	var backErr error
	select {
	case <-time.After(time.Until(returned)):
		backErr = s.back(d)
	case <-ctx.Done():
		backErr = ctx.Err()
	}
	looks.Wait()
	calls.Wait()
	return seen, losses, errors.Join(append(errs, backErr, d.settle(ctx))...)
}

// watchHost looks again and again whether the host is used.
func watchHost(ctx context.Context, l looker, struck, returned time.Time) (s sighting, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	missing := false
	for {
		used, err := l.look()
		now := time.Now()
		switch {
		case err != nil:
			return s, fmt.Errorf("%s: %w", l.name, err)
		case now.Before(returned):
			if used {
				s.gone = now.Sub(struck)
			}
			missing = !used
		case !missing:
			s.kept = true
			return s, nil
		case used:
			s.back = now.Sub(returned)
			return s, nil
		case now.Sub(returned) > backTime:
			s.lost = true
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

// settle waits until everybody uses the host.
func (d *detection) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, backTime+startTime)
	defer cancel()
	for _, l := range d.lookers {
		for {
			used, err := l.look()
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			if used {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s does not use the host that is well: %w", l.name, ctx.Err())
			case <-time.After(lookEvery):
			}
		}
	}
	// One more round of everybody's checks: nobody is to be in the middle of a doubt.
	time.Sleep(2 * detectInterval * time.Second)
	return nil
}
