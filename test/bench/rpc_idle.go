package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	idleCount  = 5000 // connections
	idleRounds = 3
	settleTime = time.Second // for what a process does after the last call
)

// measureIdle measures what a connection costs that is open and idle, in processes that have done nothing else yet: one that
// was busy before has memory to spare.
func (r *rpcResults) measureIdle(ctx context.Context) error {
	for range min(idleRounds, r.bench.rounds) {
		if err := r.measureIdleOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *rpcResults) measureIdleOnce(ctx context.Context) error {
	a, err := startArena(ctx, r.bench)
	if err != nil {
		return err
	}
	defer a.stop()
	visits, err := a.record(ctx, callers)
	if err != nil {
		return err
	}
	for i, w := range a.ways {
		octets, err := w.idle(ctx, visits)
		if err != nil {
			return fmt.Errorf("%s, idle connections: %w", w.name, err)
		}
		fmt.Fprintf(r.progress, "idle: %-20s %6.1f KiB for each of %d connections\n", w.name, octets/1024, idleCount)
		r.idle[i] = append(r.idle[i], octets)
	}
	return nil
}

// idle has clients call w and stay, and returns how much memory its process has taken for each. There is a visit for each
// caller: the responder takes two equal messages at the same time for one that comes back to it.
func (w way) idle(ctx context.Context, visits []visit) (octets float64, err error) {
	before, err := w.memory()
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, idleCount)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	err = inParallel(ctx, idleCount, func(i int, buf []byte) (err error) {
		if conns[i], err = dialer.DialContext(ctx, "tcp", w.addresses[i%len(w.addresses)]); err != nil {
			return err
		}
		conns[i].SetDeadline(time.Now().Add(visitTime))
		return visits[i%callers].talk(conns[i], buf)
	})
	if err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	after, err := w.memory()
	if err != nil {
		return 0, err
	}
	// They must all have been there, or it was something else that was measured.
	err = inParallel(ctx, idleCount, func(i int, buf []byte) error { return visits[i%callers].call(conns[i], buf) })
	return float64(after-before) / idleCount, err
}

// inParallel calls f with every number below n, from as many goroutines as there are callers, and returns its first error.
func inParallel(ctx context.Context, n int, f func(i int, buf []byte) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for first := range callers {
		wg.Go(func() {
			buf := make([]byte, largestPDU)
			for i := first; i < n && ctx.Err() == nil; i += callers {
				if err := f(i, buf); err != nil {
					fail(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
