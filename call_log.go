package kms

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

const (
	// callLines is how many calls may wait for their line in the log. Where nobody reads the log, more are not logged: clients
	// are not to wait for a pipe.
	callLines = 4096

	// callPause is how long calls gather before they are logged, so that not each has to wake somebody.
	callPause = 10 * time.Millisecond

	// turnedPause is how long clients that are turned away gather before it is logged, in a line for each pool and limit and at
	// most turnedLines: whoever is turned away may come as often as they like.
	turnedPause = time.Minute
	turnedLines = 16
)

// callLog writes a line for each call of every responder of the process.
type callLog struct {
	calls  chan loggedCall
	missed atomic.Uint64 // calls that found no room

	mu     sync.Mutex        // guards what follows
	turned []history.Turning // since the last line about them, of each pool and limit; at most turnedLines
}

type loggedCall struct {
	pool   string
	record kmsresponder.CallRecord
}

func newCallLog() *callLog { return &callLog{calls: make(chan loggedCall, callLines)} }

// holdCallLog is the log of calls of the process. Hold it before the responders that write into it.
func (l *life) holdCallLog() (*callLog, error) {
	return engine.Hold(l.lease, "call log", func() (*callLog, func(context.Context), error) {
		c := newCallLog()
		return c, c.run, nil
	})
}

// add takes a call without waiting.
func (c *callLog) add(pool string, r kmsresponder.CallRecord) {
	select {
	case c.calls <- loggedCall{pool, r}:
	default:
		c.missed.Add(1)
	}
}

// run logs what is added until ctx is done, and what was added before that.
func (c *callLog) run(ctx context.Context) {
	pause := time.NewTimer(callPause)
	defer pause.Stop()
	turned := time.NewTicker(turnedPause)
	defer turned.Stop()
	defer c.tellTurned()
	for {
		select {
		case call := <-c.calls:
			call.log()
			c.empty()
			pause.Reset(callPause)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		case <-turned.C:
			c.tellTurned()
		case <-ctx.Done():
			c.empty()
			return
		}
	}
}

// empty logs all that waits.
func (c *callLog) empty() {
	for len(c.calls) > 0 {
		(<-c.calls).log()
	}
	if n := c.missed.Swap(0); n > 0 {
		log.Warningf("%d calls are not in the log: it was not written fast enough", n)
	}
}

// turnAway takes a client that was turned away, without waiting.
func (c *callLog) turnAway(t history.Turned) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.turned, func(o history.Turning) bool { return o.Pool == t.Pool && o.Limit == t.Limit })
	if i < 0 {
		if len(c.turned) == turnedLines {
			return
		}
		i = len(c.turned)
		c.turned = append(c.turned, history.Turning{})
	}
	c.turned[i].Turned = t
	c.turned[i].Count++
}

// tellTurned logs who was turned away since the last time.
func (c *callLog) tellTurned() {
	c.mu.Lock()
	turned := c.turned
	c.turned = nil
	c.mu.Unlock()
	for _, t := range turned {
		log.Warningf("pool %s: clients were turned away %d times in the last minute, the last one from %s: %s", t.Pool, t.Count, t.From, t.Limit)
	}
}

// log writes the line of c, and enters c into what is remembered.
func (c loggedCall) log() {
	c.remember()
	line := append(make([]byte, 0, 512), "pool "...)
	line = append(append(line, c.pool...), ": call: "...)
	if line = c.record.Append(line); c.record.Result == kmsresponder.ForwardedOK {
		log.Info(string(line))
	} else {
		log.Warning(string(line))
	}
}

// remember enters c into what people may ask about its client and its hosts.
func (c loggedCall) remember() {
	r, end := c.record, c.record.At.Add(c.record.Took)
	call := history.Call{At: r.At, Pool: c.pool, Client: ledger.ByAddress(r.From), From: r.From, Version: r.Version.String(),
		Result: r.Result.String(), Host: r.Host, HRESULT: uint32(r.HRESULT), Took: r.Took}
	if q := r.Request; q != nil {
		call.Machine, call.Required, call.Count, call.LicenseStatus = q.MachineName, q.Required, r.Count, q.LicenseStatus
		if q.CMID != (kmswire.GUID{}) {
			call.Client = ledger.ByCMID(q.CMID)
		}
	}
	switch r.Result {
	case kmsresponder.ForwardedOK:
		past.hosts.Served(c.pool, r.Host, r.Count, end)
	case kmsresponder.ForwardedError:
		past.hosts.Failed(c.pool, r.Host, r.HRESULT.Code(), end)
	}
	for _, a := range r.Asks {
		asked := history.Asked{Host: a.Host, Outcome: a.Outcome.String(), Took: a.Took}
		switch {
		case a.Err != nil:
			asked.Err = a.Err.Error()
		case a.HRESULT != kmswire.OK:
			asked.Err = a.HRESULT.String()
		}
		call.Asked = append(call.Asked, asked)
		switch a.Outcome {
		case kmsresponder.Answered, kmsresponder.Errored: // counted above, by its HRESULT
		case kmsresponder.Declined:
			past.hosts.Failed(c.pool, a.Host, a.HRESULT.Code(), end)
		default:
			past.hosts.Failed(c.pool, a.Host, a.Outcome.String(), end)
		}
	}
	past.clients.Call(call)
}

// callObserver counts what the gateway in front of a pool does, and has each call logged.
type callObserver struct {
	*kmsresponder.Metrics
	pool   string
	limits []string // by kmsresponder.Refusal, what turned a client away: made once, since whoever is may come as often as they like
	log    *callLog
}

// limitsOf is what of r turns clients away, by kmsresponder.Refusal.
func limitsOf(r config.Responder) (all []string) {
	for _, why := range kmsresponder.Refusals() {
		all = append(all, r.Limit(why.String()))
	}
	return all
}

// Called implements kmsresponder.Observer.
func (o callObserver) Called(r kmsresponder.CallRecord) {
	o.Metrics.Called(r)
	o.log.add(o.pool, r)
}

// Refused implements kmsresponder.Observer.
func (o callObserver) Refused(why kmsresponder.Refusal, from netip.Addr) {
	o.Metrics.Refused(why, from)
	t := history.Turned{At: time.Now(), Pool: o.pool, From: from, Reason: why.String(), Limit: o.limits[why]}
	past.clients.TurnAway(t)
	o.log.turnAway(t)
	log.Debugf("pool %s: %s refused: %s", o.pool, from, why)
}
