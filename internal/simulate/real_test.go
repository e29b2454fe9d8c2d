package simulate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// estate is what a scenario has, on sockets of the loopback interface.
type estate struct {
	hosts   []*realHost
	pool    *pool.Pool
	now     time.Time // of the pool
	ledger  *ledger.Ledger
	copies  chan struct{} // a copy was sent
	clients []*kmsresponder.RehearsalClient
	ports   map[string]uint16 // by target
	rand    *rand.Rand        // of all clients, as in the simulation
}

type realHost struct {
	port uint16
	stop func()
	dead bool
}

// build builds the estate of s, for which it chooses ports.
func build(t *testing.T, s *Scenario) *estate {
	e := &estate{now: time.Now(), copies: make(chan struct{}, 1000), ports: map[string]uint16{}, rand: s.stream(streamChoices)}
	var configured []config.Host
	for i := range s.Hosts {
		ln := listen(t)
		h := &realHost{port: netip.MustParseAddrPort(ln.Addr().String()).Port()}
		h.stop = serve(t, func(ctx context.Context) error {
			return (&kmsresponder.Rehearsal{Name: fmt.Sprint("kms", i+1)}).Serve(ctx, ln)
		})
		e.hosts = append(e.hosts, h)
		s.ports[i] = h.port
		name := []string{"kms1.example.org.", "kms2.example.org.", "kms3.example.org."}[i]
		e.ports[name] = h.port
		configured = append(configured, config.Host{Name: name, Port: h.port, Priority: hostPriority,
			Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	}
	e.pool = pool.New(configured, s.Probe, pool.Means{Probe: e.probe, Observer: silent{},
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("none is needed") },
		Jitter:  func() float64 { return 0 }, Now: func() time.Time { return e.now }, Rand: s.stream(streamOrders)}, nil)
	if s.Way != Direct {
		e.front(t, s)
	}
	for n := range s.Clients {
		c := &kmsresponder.RehearsalClient{Name: "SIMULATED", CMID: cmid(uint32(n)), Suffixes: []string{"example.org"},
			AnyOrder: s.Vista, Rand: e.rand, Discover: e.discover}
		if !s.Vista {
			c.Version = kmswire.V6
		}
		e.clients = append(e.clients, c)
	}
	return e
}

// front puts the responder in front of the hosts.
func (e *estate) front(t *testing.T, s *Scenario) {
	e.ledger = ledger.New(0)
	ln := listen(t)
	e.ports[nodeName] = netip.MustParseAddrPort(ln.Addr().String()).Port()
	e.pool.Advertise(pool.Record{Endpoint: nodeName, Name: nodeName, Port: config.DefaultPort, Priority: nodePriority})
	c := kmsresponder.GatewayConfig{Pool: e.pool, Group: kmsresponder.ProductGroup, Ledger: e.ledger, Observer: e,
		Limits: kmsresponder.Limits{Rate: 1_000_000}}
	switch s.Way {
	case Spread:
		c.Policy = config.Spread
	case Warm:
		c.Warm = s.Copy
	}
	g := kmsresponder.NewGateway(c)
	serve(t, func(ctx context.Context) error { return g.Serve(ctx, ln) })
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve runs do until it is stopped, or the test ends.
func serve(t *testing.T, do func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := do(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

func (e *estate) discover(context.Context, string) ([]kmsresponder.SRV, error) {
	var all []kmsresponder.SRV
	for _, r := range e.pool.Answer().Records {
		all = append(all, kmsresponder.SRV{Target: r.Name, Port: e.ports[r.Name], Priority: r.Priority, Weight: r.Weight,
			Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	}
	return all, nil
}

func (e *estate) probe(_ context.Context, _ []netip.Addr, port uint16) probe.Result {
	for _, h := range e.hosts {
		if h.port == port && h.dead {
			return probe.Result{Outcome: probe.Refused, Stage: probe.Connect, Err: errors.New("refused"), Start: e.now}
		}
	}
	return probe.Result{Start: e.now, Stage: probe.Bind}
}

// settle has the pool's probes done until nothing changes any more.
func (e *estate) settle() {
	for range 60 {
		var jobs []pool.Job
		e.pool.Step(context.Background(), func(j pool.Job) { jobs = append(jobs, j) })
		for _, j := range jobs {
			j.Run()
		}
		e.now = e.now.Add(2 * time.Second)
	}
}

func (e *estate) kill(i int) {
	e.hosts[i].stop()
	e.hosts[i].dead = true
	e.settle()
}

// The responder's Observer.
func (e *estate) Called(kmsresponder.CallRecord)           {}
func (e *estate) Refused(kmsresponder.Refusal, netip.Addr) {}

func (e *estate) Present(map[string]bool) {}
func (e *estate) Asked(a kmsresponder.Ask) {
	if a.Copy {
		e.copies <- struct{}{}
	}
}

// silent is a pool's Observer.
type silent struct{}

func (silent) Probed(string, probe.Result)                  {}
func (silent) Changed(pool.Transition)                      {}
func (silent) Resolved(string, error)                       {}
func (silent) Settled(_, _ pool.Condition, _ time.Duration) {}

// played is one attempt of a simulation.
type played struct {
	client uint32
	a      kmsresponder.Attempt
	copies uint64
	after  bool // the death of a host
}

// TestAgainstSockets: the same clients, hosts and responder on sockets do attempt for attempt what they do here: ask the same
// hosts, are answered the same counts, are activated or not. In between a host dies. Only policy spread is left out, whose
// draws cannot be handed to a responder of this world; see TestSpreadAgainstSockets.
func TestAgainstSockets(t *testing.T) {
	for _, tc := range []struct {
		name  string
		way   Way
		vista bool
		grow  time.Duration
		days  int
		death time.Duration // of the first host
	}{
		{"direct", Direct, false, 0, 15, 10 * day},
		{"direct, growing", Direct, false, 5 * day, 9, 3 * day},
		{"direct, Vista", Direct, true, 0, 15, 10 * day},
		{"concentrate, Vista", Concentrate, true, 0, 15, 10 * day},
		{"warm, Vista", Warm, true, 0, 6, time.Hour},
		{"warm, Vista, growing", Warm, true, 5 * day, 6, 3 * day},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Default()
			s.Clients, s.Hosts, s.Days, s.Way, s.Vista, s.Grow, s.Trouble = 60, 3, tc.days, tc.way, tc.vista, tc.grow, Trouble{}
			e := build(t, &s)
			script := rehearse(t, s, tc.death)
			e.settle()
			dead := false
			activated := 0
			for i, p := range script {
				if p.after && !dead {
					e.kill(0)
					dead = true
				}
				got := e.clients[p.client].Activate(t.Context())
				if got.Verdict != p.a.Verdict || got.Count != p.a.Count || e.name(got.Host) != e.name(p.a.Host) ||
					len(got.Tries) != len(p.a.Tries) || got.Cached != p.a.Cached {
					t.Fatalf("Attempt %d of %d, client %d: on sockets %v, count %d, %s, %d tries; simulated %v, count %d, %s, %d tries",
						i, len(script), p.client, got.Verdict, got.Count, got.Host, len(got.Tries), p.a.Verdict, p.a.Count, p.a.Host, len(p.a.Tries))
				}
				if got.Activated() {
					activated++
				}
				e.catchUp(t, p.copies)
			}
			if !dead || activated < s.Clients/2 || len(script) < s.Clients*3/2 {
				t.Errorf("Got %d attempts, %d activations, host dead %t: the test shows too little", len(script), activated, dead)
			}
			if len(e.copies) > 0 {
				t.Errorf("The responder sent %d copies more than in the simulation", len(e.copies))
			}
		})
	}
}

// rehearse lives through s, of which the first host refuses calls from death on.
func rehearse(t *testing.T, s Scenario, death time.Duration) []played {
	t.Helper()
	w := newWorld(t.Context(), s)
	w.hosts[0].troubles = []span{{death, s.length(), refusing}}
	w.pool.edges = []time.Duration{death}
	var script []played
	var before uint64
	w.report = func(n uint32, a kmsresponder.Attempt) {
		var copies uint64
		for _, h := range w.hosts {
			copies += h.result.Copies
		}
		script = append(script, played{n, a, copies - before, w.now.Sub(start) >= death})
		before = copies
	}
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	return script
}

// catchUp waits until the ledger knows of the last call, and so many copies of it are sent.
func (e *estate) catchUp(t *testing.T, copies uint64) {
	t.Helper()
	if e.ledger == nil {
		return
	}
	e.ledger.Settle()
	deadline := time.After(20 * time.Second)
	for range copies {
		select {
		case <-e.copies:
		case <-deadline:
			t.Fatalf("The responder did not send %d copies within 20 seconds", copies)
		}
	}
}

// name is the target of the server at a "target:port", whatever its port.
func (e *estate) name(endpoint string) string {
	host, _, _ := net.SplitHostPort(endpoint)
	return host
}

// TestSpreadAgainstSockets: policy spread gives every host its third of the calls of sixty clients, here and on sockets, and
// activates them all.
func TestSpreadAgainstSockets(t *testing.T) {
	s := Default()
	s.Clients, s.Hosts, s.Days, s.Way, s.Grow, s.Trouble = 60, 3, 60, Spread, 0, Trouble{}
	e := build(t, &s)
	e.settle()
	simulated, real := map[string]uint64{}, map[string]uint64{}
	activated := 0
	for range 8 {
		activated = 0
		for _, c := range e.clients {
			a := c.Activate(t.Context())
			real[a.HostID]++
			if a.Activated() {
				activated++
			}
			e.ledger.Settle()
		}
	}
	r := mustRun(t, s)
	for _, h := range r.Hosts {
		simulated["REHEARSAL-ONLY "+h.Name] = h.Calls
	}
	if activated != s.Clients || r.ShareLast != 1 {
		t.Errorf("Activated: %d of %d on sockets, %g simulated", activated, s.Clients, r.ShareLast)
	}
	thirds(t, "on sockets", real)
	thirds(t, "simulated", simulated)
}

// thirds checks that three hosts had a third of all calls each, within five standard deviations of a draw for each call.
func thirds(t *testing.T, where string, calls map[string]uint64) {
	t.Helper()
	all := 0.0
	for _, n := range calls {
		all += float64(n)
	}
	for host, n := range calls {
		if off := math.Abs(float64(n) - all/3); off > 5*math.Sqrt(all*2/9) || len(calls) != 3 || all < 400 {
			t.Errorf("%s, %s: %d of %g calls, of %d hosts", where, host, n, all, len(calls))
		}
	}
}
