package simulate

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

const (
	samples = 180 // in the whole of a scenario

	// Where the responder is advertised, the hosts behind it stand behind it in DNS too.
	nodePriority, hostPriority = 0, 10

	nodeName = "kms.example.org."
)

// world is a scenario while it is lived through.
type world struct {
	Scenario
	ctx   context.Context
	now   time.Time     // when the attempt, or whatever else is going on, began
	spent time.Duration // by the attempt since then; nobody else's time goes on meanwhile
	haste *rand.Rand    // how early or late clients are
	cache *rand.Rand    // how old answers are

	report func(n uint32, a kmsresponder.Attempt) // of every attempt, if not nil

	clients []client
	queue   *queue
	player  kmsresponder.RehearsalClient // plays one client after the other

	hosts      []*host
	servers    []kmsresponder.SRV // the hosts and, behind them, the responder
	numbers    map[string]int     // of servers, by target
	byEndpoint map[string]*host
	pool       *watch
	answers    []answer // of DNS, that may be in a cache; the last is the latest

	gateway     *kmsresponder.Gateway // nil for way Direct
	caller      netip.Addr            // of the call under way
	request     kmswire.RequestV4     // in it
	message     []byte
	response    []byte
	copying     bool          // the responder is done with the call, and copies it
	spentOnCall time.Duration // until then

	delays    *delays
	activated float64 // client times, in samples
	installed float64
	waited    time.Duration
	result    Result
}

// Run lives through s. progress, if not nil, is told now and then how far it got. It returns early, with an error, only if s
// is not valid or ctx is done.
func Run(ctx context.Context, s Scenario, progress func(done time.Duration)) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	return newWorld(ctx, s).run(progress)
}

func (w *world) run(progress func(done time.Duration)) (Result, error) {
	for i := 1; i <= samples; i++ {
		until := w.length() * time.Duration(i) / samples
		w.live(start.Add(until))
		if err := w.ctx.Err(); err != nil {
			return Result{}, err
		}
		w.sample(until)
		if progress != nil {
			progress(until)
		}
	}
	return w.settle(), nil
}

func newWorld(ctx context.Context, s Scenario) *world {
	w := &world{Scenario: s, ctx: ctx, now: start, haste: s.stream(streamHaste), cache: s.stream(streamCaches),
		byEndpoint: make(map[string]*host), numbers: make(map[string]int), message: make([]byte, opaque),
		delays: newDelays(), result: Result{Scenario: s}}
	w.player = kmsresponder.RehearsalClient{Name: "SIMULATED", Suffixes: []string{"example.org"}, AnyOrder: s.Vista,
		Rand: s.stream(streamChoices), Discover: w.discover, Exchange: w.exchange, Now: w.at}
	w.settleHosts()
	w.settleClients()
	return w
}

// settleHosts makes the hosts, what watches them, and what stands in front of them.
func (w *world) settleHosts() {
	spans, services := w.troubles()
	var configured []config.Host
	for i := range w.Hosts {
		c := config.Host{Name: fmt.Sprintf("kms%d.example.org.", i+1), Port: cmp.Or(w.ports[i], config.DefaultPort),
			Priority: hostPriority, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}}
		configured = append(configured, c)
		h := &host{endpoint: c.Endpoint(), troubles: spans[i], result: HostResult{Name: fmt.Sprintf("kms%d", i+1)}}
		h.Name, h.ActivationInterval, h.RenewalInterval = h.result.Name, w.Activation, w.Renewal
		for _, s := range spans[i] {
			h.result.Bad += seconds(min(s.to, w.length()) - s.from)
		}
		w.hosts = append(w.hosts, h)
		w.byEndpoint[h.endpoint] = h
		w.known(c.Name)
	}
	w.known(nodeName)
	w.pool = &watch{world: w, rnd: w.stream(streamPool), edges: edges(spans, services), restful: true,
		calm: start.Add(settleIntervals * w.Probe.Interval)}
	w.pool.Pool = pool.New(configured, w.Probe, pool.Means{Probe: w.pool.probe, Resolve: w.pool.resolve, Observer: w.pool,
		Jitter: func() float64 { return 2*w.pool.rnd.Float64() - 1 },
		Now:    func() time.Time { return w.now }, Rand: w.stream(streamOrders)}, nil)
	for _, s := range services {
		w.pool.chores = append(w.pool.chores, chore{start.Add(s.from), w.hosts[s.host].endpoint, true},
			chore{start.Add(s.to), w.hosts[s.host].endpoint, false})
	}
	slices.SortStableFunc(w.pool.chores, func(a, b chore) int { return a.at.Compare(b.at) })
	if w.Way != Direct {
		w.settleGateway()
	}
	w.pool.look()
}

// known gives a number to a server that clients may find.
func (w *world) known(target string) {
	w.numbers[target] = len(w.servers)
	w.servers = append(w.servers, kmsresponder.SRV{Target: target, Port: config.DefaultPort})
}

func (w *world) settleGateway() {
	w.pool.Advertise(pool.Record{Endpoint: nodeName, Name: nodeName, Port: config.DefaultPort, Priority: nodePriority})
	w.result.Responder = new(NodeResult)
	c := kmsresponder.GatewayConfig{Pool: w.pool.Pool, Group: kmsresponder.ProductGroup, Ledger: ledger.New(0), Observer: w,
		World: &kmsresponder.World{Now: w.at, Draw: w.stream(streamDraws).Uint32, Exchange: w.forward,
			Sleep: func(d time.Duration) { w.spent += d }}}
	if w.Way == Spread {
		c.Policy = config.Spread
	}
	if w.Way == Warm {
		c.Warm = w.Copy
	}
	w.gateway = kmsresponder.NewGateway(c)
}

// settleClients installs the fleet.
func (w *world) settleClients() {
	w.clients = make([]client, w.Clients)
	w.queue = newQueue(w.clients, w.length())
	arrivals := w.stream(streamArrivals)
	for n := range w.clients {
		c := &w.clients[n]
		c.late = uint8(arrivals.IntN(officeParts))
		at := start.Add(time.Duration(arrivals.Float64() * float64(w.Grow)))
		w.enter(uint32(n), at)
	}
}

// enter has client n make its next attempt at t, or when it is switched on after that.
func (w *world) enter(n uint32, t time.Time) {
	if w.Office {
		if on := w.clients[n].on(t); on.After(t) {
			t = on.Add(time.Duration(w.haste.Float64() * float64(officeHaste)))
		}
	}
	w.queue.push(n, instantOf(t))
}

// at is the time that it is for the attempt under way.
func (w *world) at() time.Time { return w.now.Add(w.spent) }

// live has everything happen that is to happen before until.
func (w *world) live(until time.Time) {
	for n := 0; ; n++ {
		if n&0xffff == 0 && w.ctx.Err() != nil {
			return
		}
		turn := w.pool.due()
		if turn.After(until) {
			turn = until
		}
		due, ok := w.queue.peek(instantOf(turn))
		if at := due.time(); ok && at.Before(turn) {
			w.now = at
			w.attempt(w.queue.pop())
			continue
		}
		if !turn.Before(until) {
			return
		}
		w.now = turn
		w.pool.act()
	}
}

// attempt has client n make an attempt.
func (w *world) attempt(n uint32) {
	c := &w.clients[n]
	w.spent, w.caller, w.player.CMID, w.player.Learned = 0, address(n), cmid(n), c.learned(w.servers)
	a := w.player.Activate(w.ctx)
	w.result.Attempts++
	w.waited += a.Took
	switch a.Verdict {
	case kmswire.OK:
		w.result.Activated++
		if c.licensed == 0 {
			w.delays.add(w.at().Sub(w.player.Installed))
		}
	case kmswire.NotEnoughCount:
		w.result.TooFew++
	default:
		w.result.Failed++
	}
	if w.report != nil {
		w.report(n, a)
	}
	c.learn(&w.player.Learned, w.numbers)
	// The conversion keeps compilers from one rounding where others have two: the result is to be the same on every machine.
	early := 1 + float64(w.Jitter*(2*w.haste.Float64()-1))
	next := w.at().Add(time.Duration(float64(a.Next) * early))
	w.spent = 0
	w.enter(n, next)
	w.pool.look()
}

// sample looks at the whole fleet.
func (w *world) sample(at time.Duration) {
	s := Sample{At: seconds(at), Calls: make([]uint64, len(w.hosts))}
	now := instantOf(start.Add(at))
	for i := range w.clients {
		if c := &w.clients[i]; c.installed != 0 {
			s.Installed++
			if c.licensed > now {
				s.Activated++
			}
		}
	}
	for i, h := range w.hosts {
		s.Calls[i], h.sample = h.sample, 0
		h.forget(at - time.Hour)
	}
	w.installed += float64(s.Installed)
	w.activated += float64(s.Activated)
	w.result.Samples = append(w.result.Samples, s)
}

// settle draws up the result.
func (w *world) settle() Result {
	r := &w.result
	for i := range w.clients {
		if w.clients[i].licensed == 0 {
			r.Never++
		}
	}
	if w.installed > 0 {
		r.Share = w.activated / w.installed
	}
	r.ShareLast = r.Samples[len(r.Samples)-1].Share()
	r.Waited = seconds(w.waited)
	r.Median, r.P99, r.Longest = seconds(w.delays.quantile(0.5)), seconds(w.delays.quantile(0.99)), seconds(w.delays.quantile(1))
	for _, h := range w.hosts {
		r.Hosts = append(r.Hosts, h.result)
	}
	return *r
}
