package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// callers is how many clients come at once when each comes as soon as it was answered; with a fixed rate there are as many as
// it takes, up to maxCallers.
const (
	callers    = 16
	maxCallers = 128
)

// quantiles are those of the latency of calls.
type quantiles struct{ p50, p99 time.Duration }

func quantilesOf(latencies []time.Duration) quantiles {
	slices.Sort(latencies)
	at := func(q float64) time.Duration { return latencies[min(int(q*float64(len(latencies))), len(latencies)-1)] }
	return quantiles{at(0.50), at(0.99)}
}

// calls is a load of visits to some addresses, in turn.
type calls struct {
	addresses []string
	visits    []visit
	turn      atomic.Int64
}

// next makes one visit.
func (c *calls) next(buf []byte) error {
	n := int(c.turn.Add(1))
	address := c.addresses[n%len(c.addresses)]
	if err := c.visits[n%len(c.visits)].make(address, buf); err != nil {
		return fmt.Errorf("a call to %s: %w", address, err)
	}
	return nil
}

// closed has every caller make one visit after the other for that long. It returns how long each took, and all of them.
func (c *calls) closed(ctx context.Context, lasting time.Duration) (latencies []time.Duration, took time.Duration, err error) {
	began := time.Now()
	end := began.Add(lasting)
	latencies, err = c.each(ctx, callers, func() (time.Time, bool) {
		now := time.Now()
		return now, now.Before(end)
	})
	return latencies, time.Since(began), err
}

// steady makes so many visits a second for that long, each at its time, whether those before it are over or not. It returns
// how long each took from when it was to begin.
func (c *calls) steady(ctx context.Context, lasting time.Duration, rate int) ([]time.Duration, error) {
	due := make(chan time.Time, maxCallers)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go pace(ctx, due, int(lasting.Seconds()*float64(rate)), time.Second/time.Duration(rate))
	return c.each(ctx, maxCallers, func() (time.Time, bool) {
		from, more := <-due
		return from, more
	})
}

// pace sends n times, each when it has come, and closes due. It sleeps in the kernel, since a Timer of Go's may come a whole
// millisecond late.
func pace(ctx context.Context, due chan<- time.Time, n int, every time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(due)
	began := time.Now()
	for i := range n {
		next := began.Add(time.Duration(i) * every)
		if left := time.Until(next); left > 0 {
			nap := syscall.NsecToTimespec(int64(left))
			syscall.Nanosleep(&nap, nil) // a signal may end it early, by less than matters
		}
		select {
		case due <- next:
		case <-ctx.Done():
			return
		}
	}
}

// each has callers make visits, for each of which begin is called: it returns from when the visit counts, once it may begin,
// or that there is none. The first visit that fails ends all.
func (c *calls) each(ctx context.Context, callers int, begin func() (time.Time, bool)) ([]time.Duration, error) {
	// A thread that waits keeps its place in Go's scheduler: there must be enough.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(callers + 4))
	var wg sync.WaitGroup
	all := make([][]time.Duration, callers)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for i := range callers {
		wg.Go(func() {
			// A thread for each caller, which waits in the kernel.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			buf := make([]byte, largestPDU)
			for ctx.Err() == nil {
				from, more := begin()
				if !more {
					return
				}
				if err := c.next(buf); err != nil {
					fail(err)
					return
				}
				all[i] = append(all[i], time.Since(from))
			}
		})
	}
	wg.Wait()
	latencies := slices.Concat(all...)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(latencies) == 0 {
		return nil, fmt.Errorf("no call in all that time")
	}
	return latencies, nil
}
