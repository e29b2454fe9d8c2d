package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// light is a thing that is on while it runs.
type light struct{ on, off chan struct{} }

func hold(t *testing.T, l *Lease, key string) *light {
	t.Helper()
	got, err := Hold(l, key, func() (*light, func(context.Context), error) {
		x := &light{on: make(chan struct{}), off: make(chan struct{})}
		return x, func(ctx context.Context) { close(x.on); <-ctx.Done(); close(x.off) }, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-got.on
	return got
}

func (x *light) isOff() bool {
	select {
	case <-x.off:
		return true
	default:
		return false
	}
}

func TestSharedUntilTheLastRelease(t *testing.T) {
	e := New()
	old, next := e.Lease(e.NextGeneration()), e.Lease(e.NextGeneration())
	a := hold(t, old, "a")
	if b := hold(t, next, "a"); a != b {
		t.Fatal("Two leases of one key hold two things")
	}
	hold(t, next, "a") // holding twice counts once
	old.Release()
	if a.isOff() {
		t.Fatal("Stopped though the new configuration holds it")
	}
	next.Release()
	if !a.isOff() {
		t.Fatal("Release returned before the last thing had stopped")
	}
	next.Release()
	if n := len(e.things) + len(e.leases); n != 0 {
		t.Errorf("%d entries left", n)
	}
	if _, err := Hold(next, "a", func() (int, func(context.Context), error) { panic("started") }); !errors.Is(err, ErrReleased) {
		t.Errorf("Holding by a released lease: %v", err)
	}
}

// TestAFailedReloadLeavesNothing: CoreDNS drops the new configuration without a word; the old one cleans up.
func TestAFailedReloadLeavesNothing(t *testing.T) {
	e := New()
	old := e.Lease(e.NextGeneration())
	shared, kept := hold(t, old, "shared"), hold(t, old, "kept")
	g := e.NextGeneration()
	first, second := e.Lease(g), e.Lease(g)
	hold(t, first, "shared")
	lost := hold(t, second, "lost")
	e.Sweep(func(other Generation) bool { return other != g }) // OnRestartFailed
	if !lost.isOff() || shared.isOff() || kept.isOff() {
		t.Errorf("After a failed reload: new thing off %v, shared off %v, old off %v", lost.isOff(), shared.isOff(), kept.isOff())
	}
	old.Release()
	if !shared.isOff() {
		t.Error("The discarded configuration still counts as a holder")
	}
}

// TestLater: what a configuration changes for others is done when it serves, in order and once, and never if it is discarded.
func TestLater(t *testing.T) {
	e := New()
	var done []string
	lease := func(g Generation, names ...string) *Lease {
		l := e.Lease(g)
		for _, n := range names {
			l.Later(func() { done = append(done, n) })
		}
		return l
	}
	first, discarded, next := e.NextGeneration(), e.NextGeneration(), e.NextGeneration()
	old := lease(first, "a", "b")
	if !e.First(first) {
		t.Error("Another configuration comes first")
	}
	e.Serve(func(Generation) bool { return true })
	lease(discarded, "lost")
	e.Sweep(func(g Generation) bool { return g != discarded })
	lease(next, "released").Release()
	l := lease(next, "c", "d")
	if e.First(next) {
		t.Error("A reload comes first")
	}
	e.Serve(func(g Generation) bool { return g < next })
	old.Later(func() { done = append(done, "e") })
	e.Serve(func(g Generation) bool { return g >= next })
	e.Serve(func(g Generation) bool { return g >= next })
	if got, want := strings.Join(done, " "), "a b c d"; got != want {
		t.Errorf("Done: %s, want %s", got, want)
	}
	l.Release()
	old.Release()
	if old.Later(func() {}); len(e.later) != 0 {
		t.Errorf("%d are left for leases that were released", len(e.later))
	}
}

// TestLastTakenStopsFirst: what was built on something stops before it.
func TestLastTakenStopsFirst(t *testing.T) {
	e := New()
	l := e.Lease(e.NextGeneration())
	below := hold(t, l, "a below")
	var early bool
	if _, err := Hold(l, "b above", func() (int, func(context.Context), error) {
		return 1, func(ctx context.Context) { <-ctx.Done(); early = below.isOff() }, nil
	}); err != nil {
		t.Fatal(err)
	}
	l.Release()
	if early || !below.isOff() {
		t.Errorf("Below stopped before what was above it: %v; at the end: %v", early, below.isOff())
	}
}

// TestWhatEndedByItselfIsStartedAgain: a reload revives what died.
func TestWhatEndedByItselfIsStartedAgain(t *testing.T) {
	e := New()
	old, next := e.Lease(e.NextGeneration()), e.Lease(e.NextGeneration())
	if _, err := Hold(old, "a", func() (*light, func(context.Context), error) {
		return &light{}, func(context.Context) {}, nil
	}); err != nil {
		t.Fatal(err)
	}
	<-e.things["a"].done
	a := hold(t, next, "a")
	next.Release()
	if a.isOff() {
		t.Error("Stopped though the old configuration holds it too")
	}
	old.Release()
	if !a.isOff() || len(e.things) != 0 {
		t.Error("Still running, or in the table, with nobody to hold it")
	}
}

// TestHalt: who tells of others can be stopped before any of them is given back.
func TestHalt(t *testing.T) {
	e := New()
	first, second := e.Lease(e.NextGeneration()), e.Lease(e.Latest())
	below, teller := hold(t, first, "below"), hold(t, first, "teller")
	hold(t, second, "teller")
	e.Halt("teller", "nobody")
	if !teller.isOff() || below.isOff() {
		t.Errorf("Off: the teller %v, what it tells of %v", teller.isOff(), below.isOff())
	}
	first.Release()
	second.Release()
	if !below.isOff() || len(e.things) != 0 {
		t.Error("Still running, or in the table, with nobody to hold it")
	}
}

func TestAFailedStartHoldsNothing(t *testing.T) {
	e := New()
	l := e.Lease(e.NextGeneration())
	broken := errors.New("address in use")
	if _, err := Hold(l, "a", func() (int, func(context.Context), error) { return 0, nil, broken }); !errors.Is(err, broken) {
		t.Fatalf("Got %v", err)
	}
	if len(e.things) != 0 || len(l.keys) != 0 {
		t.Error("A thing that did not start is held")
	}
	l.Release()
}

func TestOneKeyOneType(t *testing.T) {
	e := New()
	l := e.Lease(e.NextGeneration())
	defer l.Release()
	hold(t, l, "a")
	if _, err := Hold(l, "a", func() (int, func(context.Context), error) { return 0, nil, nil }); err == nil {
		t.Error("A thing of another type is handed out")
	}
}

// quiet is the world of a pool whose probes wait for ever.
type quiet struct{}

func (quiet) Probed(string, probe.Result) {}

func (quiet) Changed(pool.Transition) {}

func (quiet) Resolved(string, error) {}

func (quiet) Settled(from, c pool.Condition, _ time.Duration) {}

func still(string) pool.Means {
	return pool.Means{
		Probe: func(ctx context.Context, _ []netip.Addr, _ uint16) probe.Result {
			<-ctx.Done()
			return probe.Result{Outcome: probe.Local, Err: ctx.Err()}
		},
		Resolve:  func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() },
		Observer: quiet{},
		Jitter:   func() float64 { return 0 },
	}
}

func block(zone string, names ...string) config.Block {
	b := config.Default()
	b.Zones = []string{zone}
	for _, n := range names {
		b.Hosts = append(b.Hosts, config.Host{Name: n, Port: 1688})
	}
	return b
}

func holdPool(t *testing.T, l *Lease, b config.Block) Pool {
	t.Helper()
	p, err := HoldPool(l, b, still, Memories{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoolsAreSharedByWhatTheyProbe(t *testing.T) {
	e := New()
	l := e.Lease(e.NextGeneration())
	defer l.Release()
	a := holdPool(t, l, block("example.org.", "kms1.example.org.", "kms2.example.org."))
	same := holdPool(t, l, block("example.net.", "kms1.example.org.", "kms2.example.org."))
	other := holdPool(t, l, block("example.org.", "kms2.example.org."))
	if a.Pool != same.Pool {
		t.Error("The same hosts in another zone are probed twice")
	}
	if a.Pool == other.Pool {
		t.Error("Other hosts share a pool")
	}
	if a.Name != "example.org" || other.Name != "example.org#2" {
		t.Errorf("Names %q and %q: want each its own", a.Name, other.Name)
	}
	// A reload that changes both keeps the names, though the pools of before still run.
	next := e.Lease(e.NextGeneration())
	defer next.Release()
	for _, want := range []string{"example.org", "example.org#2"} {
		if p := holdPool(t, next, block("example.org.", "new.example.org.", strings.ReplaceAll(want, "#", "x")+".")); p.Name != want {
			t.Errorf("After a reload: %q, want %q", p.Name, want)
		}
	}
	if names := fmt.Sprintf("%d %s %s", len(Pools(e)), Pools(e)[0].Name, Pools(e)[1].Name); names != "2 example.org example.org#2" {
		t.Errorf("While both run, Pools has %s: want those of the newest configuration, each name once", names)
	}
	slow := block("example.org.", "kms1.example.org.", "kms2.example.org.")
	slow.Probe.Rise = 5
	if p := holdPool(t, l, slow); p.Pool == a.Pool {
		t.Error("Other thresholds share a pool")
	}
	if n := len(Each[Pool](e)); n != 5 {
		t.Errorf("%d pools run, want 5", n)
	}
}

// TestAPoolThatMovesToAnotherBlockKeepsItsName: and nobody else gets it, though the block that it is named after has a new one.
func TestAPoolThatMovesToAnotherBlockKeepsItsName(t *testing.T) {
	e := New()
	old := e.Lease(e.NextGeneration())
	moves := holdPool(t, old, block("a.example.", "kms1.example.org."))
	names := func(blocks ...config.Block) string {
		g := e.NextGeneration()
		for _, b := range blocks {
			e.Expect(g, b)
		}
		next := e.Lease(g)
		var all []string
		for _, b := range blocks {
			p := holdPool(t, next, b)
			all = append(all, fmt.Sprintf("%s has %s", b.Zones[0], p.Name))
		}
		old.Release()
		old = next
		if n := len(Pools(e)); n != len(blocks) {
			t.Errorf("%d pools are seen of %d: %v", n, len(blocks), all)
		}
		return strings.Join(all, ", ")
	}
	a, b := block("a.example.", "kms2.example.org."), block("b.example.", "kms1.example.org.")
	want(t, "It moves", names(a, b), "a.example. has a.example#2, b.example. has a.example")
	if p := holdPool(t, old, b); p.Pool != moves.Pool {
		t.Error("The pool that moved is another")
	}
	a.Probe.Rise = 7
	want(t, "The block that it left changes again", names(a, b), "a.example. has a.example#2, b.example. has a.example")
	a.Probe.Rise, b.Probe.Rise = 8, 8
	want(t, "Both change", names(a, b), "a.example. has a.example, b.example. has b.example")
	discarded := e.NextGeneration()
	e.Expect(discarded, b)
	e.Sweep(func(g Generation) bool { return g != discarded })
	if len(e.expected[discarded]) > 0 {
		t.Error("What a discarded configuration was going to hold is still expected")
	}
	old.Release()
}

// TestHealthSurvivesAChangedBlock: a reload that adds a host and changes a weight does not forget what was known.
func TestHealthSurvivesAChangedBlock(t *testing.T) {
	e := New()
	old := e.Lease(e.NextGeneration())
	p := holdPool(t, old, block("example.org.", "kms1.example.org.", "kms2.example.org."))
	p.Served("kms1.example.org:1688")
	if err := p.Drain("kms2.example.org:1688", pool.Drainage{}); err != nil {
		t.Fatal(err)
	}
	l := e.Lease(e.NextGeneration())
	defer l.Release()
	changed := block("example.org.", "kms1.example.org.", "kms2.example.org.", "kms3.example.org.")
	changed.Hosts[0].Weight = 7
	next := holdPool(t, l, changed)
	old.Release()
	want := []pool.State{pool.Up, pool.Drained, pool.Unchecked}
	for i, s := range next.Hosts() {
		if s.State != want[i] {
			t.Errorf("%s is %s, want %s", s.Endpoint(), s.State, want[i])
		}
	}
}

// TestAReloadTakesItsOwnVerdict: where blocks ask one host differently, and come to different ends, a changed block goes on with
// what those probes found that are its own, or else with what its pool of before did.
func TestAReloadTakesItsOwnVerdict(t *testing.T) {
	slow := func(name string) pool.Means { // the host needs a second
		m := still(name)
		m.Probe = func(context.Context, []netip.Addr, uint16) probe.Result {
			if name == "strict.example" {
				return probe.Result{Outcome: probe.Timeout, Start: time.Now(), Err: errors.New("no answer for 200ms")}
			}
			return probe.Result{Outcome: probe.Passed, Start: time.Now()}
		}
		return m
	}
	for name, tt := range map[string]struct {
		change func(strict, lax *config.Block)
		want   string
	}{
		"another weight":         {func(_, lax *config.Block) { lax.Hosts[0].Weight = 7 }, "strict down, lax up"},
		"and in the other block": {func(strict, _ *config.Block) { strict.Hosts[0].Weight = 7 }, "strict down, lax up"},
		"in both":                {func(s, l *config.Block) { s.Hosts[0].Weight, l.Hosts[0].Weight = 7, 7 }, "strict down, lax up"},
		"another threshold":      {func(s, l *config.Block) { s.Probe.Rise, l.Probe.Rise = 7, 7 }, "strict down, lax up"},
		"the other's probes":     {func(s, l *config.Block) { l.Probe, l.Hosts[0].Weight = s.Probe, 7 }, "strict down, lax down"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				strict, lax := block("strict.example.", "kms1.example.org."), block("lax.example.", "kms1.example.org.")
				strict.Probe.Timeout, strict.Probe.Fall = 200*time.Millisecond, 1
				for _, b := range []*config.Block{&strict, &lax} {
					b.Hosts[0].Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
				}
				load := func() string {
					l := e.Lease(e.NextGeneration())
					t.Cleanup(l.Release)
					var all []string
					for _, b := range []config.Block{strict, lax} {
						p, err := HoldPool(l, b, slow, Memories{})
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, fmt.Sprintf("%s %s", strings.TrimSuffix(b.Zones[0], ".example."), p.Hosts()[0].State))
					}
					return strings.Join(all, ", ")
				}
				want(t, "At the start", load(), "strict unchecked, lax unchecked")
				time.Sleep(time.Second)
				strict.Hosts, lax.Hosts = slices.Clone(strict.Hosts), slices.Clone(lax.Hosts)
				tt.change(&strict, &lax)
				want(t, "After the reload", load(), tt.want)
			})
		})
	}
}

// manyBlocks is n blocks of three hosts each, which no other has.
func manyBlocks(n int, weight uint16) []config.Block {
	all := make([]config.Block, n)
	for i := range all {
		all[i] = block(fmt.Sprintf("z%d.example.", i))
		for h := range 3 {
			all[i].Hosts = append(all[i].Hosts, config.Host{Name: fmt.Sprintf("kms%d.z%d.example.", h, i), Port: 1688, Weight: weight})
		}
	}
	return all
}

func load(tb testing.TB, e *Engine, blocks []config.Block) *Lease {
	tb.Helper()
	l := e.Lease(e.NextGeneration())
	for _, b := range blocks {
		e.Expect(l.generation, b)
	}
	for _, b := range blocks {
		if _, err := HoldPool(l, b, still, Memories{}); err != nil {
			tb.Fatal(err)
		}
	}
	return l
}

// TestAPoolKeepsWhatItMayNeed: a reload's pools do not hand each other what is known of everybody's hosts.
func TestAPoolKeepsWhatItMayNeed(t *testing.T) {
	e := New()
	blocks := manyBlocks(3, 0)
	blocks[2].Update = &config.Update{}
	old := load(t, e, blocks)
	announced := config.Host{Name: "kms7.example.org.", Port: 1688}
	for _, p := range Pools(e) {
		for _, h := range p.Hosts() {
			p.Served(h.Endpoint())
		}
		if p.Name == "z2.example" {
			p.Enlist(announced, nil, true)
		}
	}
	if _, err := Drain(e, nil, "kms8.example.org:1688", pool.Drainage{By: "alice"}); !errors.Is(err, ErrNoStore) {
		t.Fatal(err)
	}
	changed := manyBlocks(3, 1)
	changed[1].Update, changed[2].Update = &config.Update{}, &config.Update{}
	changed[2].Hosts = changed[2].Hosts[1:] // of which the first may announce itself
	next := load(t, e, changed)
	old.Release()
	defer next.Release()
	var all []string
	for _, p := range Pools(e) {
		var others []string
		for endpoint, m := range p.Remember() {
			if !m.Live.Here {
				others = append(others, endpoint)
			}
		}
		slices.Sort(others)
		all = append(all, p.Name+": "+strings.Join(others, " "))
		for _, h := range p.Hosts() {
			if h.State != pool.Up {
				t.Errorf("%s: %s is %s, want what its predecessor knew", p.Name, h.Endpoint(), h.State)
			}
		}
	}
	want(t, "What they keep of other hosts", strings.Join(all, ", "), "z0.example: kms8.example.org:1688, "+
		"z1.example: kms7.example.org:1688 kms8.example.org:1688, "+
		"z2.example: kms0.z2.example:1688 kms7.example.org:1688 kms8.example.org:1688")
}

// TestADrainWhilePoolsStart: it holds for those that start before and after, whatever was collected meanwhile.
func TestADrainWhilePoolsStart(t *testing.T) {
	e := New()
	a, b := block("a.example.", "kms1.example.org.", "kms2.example.org."), block("b.example.", "kms2.example.org.")
	old := load(t, e, []config.Block{a})
	l := e.Lease(e.NextGeneration())
	a.Hosts[0].Weight = 7
	before := holdPool(t, l, a)
	if _, err := Drain(e, nil, kms2, drainage("alice", "disks")); !errors.Is(err, ErrNoStore) {
		t.Fatal(err)
	}
	after := holdPool(t, l, b)
	want(t, "Both", hosts(before)+"; "+hosts(after), "kms1 unchecked, kms2 drained by alice: disks; kms2 drained by alice: disks")
	e.Serve(func(g Generation) bool { return g == l.generation })
	if len(e.lore) > 0 {
		t.Error("What was collected for a load outlives it")
	}
	old.Release()
	l.Release()
}

// BenchmarkLoad is one start, and one reload that changes every block, with 300 pools of three hosts.
func BenchmarkLoad(b *testing.B) {
	for range b.N {
		e := New()
		b.StopTimer()
		first, second := manyBlocks(300, 0), manyBlocks(300, 1)
		b.StartTimer()
		began := time.Now()
		old := load(b, e, first)
		started := time.Now()
		next := load(b, e, second)
		b.ReportMetric(float64(started.Sub(began).Milliseconds()), "ms/start")
		b.ReportMetric(float64(time.Since(started).Milliseconds()), "ms/reload")
		b.StopTimer()
		kept := 0
		for _, p := range Pools(e) {
			kept += len(p.Remember())
		}
		b.ReportMetric(float64(kept), "memories")
		old.Release()
		next.Release()
		b.StartTimer()
	}
}
