package pool

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Run asks the hosts by their schedule until ctx is done, and returns when the last probe and look-up under way have ended.
// A pool is run once. Snapshot and the rest go on answering from what was last known.
func (p *Pool) Run(ctx context.Context) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		timer.Reset(p.Step(ctx, func(j Job) { jobs.Go(j.Run) }))
	}
}

// Job is a probe or look-up to be made.
type Job struct {
	Host string // the endpoint
	Run  func() // returns when the pool knows the result
}

// Step hands every probe and look-up that is due to begin, and returns how long until the next thing to do, if the schedule
// does not change before. It is what Run is made of, for those who have a time of their own. begin is called with the pool's
// lock held: it has to see to it that the job is run after it has returned.
func (p *Pool) Step(ctx context.Context, begin func(Job)) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.means.Now()
	next := p.remind(now)
	for _, h := range p.hosts {
		if !h.resolving && !h.lookupDue.IsZero() {
			if !h.lookupDue.After(now) {
				h.resolving = true
				begin(Job{h.Endpoint(), func() { h.during(ctx, func(ctx context.Context) { p.resolve(ctx, h) }) }})
			} else {
				next = earlier(next, h.lookupDue)
			}
		}
		if !h.probing && !h.due.IsZero() {
			if !h.due.After(now) {
				h.probing, h.started = true, now
				addresses := h.addresses
				begin(Job{h.Endpoint(), func() { h.during(ctx, func(ctx context.Context) { p.probe(ctx, h, addresses) }) }})
			} else {
				next = earlier(next, h.due)
			}
		}
	}
	return next.Sub(now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// remind repeats a condition that needs somebody once a minute, lets suspicion run out, and says when to come back for it.
func (p *Pool) remind(now time.Time) time.Time {
	p.publish(now)
	c := p.snapshot.Load().Condition
	if c != AllDown && c != SelfSuspected {
		return now.Add(time.Minute)
	}
	if now.Sub(p.reminded) >= time.Minute {
		p.reminded = now
		p.means.Observer.Settled(c, c, now.Sub(p.settled))
	}
	return p.reminded.Add(time.Minute)
}

// probe asks h and applies the answer.
func (p *Pool) probe(ctx context.Context, h *host, addresses []netip.Addr) {
	r := p.means.Probe(ctx, addresses, h.Port)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.rouse()
	h.probing = false
	if h.gone() || ctx.Err() != nil && r.Outcome == probe.Local {
		return // told to stop: that is nobody's result
	}
	now := p.means.Now()
	h.last, h.asked, p.answered = r, true, now
	p.means.Observer.Probed(h.Endpoint(), r)
	switch {
	case !r.Outcome.Verdict():
		p.publish(now)
	case r.Outcome == probe.Passed:
		h.reason = nil
		p.apply(h, Pass, r.Start, now)
	default:
		h.reason = r.Err
		p.apply(h, Fail, r.Start, now)
		if h.health.fails == 1 && !h.lookupDue.IsZero() {
			h.lookupDue = now // it may have moved
		}
	}
	pace := pause(h.health, p.probing, p.suspicion.active())
	switch {
	case h.again:
		h.again, pace = false, min(pace, fastest)
	case !r.Outcome.Verdict():
		pace = p.probing.Interval // asking faster teaches nothing
	}
	// From start to start; a probe that took longer than that is followed at once, never overlapped.
	h.due = h.started.Add(jittered(pace, p.means.Jitter()))
}

// resolve looks h's name up. A failure takes nothing away: the last known addresses stay, and if there are none yet, the
// host stays unchecked.
func (p *Pool) resolve(ctx context.Context, h *host) {
	within, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	started := p.means.Now()
	found, err := p.means.Resolve(within, h.Name)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.rouse()
	h.resolving = false
	if h.gone() || ctx.Err() != nil || h.lookupDue.IsZero() {
		return // nobody asks any more: it left, we are told to stop, or its addresses were given meanwhile
	}
	now := p.means.Now()
	h.lookupDue = started.Add(jittered(reresolve, p.means.Jitter()))
	if (err == nil) != (h.unresolved == nil) {
		p.means.Observer.Resolved(h.Endpoint(), err)
	}
	h.unresolved = err
	if err != nil {
		if len(h.addresses) > 0 {
			return
		}
		h.asked, h.lookupDue = true, now.Add(min(fastest<<min(h.lookups, 8), reresolve))
		h.lookups++
		h.last = probe.Result{Outcome: probe.Unresolved, Stage: probe.Resolve, Err: err, Start: started, RTT: now.Sub(started)}
		p.answered = now
		p.means.Observer.Probed(h.Endpoint(), h.last)
		p.publish(now)
		return
	}
	h.hinted = false
	if slices.Equal(found, h.addresses) {
		return
	}
	h.addresses = found
	p.publish(now)
	p.hasten(h, now) // what was found under the old addresses says little about the new
}

// hasten brings h's next probe forward to now, but not closer to the last than a suspect's would be.
func (p *Pool) hasten(h *host, now time.Time) {
	soon := now
	h.again = h.probing // the answer on its way may be older than the reason to ask
	if !h.started.IsZero() && h.started.Add(fastest).After(now) {
		soon = h.started.Add(fastest)
	}
	if h.due.IsZero() || soon.Before(h.due) {
		h.due = soon
	}
	p.rouse()
}

// Roused is whether the schedule changed since it was last asked: then it is time for another Step. It is for whoever steps
// the pool himself.
func (p *Pool) Roused() bool {
	select {
	case <-p.wake:
		return true
	default:
		return false
	}
}

// rouse makes Run look at the schedule again.
func (p *Pool) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
