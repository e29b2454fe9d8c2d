package kmsresponder

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Fleet is a number of clients that make their attempts in rounds, for drills
// and demonstrations that cannot wait for two hours.
type Fleet struct {
	Clients []*RehearsalClient

	// Parallel is how many clients ask at once, 1 if less: one after the other
	// shows a host's count climb.
	Parallel int
}

// NewFleet returns n clients like the one given, but each a machine of its own:
// its name has a number, and so its own CMID. The same names have the same CMIDs
// the next time, so that hosts know them again.
func NewFleet(n int, like RehearsalClient) *Fleet {
	f := &Fleet{}
	for i := range n {
		c := like
		c.Name = fmt.Sprintf("%s-%04d", like.Name, i+1)
		c.CMID = [16]byte{}
		if like.Rand != nil {
			c.Rand = rand.New(rand.NewPCG(like.Rand.Uint64(), like.Rand.Uint64()))
		}
		f.Clients = append(f.Clients, &c)
	}
	return f
}

// Round is how one attempt of each client of a fleet went.
type Round struct {
	Attempts  []Attempt      // by client; zero for those that were not made
	Activated int            // clients that were activated in this round
	Count     uint32         // the highest that a host answered
	Hosts     map[string]int // answers, by the host that gave them
	Took      time.Duration
}

// Round has every client make one attempt, and returns when all have, or soon
// after ctx is done. report, if not nil, is called after each attempt with the
// number of the client, never twice at once.
func (f *Fleet) Round(ctx context.Context, report func(client int, a Attempt)) Round {
	r := Round{Attempts: make([]Attempt, len(f.Clients)), Hosts: make(map[string]int)}
	began := time.Now()
	var (
		mu   sync.Mutex // guards r, next, and the calls of report
		next int
		wg   sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= len(f.Clients)
	}
	for range min(max(f.Parallel, 1), len(f.Clients)) {
		wg.Go(func() {
			for i, ok := take(); ok && ctx.Err() == nil; i, ok = take() {
				a := f.Clients[i].Activate(ctx)
				if ctx.Err() != nil && !a.Activated() {
					return // nobody's fault
				}
				mu.Lock()
				r.add(i, a)
				if report != nil {
					report(i, a)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.Took = time.Since(began)
	return r
}

// add takes the attempt of one client into the sums.
func (r *Round) add(client int, a Attempt) {
	r.Attempts[client] = a
	r.Count = max(r.Count, a.Count)
	if a.Activated() {
		r.Activated++
	}
	if a.Host != "" {
		r.Hosts[a.Host]++
	}
}
