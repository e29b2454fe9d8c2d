package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"
	"github.com/coredns-kms/coredns-kms/test/repository"
)

const (
	comparing = 2 * time.Second // between two comparisons of what is announced
	aftermath = 3 * time.Second // how long it goes on after a violation, to see what comes of it
)

// experiment is a whole run, inside. It returns an error if something was violated, after it printed what.
func experiment(ctx context.Context, o options, dir string) (err error) {
	began := time.Now()
	events := &timeline{began: began}
	w := &world{bounds: settings, events: events, lag: &lag{began: began},
		tally: tally{Calls: make(map[string]int), Lost: make(map[string]int)}}
	a, err := newArena(binaryIn(dir), dir, w)
	defer a.close()
	if err != nil {
		return err
	}
	if o.log != "" {
		done, err := a.keepLog(o.log)
		if err != nil {
			return err
		}
		defer done()
	}
	fmt.Fprintf(os.Stderr, "seed %d, for %s\n", o.seed, o.length)
	if err := a.startServer(ctx); err != nil {
		events.print(os.Stderr, began, time.Now(), 100)
		return err
	}
	began = time.Now()
	events.began, w.lag.began = began, began
	e := &trial{arena: a, options: o, began: began, ends: began.Add(o.length),
		faults: plan(o.seed, o.length, fixedHosts, announcedHosts)}
	e.watcher = &watcher{arena: a, metrics: "http://" + serverAddress.String() + ":9153/metrics",
		collect: "http://" + serverAddress.String() + ":6053/debug/pprof/heap?gc=1",
		stacks:  "http://" + serverAddress.String() + ":6053/debug/pprof/goroutine?debug=1",
		began:   began, samples: make(map[int][]sample)}
	a.announcing = a.announcers(o.seed)
	e.traffic = newTraffic(w, serverAddress)
	e.run(ctx)
	if ctx.Err() != nil {
		return errors.New("it was broken off")
	}
	if len(w.broken()) == 0 {
		e.finish(ctx)
	}
	return e.conclude(ctx)
}

// A trial is an experiment under way.
type trial struct {
	*arena
	options options
	began   time.Time
	ends    time.Time
	faults  []fault
	done    map[kind]int
	watcher *watcher
	traffic *traffic
}

// run does everything at once, until the time is over, something is violated, or ctx is done.
func (e *trial) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithDeadline(ctx, e.ends)
	defer cancel() // before all are waited for
	all.Go(func() { e.lag.run(ctx) })
	all.Go(func() { e.watchServer(ctx) })
	all.Go(func() { e.watcher.run(ctx) })
	all.Go(func() { e.traffic.run(ctx, e.options.seed) })
	for _, one := range e.announcing {
		all.Go(func() { one.run(ctx) })
	}
	all.Go(func() { e.compare(ctx) })
	all.Go(func() { e.done = e.carryOut(ctx, e.began, e.faults) })
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for minute := time.Minute; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(e.broken()) > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(aftermath):
			}
			return
		}
		if since := time.Since(e.began); since > minute {
			minute += time.Minute
			e.set(func(time.Time) {
				t := e.tally
				fmt.Fprintf(os.Stderr, "%s: %d questions, %v calls, %d announcements\n",
					since.Round(time.Second), t.Questions, t.Calls, t.Registered)
			})
		}
	}
}

// compare compares what is announced, again and again.
func (e *trial) compare(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(comparing):
		}
		began := time.Now()
		if _, err := compare(ctx, e.world, e.announcing, e.config.socket); err != nil && ctx.Err() == nil && e.wasUp(began) {
			e.violate("the server does not say who is announced: %v", err)
		}
	}
}

// finish kills the server once more, and sees what it knows when it is back; then it stops it.
func (e *trial) finish(ctx context.Context) {
	errs := []error{e.stopServer(true)}
	if errs[0] == nil {
		errs = append(errs, e.startServer(ctx))
		errs = append(errs, e.stopServer(false))
	}
	if err := errors.Join(errs...); err != nil {
		e.violate("at the end: %v", err)
	}
}

// conclude prints the report, and what was violated.
func (e *trial) conclude(ctx context.Context) error {
	r := e.report()
	if e.options.json {
		if err := r.printJSON(os.Stdout); err != nil {
			return err
		}
	} else {
		fmt.Print(r.table())
	}
	if broken := e.broken(); len(broken) > 0 {
		e.explain(ctx, broken)
		return fmt.Errorf("%d violations with seed %d", len(broken), e.options.seed)
	}
	if e.options.write {
		root, err := repository.Root(ctx)
		if err != nil {
			return err
		}
		return repository.ReplaceSection(filepath.Join(root, document), "chaos", r.table())
	}
	return nil
}

// explain prints what was violated, and what happened before.
func (e *trial) explain(ctx context.Context, broken []string) {
	const shown, before, lines = 20, 40 * time.Second, 250
	fmt.Fprintf(os.Stderr, "\nVIOLATED, with seed %d:\n", e.options.seed)
	for i, text := range broken {
		if i == shown {
			fmt.Fprintf(os.Stderr, "  and %d more\n", len(broken)-shown)
			break
		}
		fmt.Fprintln(os.Stderr, "  "+text)
	}
	e.ask(ctx)
	fmt.Fprintln(os.Stderr, "What happened before, in seconds:")
	now := time.Now()
	e.events.print(os.Stderr, now.Add(-before), now, lines)
}

// ask prints what the server says of its hosts now.
func (e *trial) ask(ctx context.Context) {
	known, err := control.Client{Socket: e.config.socket}.Hosts(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "The server does not say what it knows of its hosts: %v\n", err)
		return
	}
	fmt.Fprintln(os.Stderr, "What the server says of its hosts now:")
	for _, p := range known.Pools {
		fmt.Fprintf(os.Stderr, "    %s: %s\n", p.Name, p.Condition)
		for _, h := range p.Hosts {
			fmt.Fprintf(os.Stderr, "        %s %v is %s since %s, was asked %s ago: %s\n", h.Endpoint, h.Addresses, h.State,
				h.Since.Format(time.TimeOnly), time.Since(h.Probed.Add(-e.clockOffset())).Round(time.Millisecond), h.Error)
		}
	}
}
