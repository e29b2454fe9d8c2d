package pool

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Transition is one host's change of state.
type Transition struct {
	Host     string // the endpoint
	From, To State
	After    time.Duration // spent in From
	Reason   error         // the last failure, nil if the last probe passed
}

// Observer hears what happens in a pool. Calls come one at a time, in the order things happened, with the pool's lock held:
// an Observer must be quick and must not call the pool.
type Observer interface {
	Probed(endpoint string, r probe.Result)
	Changed(t Transition)
	// Resolved is called when the name of a host without given addresses begins to fail to resolve (err is not nil), and
	// when it resolves again.
	Resolved(endpoint string, err error)
	// Settled is called when the pool's condition changes, and once a minute while it is AllDown or SelfSuspected; after is
	// how long it has been in condition c.
	Settled(from, c Condition, after time.Duration)
}

// Means are the ways of a pool to the world. All fields but Gone, Now and Rand must be set.
type Means struct {
	Probe    func(ctx context.Context, addresses []netip.Addr, port uint16) probe.Result
	Resolve  func(ctx context.Context, name string) ([]netip.Addr, error)
	Observer Observer
	Jitter   func() float64 // from -1 to 1; where in its tolerance the next pause lies

	// Gone, if set, hears of each announced host that is dismissed, as the Observer would: nothing more comes of it, and who
	// keeps a row for each host may drop it. Announced hosts come and go without end.
	Gone func(endpoint string)

	Now  func() time.Time // time.Now if nil
	Rand *rand.Rand       // for orderings, a random one if nil; the pool's alone
}

// Pool is the hosts of one kms block, or of several that say the same. New makes it, Run keeps it current, Snapshot is what
// to answer. All methods may be called by any number of goroutines at once.
type Pool struct {
	probing config.Probe
	means   Means
	wake    chan struct{} // one token: the schedule changed

	snapshot atomic.Pointer[Snapshot] // of the hosts
	answer   atomic.Pointer[Snapshot] // of the hosts and the node; the same one without a node
	watch    watch                    // for those who wait for another answer

	mu        sync.Mutex // guards what follows, and the order of snapshots
	hosts     []*host    // those of the Corefile in its order, then the announced by endpoint
	node      *Record    // this machine, which serves for the hosts; nil if it does not
	suspicion suspicion
	settled   time.Time // when the condition last changed
	reminded  time.Time // when Settled was last called
	answered  time.Time // when a probe last ended, or the look-up without which there is none

	// remembered is, by endpoint, what is kept for hosts that are not here but may be announced: drains without limit of
	// time, and what a predecessor knew.
	remembered map[string]Memory
}

// New returns a pool of hosts, perhaps none, that nothing has asked yet, but for what is remembered of them by endpoint. What
// is remembered of others is kept for Enlist. It starts nothing: call Run.
func New(hosts []config.Host, p config.Probe, means Means, remembered map[string]Memory) *Pool {
	if means.Now == nil {
		means.Now = time.Now
	}
	if means.Rand == nil {
		means.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	now := means.Now()
	pool := &Pool{probing: p, means: means, wake: make(chan struct{}, 1), settled: now, answered: now}
	if len(hosts) == 0 {
		pool.reminded = now // nobody is down: nobody was announced yet
	}
	for _, c := range hosts {
		h := &host{Host: c, addresses: c.Addresses, since: now}
		var before Live
		if m, ok := remembered[c.Endpoint()]; ok && h.recall(m, p.Kind, now) {
			before = m.Live
		}
		if len(c.Addresses) == 0 {
			h.lookupDue = now
		}
		pool.schedule(h, before, now)
		pool.hosts = append(pool.hosts, h)
	}
	pool.keep(remembered, now)
	pool.publish(now)
	return pool
}

// keep remembers what may be of use to hosts that are announced later: drains first, and then what is fresh.
func (p *Pool) keep(remembered map[string]Memory, now time.Time) {
	p.remembered = make(map[string]Memory)
	for _, drained := range []bool{true, false} {
		for endpoint, m := range remembered {
			useful := m.Drained() || m.fresh(p.probing.Kind, now)
			if useful && m.Drained() == drained && len(p.remembered) < maxRemembered && p.find(endpoint) == nil {
				p.remembered[endpoint] = m.passedOn()
			}
		}
	}
}

// schedule sets the first probe of h, a new host. One that a predecessor was about to ask waits no longer than it would have had
// to there, and one that it was asking, which it broke off, is asked at once: else a reload would be time won for the dead.
func (p *Pool) schedule(h *host, before Live, now time.Time) {
	if len(h.addresses) == 0 {
		return // the look-up decides
	}
	h.due = now.Add(time.Duration((p.means.Jitter() + 1) / 2 * float64(spread)))
	next := before.Due
	if next.IsZero() && !h.last.Start.IsZero() { // it is from the store
		next = h.last.Start.Add(pause(h.health, p.probing, false))
	}
	switch {
	case next.IsZero():
	case next.Before(now):
		h.due = now
	default:
		h.due = earlier(h.due, next)
	}
}

// Probing is how the hosts are asked.
func (p *Pool) Probing() config.Probe { return p.probing }

// Snapshot is the hosts as they are to be tried now. It takes no lock.
func (p *Pool) Snapshot() *Snapshot { return p.snapshot.Load() }

// Answer is what clients are to be told: Snapshot and, if it is advertised, this node among the hosts. It takes no lock.
func (p *Pool) Answer() *Snapshot { return p.answer.Load() }

// Advertise puts this node, which serves clients for the hosts of the pool, into Answer for as long as a host is alive.
func (p *Pool) Advertise(node Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = &node
	p.publish(p.means.Now())
}

// Withdraw takes this node out of Answer: it is about to serve nobody.
func (p *Pool) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = nil
	p.publish(p.means.Now())
}

// Hosts is what is known of each host, in the order of the Corefile, and then of the announced by endpoint.
func (p *Pool) Hosts() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, len(p.hosts))
	for i, h := range p.hosts {
		all[i] = h.status()
	}
	return all
}

// Age is the time since any probe of the pool last ended, or the look-up of a name without which there is none: what a stuck
// pool is known by. It is 0 while there is no host.
func (p *Pool) Age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.hosts) == 0 {
		return 0
	}
	return p.means.Now().Sub(p.answered)
}

// Stalled is whether the pool is stuck: nothing ended for five of the longest pauses that it makes. That is room for probes
// which wait for a place while very many hosts hang.
func (p *Pool) Stalled() bool { return p.Age() > 5*max(p.probing.Interval, slowest) }

// Remember is what the pool knows, for a successor's New: of its hosts, and what it keeps for hosts that are not here.
func (p *Pool) Remember() map[string]Memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, all := p.means.Now(), maps.Clone(p.remembered)
	for _, h := range p.hosts {
		all[h.Endpoint()] = p.memory(h, now)
	}
	return all
}

// Recall is what Remember has of endpoint, if anything.
func (p *Pool) Recall(endpoint string) (Memory, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.find(endpoint); h != nil {
		return p.memory(h, p.means.Now()), true
	}
	m, ok := p.remembered[endpoint]
	return m, ok
}

// Served tells the pool that endpoint just served real traffic: it is a pass, and a down host is asked again soon. Unknown
// endpoints are ignored: the pool may have been replaced since the call began. So are claimed ones: only probes prove a
// claim, and a call that began before it was made is none of its.
func (p *Pool) Served(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.find(endpoint); h != nil && h.health.believed != Up && h.health.believed != Claimed {
		now := p.means.Now()
		h.reason = nil
		p.apply(h, Pass, now, now)
		p.hasten(h, now)
	}
}

// Failed tells the pool that endpoint failed real traffic: that blames nobody yet, but the host is asked at once, though not
// sooner after the last time than a suspect would be.
func (p *Pool) Failed(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.find(endpoint); h != nil && h.health.believed == Up {
		p.hasten(h, p.means.Now())
	}
}

func (p *Pool) find(endpoint string) *host {
	i := slices.IndexFunc(p.hosts, func(h *host) bool { return h.Endpoint() == endpoint })
	if i < 0 {
		return nil
	}
	return p.hosts[i]
}

// apply lets e happen to h and publishes what follows from it.
func (p *Pool) apply(h *host, e Event, at, now time.Time) {
	t, changed := h.take(e, Thresholds{Rise: p.probing.Rise, Fall: p.probing.Fall}, at, now)
	if changed {
		p.means.Observer.Changed(t)
	}
	p.publish(now)
}

// publish builds the snapshots of this moment and replaces those of which somebody would see a difference.
func (p *Pool) publish(now time.Time) {
	suspected := p.suspicion.active()
	p.suspicion = p.suspicion.next(now, p.streaks(), p.window())
	if suspected && !p.suspicion.active() && !p.suspicion.spent {
		p.reconsider(now)
	}
	members, last, answered := p.members(), p.snapshot.Load(), p.answer.Load()
	p.replace(&p.snapshot, members, now)
	next := p.snapshot.Load()
	if p.node == nil || !slices.ContainsFunc(members, member.alive) {
		p.answer.Store(next)
	} else {
		// The node is up as long as we are, and of use as long as a host is.
		p.replace(&p.answer, append(members, member{record: *p.node, state: Up, held: next.Condition == SelfSuspected}), now)
	}
	if p.answer.Load() != answered {
		p.watch.tell()
	}
	if last != nil && last.Condition != next.Condition {
		p.means.Observer.Settled(last.Condition, next.Condition, now.Sub(p.settled))
		p.settled, p.reminded = now, now
	}
}

// reconsider has every host that fails asked at once, and the pauses begin anew: suspicion of this machine is over, and what failed
// during it, asked without backing off, says little about how long each may be left alone now.
func (p *Pool) reconsider(now time.Time) {
	for _, h := range p.hosts {
		if h.health.believed != Up && h.health.fails > 0 {
			h.health = h.health.anew()
			p.hasten(h, now)
		}
	}
}

// replace stores a snapshot of members in to, if it differs from the one there.
func (p *Pool) replace(to *atomic.Pointer[Snapshot], members []member, now time.Time) {
	next := &Snapshot{Built: now, Serial: 1, Checked: true}
	for _, h := range p.hosts {
		next.Checked = next.Checked && h.waited()
		if !h.health.drained && h.health.believed != Claimed {
			next.Standing++
		}
	}
	next.Records, next.Condition = answer(members)
	if last := to.Load(); last != nil {
		if next.sameAnswer(last) {
			return
		}
		next.Serial = last.Serial + 1
	}
	next.orders = orderings(next.Records, p.means.Rand)
	to.Store(next)
}

// window is how far apart hosts that fail for one reason are noticed: one interval, jitter included.
func (p *Pool) window() time.Duration { return jittered(p.probing.Interval, 1) }

// streaks is the hosts that are not drained and of which anything is known, as suspicion sees them.
func (p *Pool) streaks() []streak {
	var all []streak
	for _, h := range p.hosts {
		if !h.health.drained && !h.lost() && h.health.believed != Claimed {
			all = append(all, h.streak())
		}
	}
	return all
}

func (h *host) streak() streak {
	failing := h.health.believed == Suspect || h.health.believed == Down
	// One that is down and passed is on its way back: what it says ends nothing before it is.
	spoke := failing && h.last.Outcome != probe.Passed && h.last.Outcome.Spoke()
	return streak{failing: failing, began: h.began, suspected: h.suspected, spoke: spoke}
}

func (p *Pool) members() []member {
	last := lastFailure(p.streaks())
	all := make([]member, len(p.hosts))
	for i, h := range p.hosts {
		all[i] = member{
			record: Record{Endpoint: h.Endpoint(), Name: h.Name, Port: h.Port, Priority: h.Priority, Weight: h.Weight,
				Addresses: h.addresses},
			state: h.health.State(),
			lost:  h.lost(),
			held:  p.suspicion.active() && !h.health.drained && h.streak().inBurst(last, p.window()),
		}
	}
	return all
}
