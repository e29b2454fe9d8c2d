package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

// rig is a registry that runs, on a store of its own.
type rig struct {
	*Registry
	t     testing.TB
	path  string
	store *store.Store
	stop  func() // ends Run and waits for it

	compared bool
}

// start runs a registry on a new store. When the test ends, the store is opened again and must have what the registry had.
func start(t testing.TB, u config.Update) *rig {
	t.Helper()
	return reopen(t, u, filepath.Join(t.TempDir(), "kms.db"))
}

// reopen is start with the store at path, which may be there.
func reopen(t testing.TB, u config.Update, path string) *rig {
	t.Helper()
	g := prepare(t, u, path)
	g.run()
	return g
}

// prepare is reopen for a registry that does not run yet.
func prepare(t testing.TB, u config.Update, path string) *rig {
	t.Helper()
	st, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(u, "test", st)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{Registry: r, t: t, path: path, store: st, stop: func() {}}
	t.Cleanup(func() { g.compare() })
	return g
}

func (g *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.Run(ctx) })
	g.stop = func() { cancel(); wg.Wait() }
}

// compare ends g, opens its store again and compares all that there is. Once is enough.
func (g *rig) compare() {
	g.t.Helper()
	if g.compared {
		return
	}
	g.compared = true
	g.stop()
	if err := g.store.Close(); err != nil {
		g.t.Error(err)
	}
	st, err := store.Open(g.path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer st.Close()
	r, err := New(g.Settings(), "test", st)
	if err != nil {
		g.t.Fatal(err)
	}
	if stored, had := r.book.text(), g.book.text(); stored != had {
		g.t.Errorf("The store has\n%s\nand the registry had\n%s", stored, had)
	}
	if !maps.EqualFunc(g.healthy, r.healthy, time.Time.Equal) {
		g.t.Errorf("The registry took %v for stored, and it is %v", g.healthy, r.healthy)
	}
	if snapshot := fmt.Sprint(*g.Snapshot()); snapshot != fmt.Sprint(*g.book.snapshot(nil)) {
		g.t.Errorf("The snapshot %s is not what the registry had", snapshot)
	}
}

// text is everything in b, in order.
func (b *book) text() string {
	var all []string
	for _, c := range b.sorted() {
		all = append(all, fmt.Sprintf("%+v", c))
	}
	for _, name := range slices.Sorted(maps.Keys(b.addresses)) {
		for _, a := range b.addresses[name] {
			all = append(all, fmt.Sprintf("%+v", a))
		}
	}
	return strings.Join(all, "\n")
}

// change is Change that must succeed.
func (g *rig) change(edit func(*Draft) error) {
	g.t.Helper()
	if err := g.Change(context.Background(), edit); err != nil {
		g.t.Fatal(err)
	}
}

// put announces hosts.
func (g *rig) put(claims ...Claim) {
	g.t.Helper()
	g.change(func(d *Draft) error {
		for _, c := range claims {
			if err := d.Put(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// targets is the claims of s in words: "kms1 kms2".
func (s *Snapshot) targets() string {
	var all []string
	for _, c := range s.Claims {
		all = append(all, strings.TrimSuffix(c.Target, ".example.org."))
	}
	return strings.Join(all, " ")
}

// announced is kmsN.example.org, announced now by itself from 192.0.2.N.
func announced(n int) Claim {
	ip := address(n)
	return Claim{Target: fmt.Sprintf("kms%d.example.org.", n), Port: 1688, Owner: "address " + ip.String(), Source: ip,
		Hints: []netip.Addr{ip}, Updated: time.Now()}
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

// record is an announced address of the host N.
func record(n int, ip netip.Addr) Address {
	return Address{Name: fmt.Sprintf("kms%d.example.org.", n), IP: ip, Owner: "key ann.", Source: address(n), Updated: time.Now()}
}

func settings(max int) config.Update {
	u := config.DefaultUpdate()
	u.Max = max
	return u
}

// network is what a pool under test can reach: all hosts but the dead, by address.
type network struct {
	mu   sync.Mutex
	dead map[netip.Addr]bool
}

func (n *network) set(dead bool, hosts ...int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range hosts {
		if n.dead == nil {
			n.dead = map[netip.Addr]bool{}
		}
		n.dead[address(h)] = dead
	}
}

func (n *network) probe(_ context.Context, addresses []netip.Addr, port uint16) probe.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := probe.Result{Start: time.Now(), Stage: probe.Bind, Address: netip.AddrPortFrom(addresses[0], port)}
	if n.dead[addresses[0]] {
		r.Outcome, r.Err = probe.Refused, fmt.Errorf("connection refused")
	}
	return r
}

// fed is a running pool with the hosts of the Corefile that g feeds. It asks who is up every five minutes, so that a test of
// weeks takes no seconds.
func (g *rig) fed(n *network, hosts ...config.Host) *pool.Pool {
	settings := config.Default().Probe
	settings.Interval = 5 * time.Minute
	p := pool.New(hosts, settings, n.means(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	wg.Go(func() { g.feed(ctx, p) })
	g.t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

// feed feeds p until ctx is done.
func (r *Registry) feed(ctx context.Context, p *pool.Pool) {
	detach := r.Attach(p)
	<-ctx.Done()
	detach()
}

func (n *network) means() pool.Means {
	return pool.Means{
		Probe:    n.probe,
		Resolve:  func(context.Context, string) ([]netip.Addr, error) { return nil, fmt.Errorf("no resolver here") },
		Observer: deaf{},
		Jitter:   func() float64 { return 0 },
	}
}

type deaf struct{}

func (deaf) Probed(string, probe.Result) {}

func (deaf) Changed(pool.Transition) {}

func (deaf) Resolved(string, error) {}

func (deaf) Settled(_, _ pool.Condition, _ time.Duration) {}

// states is the hosts of p in words: "kms1 claimed, kms2 up".
func states(p *pool.Pool) string {
	var all []string
	hosts := p.Hosts()
	slices.SortFunc(hosts, func(a, b pool.Status) int { return cmp.Compare(a.Endpoint(), b.Endpoint()) })
	for _, h := range hosts {
		all = append(all, strings.TrimSuffix(h.Endpoint(), ".example.org:1688")+" "+h.State.String())
	}
	return strings.Join(all, ", ")
}
