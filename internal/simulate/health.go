package simulate

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// answer is what DNS says from a moment on.
type answer struct {
	from     time.Time
	snapshot *pool.Snapshot
	records  []kmsresponder.SRV
}

// watch keeps a pool up to date: its probes, and what people do to it.
type watch struct {
	*pool.Pool
	world   *world
	next    time.Time // of the next Step
	edges   []time.Duration
	calm    time.Time             // from when on nothing is to be expected until the next edge
	jobs    []job                 // probes under way, in the order of their ends
	chores  []chore               // drains to come, in order
	asking  *job                  // whose Probe is called
	restful bool                  // do without probes that find nothing new
	changed func(pool.Transition) // told of every change, if not nil
	rnd     *rand.Rand
}

// job is a probe under way.
type job struct {
	pool.Job
	began, ends time.Time
	found       ailment
}

// chore is a host to be drained or put back.
type chore struct {
	at       time.Time
	endpoint string
	drain    bool
}

// begin is what Step begins a probe with.
func (p *watch) begin(j pool.Job) {
	now := p.world.now
	found := p.world.byEndpoint[j.Host].state(now.Sub(start))
	if found == hung && p.world.Probe.Kind == config.ProbeTCP {
		found = well
	}
	takes := roundTrip
	if found == off || found == hung {
		takes = p.world.Probe.Timeout
	}
	i := len(p.jobs)
	for i > 0 && p.jobs[i-1].ends.After(now.Add(takes)) {
		i--
	}
	p.jobs = append(p.jobs, job{})
	copy(p.jobs[i+1:], p.jobs[i:])
	p.jobs[i] = job{Job: j, began: now, ends: now.Add(takes), found: found}
}

var errProbe = errors.New("simulated")

// probe is the Probe of the pool. It is called when the probe ends.
func (p *watch) probe(context.Context, []netip.Addr, uint16) probe.Result {
	r := probe.Result{Stage: probe.Bind, Start: p.asking.began, RTT: p.asking.ends.Sub(p.asking.began)}
	switch p.asking.found {
	case refusing:
		r.Outcome, r.Stage, r.Err = probe.Refused, probe.Connect, errProbe
	case off:
		r.Outcome, r.Stage, r.Err = probe.Timeout, probe.Connect, errProbe
	case hung:
		r.Outcome, r.Err = probe.Timeout, errProbe
	}
	return r
}

// due is when the pool wants something next.
func (p *watch) due() time.Time {
	at := p.next
	if len(p.jobs) > 0 && p.jobs[0].ends.Before(at) {
		at = p.jobs[0].ends
	}
	if len(p.chores) > 0 && p.chores[0].at.Before(at) {
		at = p.chores[0].at
	}
	return at
}

// act does what is due now.
func (p *watch) act() {
	now := p.world.now
	for len(p.chores) > 0 && !p.chores[0].at.After(now) {
		c := p.chores[0]
		p.chores = p.chores[1:]
		if c.drain {
			p.Drain(c.endpoint, pool.Drainage{By: "simulation", Why: "service"})
		} else {
			p.Undrain(c.endpoint)
		}
	}
	for len(p.jobs) > 0 && !p.jobs[0].ends.After(now) {
		j := p.jobs[0]
		p.jobs = p.jobs[1:]
		p.asking = &j
		j.Run()
	}
	p.look()
}

// look steps the pool if it is time, and takes note of a new answer.
func (p *watch) look() {
	now := p.world.now
	if p.Roused() || !p.next.After(now) {
		p.next = now.Add(p.Step(context.Background(), p.begin))
		p.rest()
	}
	p.publish()
}

// publish makes what the pool answers what clients find.
func (p *watch) publish() {
	w, s := p.world, p.Answer()
	last := len(w.answers) - 1
	if last >= 0 && w.answers[last].snapshot == s {
		return
	}
	// Answers that were replaced more than a TTL ago are in no cache.
	for len(w.answers) > 1 && w.now.Sub(w.answers[1].from) > w.TTL {
		w.answers = w.answers[1:]
	}
	a := answer{from: w.now, snapshot: s}
	for _, r := range s.Records {
		a.records = append(a.records, kmsresponder.SRV{Target: r.Name, Port: r.Port, Priority: r.Priority, Weight: r.Weight})
	}
	w.answers = append(w.answers, a)
}

// How many intervals of probes are simulated around an edge: after one, until whatever it did to the pool is over and
// forgotten; before one, long enough for probes of each host to be anywhere in their interval.
const (
	settleIntervals = 40
	lookoutInterval = 4
)

// rest puts off the next probes while they would find what the last ones did: all hosts are up or drained, and nothing
// happens to any until the next edge. In half a year of six hosts nearly all probes are such.
func (p *watch) rest() {
	interval := p.world.Probe.Interval
	since := p.world.now.Sub(start)
	for len(p.edges) > 0 && p.edges[0] <= since {
		p.edges = p.edges[1:]
		p.calm = p.world.now.Add(settleIntervals * interval)
	}
	if !p.restful || !p.world.now.After(p.calm) || !p.quiet() {
		return
	}
	wake := start.Add(p.world.length())
	if len(p.edges) > 0 {
		lookout := time.Duration((lookoutInterval + p.rnd.Float64()) * float64(interval))
		wake = start.Add(p.edges[0] - lookout)
	}
	if wake.After(p.next) {
		p.next = wake
	}
}

func (p *watch) quiet() bool {
	if s := p.Snapshot(); s.Condition != pool.Calm || !s.Checked {
		return false
	}
	for _, h := range p.Hosts() {
		if h.State != pool.Up && h.State != pool.Drained {
			return false
		}
	}
	return true
}

// Changed hears of a change of health.
func (p *watch) Changed(t pool.Transition) {
	p.world.result.Changes++
	if p.changed != nil {
		p.changed(t)
	}
}

// The rest of the pool's Observer, and its look-ups, of which there are none.
func (p *watch) Probed(string, probe.Result)                           {}
func (p *watch) Resolved(string, error)                                {}
func (p *watch) Settled(_, _ pool.Condition, _ time.Duration)          {}
func (p *watch) resolve(context.Context, string) ([]netip.Addr, error) { return nil, errProbe }
