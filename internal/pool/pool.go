package pool

import (
	"context"
	"fmt"
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

// Means are the ways of a pool to the world. All fields must be set.
type Means struct {
	Probe    func(ctx context.Context, addresses []netip.Addr, port uint16) probe.Result
	Resolve  func(ctx context.Context, name string) ([]netip.Addr, error)
	Observer Observer
	Jitter   func() float64 // from -1 to 1; where in its tolerance the next pause lies
}

// Pool is the hosts of one kms block, or of several that say the same. New makes it, Run keeps it current, Snapshot is what
// to answer. All methods may be called by any number of goroutines at once.
type Pool struct {
	probing config.Probe
	means   Means
	wake    chan struct{} // one token: the schedule changed

	snapshot atomic.Pointer[Snapshot] // of the hosts
	answer   atomic.Pointer[Snapshot] // of the hosts and the node; the same one without a node

	mu        sync.Mutex // guards what follows, and the order of snapshots
	hosts     []*host
	node      *Record // this machine, which serves for the hosts; nil if it does not
	suspicion suspicion
	settled   time.Time // when the condition last changed
	reminded  time.Time // when Settled was last called
	answered  time.Time // when a probe last ended
	rnd       *rand.Rand
}

// New returns a pool of hosts that nothing has asked yet, but for what is remembered of them by endpoint. It starts
// nothing: call Run.
func New(hosts []config.Host, p config.Probe, means Means, remembered map[string]Memory) *Pool {
	now := time.Now()
	pool := &Pool{probing: p, means: means, wake: make(chan struct{}, 1), settled: now, answered: now,
		rnd: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	for _, c := range hosts {
		h := &host{Host: c, addresses: c.Addresses, since: now}
		if m, ok := remembered[c.Endpoint()]; ok {
			h.recall(m, p.Kind, now)
		}
		h.due = now.Add(time.Duration((means.Jitter() + 1) / 2 * float64(spread)))
		if len(c.Addresses) == 0 {
			h.lookupDue = now
			if len(h.addresses) == 0 {
				h.due = time.Time{} // the look-up decides
			}
		}
		pool.hosts = append(pool.hosts, h)
	}
	pool.publish(now)
	return pool
}

// Snapshot is the hosts as they are to be tried now. It takes no lock.
func (p *Pool) Snapshot() *Snapshot { return p.snapshot.Load() }

// Answer is what clients are to be told: Snapshot and, if it is advertised, this node among the hosts. It takes no lock.
func (p *Pool) Answer() *Snapshot { return p.answer.Load() }

// Advertise puts this node, which serves clients for the hosts of the pool, into Answer for as long as a host is alive.
func (p *Pool) Advertise(node Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = &node
	p.publish(time.Now())
}

// Withdraw takes this node out of Answer: it is about to serve nobody.
func (p *Pool) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = nil
	p.publish(time.Now())
}

// Hosts is what is known of each host, in the order of the Corefile.
func (p *Pool) Hosts() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, len(p.hosts))
	for i, h := range p.hosts {
		all[i] = h.status()
	}
	return all
}

// Age is the time since any probe of the pool last ended: what a stuck pool is known by.
func (p *Pool) Age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.answered)
}

// Remember is what the pool knows, for a successor's New.
func (p *Pool) Remember() map[string]Memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, all := time.Now(), make(map[string]Memory, len(p.hosts))
	for _, h := range p.hosts {
		all[h.Endpoint()] = h.memory(p.probing.Kind, now)
	}
	return all
}

// Drain takes the host called endpoint out of every answer until it is put back, whatever its health; when Drain returns,
// no later snapshot has it.
func (p *Pool) Drain(endpoint string) error { return p.tell(endpoint, Drain) }

// Undrain puts a drained host back. It was probed all the while, and counts for what it is.
func (p *Pool) Undrain(endpoint string) error { return p.tell(endpoint, Undrain) }

func (p *Pool) tell(endpoint string, e Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.find(endpoint)
	if h == nil {
		return fmt.Errorf("no host %q in this pool", endpoint)
	}
	now := time.Now()
	p.apply(h, e, now, now)
	return nil
}

// Served tells the pool that endpoint just served real traffic: it is a pass, and a down host is asked again soon. Unknown
// endpoints are ignored: the pool may have been replaced since the call began.
func (p *Pool) Served(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.find(endpoint); h != nil && h.health.believed != Up {
		now := time.Now()
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
		p.hasten(h, time.Now())
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
	p.suspicion = p.suspicion.next(now, p.streaks(), p.window())
	members, last := p.members(), p.snapshot.Load()
	p.replace(&p.snapshot, members, now)
	next := p.snapshot.Load()
	if p.node == nil || !slices.ContainsFunc(members, member.alive) {
		p.answer.Store(next)
	} else {
		// The node is up as long as we are, and of use as long as a host is.
		p.replace(&p.answer, append(members, member{record: *p.node, state: Up, held: next.Condition == SelfSuspected}), now)
	}
	if last != nil && last.Condition != next.Condition {
		p.means.Observer.Settled(last.Condition, next.Condition, now.Sub(p.settled))
		p.settled, p.reminded = now, now
	}
}

// replace stores a snapshot of members in to, if it differs from the one there.
func (p *Pool) replace(to *atomic.Pointer[Snapshot], members []member, now time.Time) {
	next := &Snapshot{Built: now, Serial: 1, Checked: true}
	for _, h := range p.hosts {
		next.Checked = next.Checked && h.asked
	}
	next.Records, next.Condition = answer(members)
	if last := to.Load(); last != nil {
		if next.sameAnswer(last) {
			return
		}
		next.Serial = last.Serial + 1
	}
	next.orders = orderings(next.Records, p.rnd)
	to.Store(next)
}

// window is how far apart hosts that fail for one reason are noticed: one interval, jitter included.
func (p *Pool) window() time.Duration { return jittered(p.probing.Interval, 1) }

// streaks is the hosts that are not drained and of which anything is known, as suspicion sees them.
func (p *Pool) streaks() []streak {
	var all []streak
	for _, h := range p.hosts {
		if !h.health.drained && !h.lost() {
			all = append(all, h.streak())
		}
	}
	return all
}

func (h *host) streak() streak {
	failing := h.health.believed == Suspect || h.health.believed == Down
	return streak{failing: failing, began: h.began, spoke: failing && h.last.Outcome.Spoke()}
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
