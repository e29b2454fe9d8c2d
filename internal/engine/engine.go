// Package engine keeps what must survive a CoreDNS reload: the pools with what they know, and listening sockets. CoreDNS
// makes every plugin anew for each configuration; what is here is shared by whichever configurations are alive, counted by
// reference, and stopped with the last of them.
//
// It knows no DNS and no CoreDNS; the root package tells it when configurations come and go.
package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Generation numbers the configurations that CoreDNS loaded, in order. All kms blocks of one Corefile share one.
type Generation uint64

// Engine is the table of what runs. Its methods may be called by any number of goroutines at once.
type Engine struct {
	deciding sync.Mutex           // held while a drain is stored and then told, and while a pool starts; taken before mu
	back     map[string]time.Time // guarded by deciding: when somebody last put a host back, by endpoint, since stores may not know

	mu     sync.Mutex
	latest Generation
	leases map[*Lease]struct{}
	things map[string]*thing

	expected map[Generation]map[string][]string // zones of the blocks of a configuration, by the key of their pool
	later    []later                            // in the order of the calls of Later
	lore     map[Generation]*lore               // while a configuration loads; guarded by deciding too
}

// later is something to be done when the configuration of lease serves.
type later struct {
	lease *Lease
	do    func()
}

// thing is something that runs for as long as a lease holds it.
type thing struct {
	value   any
	holders int
	cancel  context.CancelFunc
	done    chan struct{} // closed when its run has returned
}

// Lease is what one kms block of one configuration holds.
type Lease struct {
	engine     *Engine
	generation Generation
	keys       []string // guarded by engine.mu
}

// New returns an empty engine.
func New() *Engine {
	return &Engine{leases: map[*Lease]struct{}{}, things: map[string]*thing{}, back: map[string]time.Time{},
		expected: map[Generation]map[string][]string{}, lore: map[Generation]*lore{}}
}

// NextGeneration begins a new configuration.
func (e *Engine) NextGeneration() Generation {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.latest++
	return e.latest
}

// Latest is the newest generation so far.
func (e *Engine) Latest() Generation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.latest
}

// Lease returns a lease that holds nothing yet.
func (e *Engine) Lease(g Generation) *Lease {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := &Lease{engine: e, generation: g}
	e.leases[l] = struct{}{}
	return l
}

// Later has f called by Serve, when the configuration of l comes to serve. It is for what changes a thing that an older one
// holds too: a configuration may be discarded before it serves, and then f is never called.
func (l *Lease) Later(f func()) {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	if _, ok := l.engine.leases[l]; ok {
		l.engine.later = append(l.engine.later, later{l, f})
	}
}

// Serve does, in order, what was left for the moment when a configuration comes to serve, for each of which serves is true. It does
// each once, and may be called again.
func (e *Engine) Serve(serves func(Generation) bool) {
	e.mu.Lock()
	maps.DeleteFunc(e.lore, func(g Generation, _ *lore) bool { return serves(g) })
	var now []later
	e.later = slices.DeleteFunc(e.later, func(f later) bool {
		if serves(f.lease.generation) {
			now = append(now, f)
			return true
		}
		return false
	})
	e.mu.Unlock()
	for _, f := range now {
		f.do()
	}
}

// First is whether no configuration before g holds anything.
func (e *Engine) First(g Generation) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.leases {
		if l.generation < g {
			return false
		}
	}
	return true
}

// ErrReleased is returned for a lease that was given back.
var ErrReleased = errors.New("the lease was released")

// Hold returns the thing called key, and keeps it running for as long as l does. If nothing holds it yet, start makes it and
// returns how it runs; run is then called on a goroutine of its own with a context that ends with the last lease. start must
// not call the engine.
func Hold[T any](l *Lease, key string, start func() (value T, run func(context.Context), err error)) (T, error) {
	var none T
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.leases[l]; !ok {
		return none, ErrReleased
	}
	holders := 1
	if t := e.things[key]; t != nil && t.ended() {
		holders += t.holders // it ended by itself: those who hold it get the new one
		if slices.Contains(l.keys, key) {
			holders--
		}
	} else if t != nil {
		value, ok := t.value.(T)
		if !ok {
			return none, fmt.Errorf("%s is a %T, not a %T", key, t.value, none)
		}
		if !slices.Contains(l.keys, key) {
			t.holders++
			l.keys = append(l.keys, key)
		}
		return value, nil
	}
	value, run, err := start()
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &thing{value: value, holders: holders, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		run(ctx)
	}()
	e.things[key] = t
	if !slices.Contains(l.keys, key) {
		l.keys = append(l.keys, key)
	}
	return value, nil
}

// ended is whether t's run returned, which nobody told it to while t is in the table.
func (t *thing) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Release gives back everything l holds and waits until what nobody else holds has stopped: what was taken last stops first,
// and the next only when that has, since it may have been built on it. Releasing twice is harmless.
func (l *Lease) Release() {
	l.engine.mu.Lock()
	stopped := l.engine.release(l)
	l.engine.mu.Unlock()
	stop(stopped)
}

// Sweep releases every lease of a generation that is not live: those of a configuration that CoreDNS discarded. It tells the
// plugins of that one nothing, so somebody else has to clean up.
func (e *Engine) Sweep(live func(Generation) bool) {
	e.mu.Lock()
	var stopped []*thing
	for l := range e.leases {
		if !live(l.generation) {
			stopped = append(stopped, e.release(l)...)
		}
	}
	maps.DeleteFunc(e.lore, func(g Generation, _ *lore) bool { return !live(g) })
	maps.DeleteFunc(e.expected, func(g Generation, _ map[string][]string) bool { return !live(g) })
	e.mu.Unlock()
	stop(stopped)
}

// release takes l off the table and returns what it was the last to hold, in the order in which to stop it.
func (e *Engine) release(l *Lease) []*thing {
	if _, ok := e.leases[l]; !ok {
		return nil
	}
	delete(e.leases, l)
	e.later = slices.DeleteFunc(e.later, func(f later) bool { return f.lease == l })
	var stopped []*thing
	for _, key := range slices.Backward(l.keys) {
		t := e.things[key]
		if t.holders--; t.holders == 0 {
			delete(e.things, key)
			stopped = append(stopped, t)
		}
	}
	return stopped
}

// Halt stops the things of these keys, if they run, before those who hold them give them back: at the end of the process, those
// that tell of others first. Whoever holds one anew gets another.
func (e *Engine) Halt(keys ...string) {
	var halted []*thing
	e.mu.Lock()
	for _, key := range keys {
		if t := e.things[key]; t != nil {
			halted = append(halted, t)
		}
	}
	e.mu.Unlock()
	stop(halted)
}

func stop(things []*thing) {
	for _, t := range things {
		t.cancel()
		<-t.done
	}
}

// Each returns everything of type T that runs, in the order of the keys.
func Each[T any](e *Engine) []T {
	e.mu.Lock()
	defer e.mu.Unlock()
	return each[T](e)
}

func each[T any](e *Engine) []T {
	keys := make([]string, 0, len(e.things))
	for key := range e.things {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var all []T
	for _, key := range keys {
		if value, ok := e.things[key].value.(T); ok {
			all = append(all, value)
		}
	}
	return all
}
