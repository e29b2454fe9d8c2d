package pool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// world is the network that a pool under test sees: hosts by the last octet of their address, and names. It records what
// the pool does.
type world struct {
	mu     sync.Mutex
	death  map[byte]func(ctx context.Context) probe.Result // how a dead host fails; a host that is not in it passes
	names  map[string][]netip.Addr                         // what resolves
	jitter func() float64

	start     time.Time
	flying    int
	most      int
	starts    map[byte][]time.Duration // starts of probes since start
	changes   []string                 // "12s a suspect"
	changedAt []time.Duration          // of changes
	settling  []string
	resolving []string       // "30s kms1 no such host"
	heard     map[string]int // results of probes, by endpoint
	gone      []string
}

func newWorld() *world {
	return &world{death: map[byte]func(context.Context) probe.Result{}, names: map[string][]netip.Addr{},
		starts: map[byte][]time.Duration{}, heard: map[string]int{}, start: time.Now(), jitter: func() float64 { return 0 }}
}

const roundTrip = 5 * time.Millisecond

func (w *world) Probe(ctx context.Context, addresses []netip.Addr, port uint16) probe.Result {
	r := probe.Result{Start: time.Now(), Stage: probe.Bind, Address: netip.AddrPortFrom(addresses[0], port)}
	host := addresses[0].As4()[3]
	w.mu.Lock()
	w.starts[host] = append(w.starts[host], time.Since(w.start))
	w.flying++
	w.most = max(w.most, w.flying)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.flying--
		w.mu.Unlock()
	}()
	time.Sleep(roundTrip)
	w.mu.Lock()
	die := w.death[host]
	w.mu.Unlock()
	if die == nil {
		return r
	}
	failed := die(ctx)
	failed.Start, failed.RTT, failed.Address = r.Start, time.Since(r.Start), r.Address
	return failed
}

// asked is when host was asked, since the start.
func (w *world) asked(host byte) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.starts[host])
}

// Ways to die.
func refused(context.Context) probe.Result {
	return probe.Result{Outcome: probe.Refused, Stage: probe.Connect, Err: errors.New("refused")}
}

func silent(ctx context.Context) probe.Result {
	select {
	case <-time.After(2*time.Second - roundTrip):
		return probe.Result{Outcome: probe.Timeout, Stage: probe.Connect, Err: errors.New("silent")}
	case <-ctx.Done():
		return probe.Result{Outcome: probe.Local, Err: ctx.Err()}
	}
}

func rejecting(context.Context) probe.Result {
	return probe.Result{Outcome: probe.Rejected, Stage: probe.Bind, Err: errors.New("rejected")}
}

func outOfDescriptors(context.Context) probe.Result {
	return probe.Result{Outcome: probe.Local, Stage: probe.Connect, Err: errors.New("no descriptors")}
}

func (w *world) kill(how func(context.Context) probe.Result, hosts ...byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range hosts {
		w.death[h] = how
	}
}

func (w *world) revive(hosts ...byte) { w.kill(nil, hosts...) }

func (w *world) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found, ok := w.names[name]; ok {
		return found, nil
	}
	return nil, errors.New("no such host")
}

func (w *world) name(name string, last ...byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.names, name)
	for _, l := range last {
		w.names[name] = append(w.names[name], address(l))
	}
}

func address(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }

func (w *world) Probed(endpoint string, _ probe.Result) {
	w.mu.Lock() // two pools may be in one world
	defer w.mu.Unlock()
	w.heard[endpoint]++
}

func (w *world) Gone(endpoint string) { w.gone = append(w.gone, endpoint) }

func (w *world) Changed(t Transition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changedAt = append(w.changedAt, time.Since(w.start))
	w.changes = append(w.changes, fmt.Sprintf("%s %s %s", time.Since(w.start).Round(10*time.Millisecond), t.Host, t.To))
}

func (w *world) Resolved(endpoint string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resolving = append(w.resolving, fmt.Sprintf("%s %s %v", time.Since(w.start).Round(time.Second), endpoint, err))
}

func (w *world) Settled(from, c Condition, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settling = append(w.settling, fmt.Sprintf("%s %s→%s", time.Since(w.start).Round(time.Second), from, c))
}

func (w *world) means() Means {
	return Means{Probe: w.Probe, Resolve: w.Resolve, Observer: w, Jitter: w.jitter, Gone: w.Gone}
}

// hosts is n hosts 192.0.2.1, .2 ... of one tier each.
func hosts(n int) []config.Host {
	var all []config.Host
	for i := range n {
		all = append(all, config.Host{Addresses: []netip.Addr{address(byte(i + 1))}, Port: 1688, Priority: uint16(i)})
	}
	return all
}

// run starts a pool in the present bubble and stops it when the test ends.
func run(t *testing.T, w *world, hosts []config.Host, remembered map[string]Memory) *Pool {
	t.Helper()
	p := New(hosts, config.Default().Probe, w.means(), remembered)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

// offered is the answer in words: "192.0.2.1/0 192.0.2.2/1 calm".
func offered(p *Pool) string {
	s := p.Snapshot()
	var b strings.Builder
	for _, r := range s.Records {
		fmt.Fprintf(&b, "%s/%d ", strings.TrimSuffix(r.Endpoint, ":1688"), r.Priority)
	}
	return b.String() + s.Condition.String()
}

func expect(t *testing.T, p *Pool, want string) {
	t.Helper()
	synctest.Wait()
	if got := offered(p); got != want {
		t.Errorf("Answer %q, want %q", got, want)
	}
}

// TestDetectionBound exhausts the phase of a death against the schedule and its jitter: whatever way a host dies and
// whenever, it is in the last tier within 13.5 s and gone within 18 s (design, section 4).
func TestDetectionBound(t *testing.T) {
	jitters := []float64{-1, 0, 1}
	worst := map[State]time.Duration{}
	for name, how := range map[string]func(context.Context) probe.Result{"refused": refused, "silent": silent} {
		for combination := range 27 { // of the pauses before the three failures
			for phase := time.Duration(0); phase <= 11100*time.Millisecond; phase += 100 * time.Millisecond {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					draws, c := []float64{-1}, combination // the first probe comes at once
					for range 3 {
						draws = append(draws, jitters[c%3])
						c /= 3
					}
					w.jitter = drawing(draws)
					p := run(t, w, hosts(1), nil)
					// The first probe passes at once; death is phase after its start.
					time.Sleep(max(phase, roundTrip+1))
					died := time.Since(w.start)
					w.kill(how, 1)
					time.Sleep(30 * time.Second)
					synctest.Wait()
					if len(w.changes) != 3 || p.Hosts()[0].State != Down {
						t.Fatalf("%s, phase %s, combination %d: transitions %q", name, phase, combination, w.changes)
					}
					worst[Suspect] = max(worst[Suspect], w.changedAt[1]-died)
					worst[Down] = max(worst[Down], w.changedAt[2]-died)
				})
			}
		}
	}
	t.Logf("Worst case: in the last tier after %s, gone after %s", worst[Suspect], worst[Down])
	if worst[Suspect] > 13500*time.Millisecond || worst[Down] > 18*time.Second {
		t.Errorf("Worst case: last tier after %s, gone after %s; bounds 13.5s and 18s", worst[Suspect], worst[Down])
	}
	if worst[Suspect] < 12900*time.Millisecond || worst[Down] < 17300*time.Millisecond {
		t.Errorf("Worst case: %s and %s: this test has not seen the worst phase", worst[Suspect], worst[Down])
	}
}

// drawing gives out draws in turn, then 1.
func drawing(draws []float64) func() float64 {
	i := 0
	return func() float64 {
		i++
		if i <= len(draws) {
			return draws[i-1]
		}
		return 1
	}
}

// TestRecoveryBound: a host back to life is answered again within 70 s, even from the deepest back-off and whenever it
// comes back.
func TestRecoveryBound(t *testing.T) {
	worst := time.Duration(0)
	for phase := time.Duration(0); phase < 67*time.Second; phase += 500 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.jitter = func() float64 { return 1 }
			p := run(t, w, hosts(2), nil)
			time.Sleep(5 * time.Second)
			w.kill(silent, 1)
			time.Sleep(10*time.Minute + phase)
			w.revive(1)
			back := time.Now()
			for p.Hosts()[0].State != Up {
				time.Sleep(100 * time.Millisecond)
				if time.Since(back) > 5*time.Minute {
					t.Fatalf("Phase %s: not back within 5 minutes", phase)
				}
			}
			worst = max(worst, time.Since(back))
		})
	}
	t.Logf("Worst case: back after %s", worst)
	if worst > 70*time.Second || worst < 66*time.Second {
		t.Errorf("Worst case: back after %s; the bound is 70s, and back-off alone should reach 66s", worst)
	}
}

func TestLifeOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(3), nil)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 192.0.2.3/2 calm") // unchecked hosts are offered
		time.Sleep(4 * time.Second)
		w.kill(refused, 1)
		time.Sleep(7 * time.Second)
		expect(t, p, "192.0.2.2/1 192.0.2.3/2 192.0.2.1/3 unsettled")
		time.Sleep(4 * time.Second)
		expect(t, p, "192.0.2.2/1 192.0.2.3/2 calm")
		w.revive(1)
		time.Sleep(13 * time.Second)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 192.0.2.3/2 calm")
		want := []string{"510ms 192.0.2.1:1688 up", "510ms 192.0.2.2:1688 up", "510ms 192.0.2.3:1688 up",
			"10.51s 192.0.2.1:1688 suspect", "14.51s 192.0.2.1:1688 down", "26.51s 192.0.2.1:1688 up"}
		if fmt.Sprint(w.changes[3:]) != fmt.Sprint(want[3:]) || len(w.changes) != len(want) {
			t.Errorf("Transitions %q, want %q", w.changes, want)
		}
	})
}

// TestBackOff: from the interval doubling to a minute, never stopping, never overlapping.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		w.kill(silent, 1)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		asked := w.asked(1)
		for i, want := range []time.Duration{2, 2, 10, 20, 40, 60, 60} {
			if got := asked[i+1] - asked[i]; got != want*time.Second {
				t.Errorf("Pause %d: %s, want %ds", i, got, want)
			}
		}
		if n := len(asked); n < 24*60-5 {
			t.Errorf("Asked %d times in 24 hours: it stopped", n)
		}
		if got := offered(p); got != "192.0.2.2/1 calm" {
			t.Errorf("Answer %q", got)
		}
	})
}

// TestProbesOfOneHostDoNotOverlap: a probe that outlasts its pause is followed at once, not joined.
func TestProbesOfOneHostDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.jitter = func() float64 { return -1 } // pauses of 1.8 s under a timeout of 2 s
		w.kill(silent, 1)
		p := run(t, w, hosts(1), nil)
		for range 100 {
			p.Failed("192.0.2.1:1688")
			p.Served("192.0.2.1:1688")
			time.Sleep(300 * time.Millisecond)
		}
		synctest.Wait()
		if w.most != 1 {
			t.Errorf("%d probes of one host at once", w.most)
		}
	})
}

func TestRealTrafficClearsSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(time.Second)
		w.kill(refused, 1)
		time.Sleep(10 * time.Second)
		expect(t, p, "192.0.2.2/1 192.0.2.1/2 unsettled")
		w.revive(1)
		p.Served("192.0.2.1:1688")
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 calm")
	})
}

func TestRealTrafficBringsADownHostBackWithinFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		w.kill(refused, 1)
		time.Sleep(time.Hour)
		expect(t, p, "192.0.2.2/1 calm")
		w.revive(1)
		p.Served("192.0.2.1:1688")
		expect(t, p, "192.0.2.2/1 calm") // one pass is not rise
		time.Sleep(5 * time.Second)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 calm")
	})
}

func TestFailedTrafficIsProbedAtOnceAndBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		before := len(w.asked(1))
		for range 1000 { // a burst of failing calls is one probe
			p.Failed("192.0.2.1:1688")
		}
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 calm")
		time.Sleep(time.Second)
		if n := len(w.asked(1)) - before; n != 1 {
			t.Errorf("Asked %d times after failed traffic, want once", n)
		}
		time.Sleep(4 * time.Second)
		w.kill(refused, 1)
		p.Failed("192.0.2.1:1688")
		time.Sleep(100 * time.Millisecond)
		expect(t, p, "192.0.2.2/1 192.0.2.1/2 unsettled")
		p.Failed("nobody:1688")
		p.Served("nobody:1688")
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(time.Second)
		if err := p.Drain("192.0.2.1:1688", Drainage{}); err != nil {
			t.Fatal(err)
		}
		if got := offered(p); got != "192.0.2.2/1 calm" {
			t.Errorf("Right after Drain: %q", got)
		}
		w.kill(refused, 2)
		time.Sleep(time.Minute)
		expect(t, p, "192.0.2.2/1 all-down") // failing open does not resurrect a drained host
		if err := p.Drain("192.0.2.2:1688", Drainage{}); err != nil {
			t.Fatal(err)
		}
		expect(t, p, "all-down")
		if err := p.Undrain("192.0.2.1:1688"); err != nil {
			t.Fatal(err)
		}
		expect(t, p, "192.0.2.1/0 calm") // it was probed all the while
		if err := p.Drain("kms9.example.org:1688", Drainage{}); err == nil {
			t.Error("Draining an unknown host succeeds")
		}
	})
}

func TestAllHostsFailingTogetherIsOurOwnFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(3), nil)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1, 2, 3)
		time.Sleep(30 * time.Second)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 192.0.2.3/2 self-suspected") // all down by now, the answer is the last good one
		time.Sleep(3 * time.Minute)
		before := len(w.asked(1))
		time.Sleep(time.Minute)
		if n := len(w.asked(1)) - before; n < 5 {
			t.Errorf("Asked %d times a minute while this machine is suspected: no backing off then", n)
		}
		time.Sleep(2 * time.Minute)
		expect(t, p, "192.0.2.1/0 all-down") // not for ever
		w.revive(2)
		time.Sleep(70 * time.Second)
		expect(t, p, "192.0.2.2/1 calm")
		if got := fmt.Sprint(w.settling); !strings.Contains(got, "unsettled→self-suspected") ||
			!strings.Contains(got, "self-suspected→all-down") || !strings.Contains(got, "all-down→calm") {
			t.Errorf("Conditions %s", got)
		}
	})
}

func TestSelfSuspicionEndsWhenAHostIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1, 2)
		time.Sleep(time.Minute)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 self-suspected")
		w.revive(1)
		time.Sleep(15 * time.Second)
		expect(t, p, "192.0.2.1/0 calm")
	})
}

// TestTheWayBackFromSelfSuspicion: a host that is down needs two passes. Between them the last good answer stays: the network is
// back, and an empty answer now would park clients for two hours.
func TestTheWayBackFromSelfSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1, 2)
		time.Sleep(time.Minute)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 self-suspected")
		w.revive(1, 2)
		time.Sleep(15 * time.Second)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 calm")
		if got := fmt.Sprint(w.settling); strings.Contains(got, "all-down") {
			t.Errorf("Conditions %s: all were down for a moment, on their way back", got)
		}
	})
}

// TestNobodyIsLeftAloneAfterSelfSuspicion: hosts are asked without backing off meanwhile, and those failures do not count as
// pauses afterwards, when the network comes back to one host a little later than to another.
func TestNobodyIsLeftAloneAfterSelfSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		p.Enlist(announced(7), nil, false)
		w.kill(silent, 7)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1, 2)
		time.Sleep(3 * time.Minute)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 self-suspected")
		w.revive(1)
		time.Sleep(25 * time.Second)
		expect(t, p, "192.0.2.1/0 calm")
		w.revive(2, 7)
		time.Sleep(30 * time.Second)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 kms7.example.org/7 calm")
	})
}

func TestHostsThatAnswerWronglyAreNotOurFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		w.kill(rejecting, 1, 2)
		time.Sleep(18 * time.Second)
		expect(t, p, "192.0.2.1/0 all-down")
	})
}

func TestAllDownIsRepeatedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill(rejecting, 1, 2)
		run(t, w, hosts(2), nil)
		time.Sleep(5*time.Minute + 30*time.Second)
		synctest.Wait()
		n := strings.Count(fmt.Sprint(w.settling), "all-down→all-down")
		if n != 5 {
			t.Errorf("All down for 5.4 minutes: reminded %d times, want 5: %q", n, w.settling)
		}
	})
}

func named(name string) []config.Host { return []config.Host{{Name: name, Port: 1688}} }

func TestANameThatFailsToResolveIsNotADeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.name("kms1.example.org.", 7)
		p := run(t, w, named("kms1.example.org."), nil)
		time.Sleep(time.Minute)
		w.name("kms1.example.org.") // the resolver is broken from now on
		time.Sleep(10 * time.Minute)
		expect(t, p, "kms1.example.org/0 calm")
		if s := p.Hosts()[0]; s.State != Up || s.Unresolved == nil || fmt.Sprint(s.Addresses) != "[192.0.2.7]" {
			t.Errorf("Got %s at %v (unresolved: %v), want up at the last known address", s.State, s.Addresses, s.Unresolved)
		}
		if got := fmt.Sprint(w.resolving); len(w.resolving) != 1 || !strings.Contains(got, "kms1.example.org:1688 no such host") {
			t.Errorf("Heard of the resolver: %s, want one word", got)
		}
		w.kill(refused, 7) // and a host that does die is seen at its last known address
		time.Sleep(20 * time.Second)
		expect(t, p, "kms1.example.org/0 all-down")
	})
}

func TestANameThatNeverResolvedStaysUnchecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, named("kms1.example.org."), nil)
		time.Sleep(time.Hour)
		expect(t, p, "kms1.example.org/0 unsettled")
		if s := p.Hosts()[0]; s.State != Unchecked || s.Last.Outcome != probe.Unresolved {
			t.Errorf("Got %s, %s", s.State, s.Last.Outcome)
		}
		if !p.Snapshot().Checked {
			t.Error("Never ready: the first round is over, though it found no address")
		}
		w.name("kms1.example.org.", 7)
		time.Sleep(35 * time.Second)
		if s := p.Hosts()[0]; s.State != Up {
			t.Errorf("Once it resolves: %s", s.State)
		}
	})
}

// TestNobodyToServeFor: a node in front of names that do not resolve is of no use.
func TestNobodyToServeFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, named("typo.example.org."), nil)
		p.Advertise(Record{Endpoint: "node:1688", Name: "node.example.org.", Port: 1688})
		time.Sleep(time.Minute)
		synctest.Wait()
		if a := p.Answer(); len(a.Records) != 1 || a.Records[0].Name != "typo.example.org." {
			t.Errorf("Got %v", a.Records)
		}
	})
}

// TestANameThatNeverResolvedHidesNoOutage: a typing mistake beside a real host counts for nobody when that one dies.
func TestANameThatNeverResolvedHidesNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, append(hosts(1), config.Host{Name: "typo.example.org.", Port: 1688}), nil)
		time.Sleep(time.Minute)
		expect(t, p, "192.0.2.1/0 typo.example.org/1 calm")
		w.kill(refused, 1)
		time.Sleep(20 * time.Second)
		expect(t, p, "192.0.2.1/0 typo.example.org/0 all-down")
	})
}

// TestAReloadIsNoReasonToSuspectOurselves: what was all down before it is all down after it.
func TestAReloadIsNoReasonToSuspectOurselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		old := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1, 2)
		time.Sleep(20 * time.Minute)
		expect(t, old, "192.0.2.1/0 all-down")
		p := run(t, w, hosts(2), old.Remember())
		expect(t, p, "192.0.2.1/0 all-down")
		time.Sleep(10 * time.Minute)
		expect(t, p, "192.0.2.1/0 all-down")
	})
}

// TestAReloadDoesNotProlongSuspicion: nor does it end it early, however often it comes, and neither does a restart. Whoever
// is announced again counts like those of the Corefile.
func TestAReloadDoesNotProlongSuspicion(t *testing.T) {
	const dies, near = 5 * time.Second, 12 * time.Second // it ends when a probe does, and those are ten seconds apart
	suspected := func(t *testing.T, in []config.Host, enlist func(*Pool), stored bool, reloads ...time.Duration) time.Duration {
		w := newWorld()
		p := run(t, w, in, nil)
		enlist(p)
		time.Sleep(dies)
		w.kill(silent, 1, 2)
		began := false
		for range 15 * 60 {
			time.Sleep(time.Second)
			now := time.Since(w.start)
			for _, at := range reloads {
				if now == at {
					m := p.Remember()
					if stored {
						for endpoint, one := range m {
							one.Live = Live{}
							m[endpoint] = one
						}
					}
					p = run(t, w, in, m)
					enlist(p)
				}
			}
			suspects := p.Snapshot().Condition == SelfSuspected
			if began && !suspects {
				return now
			}
			began = began || suspects
		}
		t.Fatal("It suspects itself for ever, or never")
		return 0
	}
	two := func(p *Pool) {
		for _, h := range hosts(2) {
			p.Enlist(h, nil, true)
		}
	}
	for name, reloads := range map[string][]time.Duration{
		"early":      {30 * time.Second},
		"late":       {5 * time.Minute},
		"very late":  {5*time.Minute + 8*time.Second},
		"many times": {time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute, 5 * time.Minute},
		"two a time": {100 * time.Second, 101 * time.Second},
	} {
		for _, announced := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, announced %v", name, announced), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					in, enlist := hosts(2), func(*Pool) {}
					if announced {
						in, enlist = nil, two
					}
					without := suspected(t, in, enlist, false)
					if got := suspected(t, in, enlist, false, reloads...); (got - without).Abs() > near {
						t.Errorf("It suspects itself till %s, without a reload till %s", got, without)
					}
					if got := suspected(t, in, enlist, true, reloads...); (got - without).Abs() > near {
						t.Errorf("Over restarts it suspects itself till %s, without one till %s", got, without)
					}
				})
			})
		}
	}
}

// TestAReloadDelaysNoVerdict: whenever a reload comes, it costs a dead host's detection no more than the probe that it broke off.
func TestAReloadDelaysNoVerdict(t *testing.T) {
	const dies, down, timeout = 5 * time.Second, 16500 * time.Millisecond, 2 * time.Second // without a reload
	for at := dies; at < down; at += 300 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			old := run(t, w, hosts(2), nil)
			time.Sleep(dies)
			w.kill(silent, 1)
			time.Sleep(at - dies)
			p := run(t, w, hosts(2), old.Remember())
			time.Sleep(down - at)
			expectStates(t, old, "192.0.2.1 down, 192.0.2.2 up")
			time.Sleep(timeout)
			synctest.Wait()
			if got := p.Hosts()[0].State; got != Down {
				t.Errorf("After a reload at %s it is %s at %s", at, got, down+timeout)
			}
		})
	}
}

// TestAReloadAsksNoLater: a new pool asks at once whom the old one was asking, and the others no later than that would have, jitter
// included; from the store it is the pause since the last probe. Nobody waits longer than at a start.
func TestAReloadAsksNoLater(t *testing.T) {
	for name, tt := range map[string]struct {
		at        time.Duration // of the reload; the probes are at 0 s and 9 s, and the second takes 2 s
		announced bool
		stored    bool
		want      time.Duration
	}{
		"while it is asked":                {at: 9500 * time.Millisecond, want: 9500 * time.Millisecond},
		"the same, announced":              {at: 9500 * time.Millisecond, announced: true, want: 9500 * time.Millisecond},
		"just before it is":                {at: 8900 * time.Millisecond, want: 9 * time.Second},
		"the same, announced again":        {at: 8900 * time.Millisecond, announced: true, want: 9 * time.Second},
		"just before, but from the store":  {at: 8900 * time.Millisecond, stored: true, want: 9900 * time.Millisecond},
		"long before":                      {at: 5 * time.Second, want: 6 * time.Second},
		"long before, from the store":      {at: 5 * time.Second, stored: true, want: 6 * time.Second},
		"while it is asked, but the store": {at: 9500 * time.Millisecond, stored: true, want: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.jitter = func() float64 { return -1 } // the soonest
				in := hosts(1)
				begin := func(m map[string]Memory) *Pool {
					if !tt.announced {
						return run(t, w, in, m)
					}
					p := run(t, w, nil, m)
					p.Enlist(in[0], nil, true)
					return p
				}
				old := begin(nil)
				time.Sleep(time.Second)
				w.kill(silent, 1)
				time.Sleep(tt.at - time.Second)
				w.jitter = func() float64 { return 1 } // as late as may be
				m := old.Remember()
				if tt.stored {
					one := m["192.0.2.1:1688"]
					one.Live = Live{}
					m["192.0.2.1:1688"] = one
				}
				if got := begin(m).Hosts()[0].Next.Sub(w.start); got != tt.want {
					t.Errorf("Asked at %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestAHostThatMovesIsAskedAtItsNewAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.name("kms1.example.org.", 7)
		p := run(t, w, named("kms1.example.org."), nil)
		time.Sleep(32 * time.Second)
		w.kill(refused, 7)
		w.name("kms1.example.org.", 8)
		time.Sleep(16 * time.Second) // the first failure looks the name up again
		expect(t, p, "kms1.example.org/0 calm")
		if a := p.Snapshot().Records[0].Addresses; fmt.Sprint(a) != "[192.0.2.8]" {
			t.Errorf("Answered at %v, want the new address", a)
		}
	})
}

func TestAMachineThatCannotAskBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		time.Sleep(5 * time.Second)
		w.kill(outOfDescriptors, 1, 2)
		time.Sleep(time.Hour)
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 calm")
		if n := len(w.asked(1)); n > 3600/10+5 {
			t.Errorf("Asked %d times in an hour without a verdict", n)
		}
	})
}

func TestCheckedAfterTheFirstRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill(silent, 2)
		p := run(t, w, hosts(2), nil)
		time.Sleep(time.Second)
		if p.Snapshot().Checked {
			t.Error("Checked before the silent host's first probe has ended")
		}
		time.Sleep(2 * time.Second)
		if !p.Snapshot().Checked {
			t.Error("Not checked though each host was asked")
		}
	})
}

func TestMemory(t *testing.T) {
	for name, tt := range map[string]struct {
		age     time.Duration
		kind    config.ProbeKind
		want    State
		checked bool
	}{
		"fresh":                 {believable - time.Second, config.ProbeRPC, Down, true},
		"older than 5 minutes":  {believable + time.Second, config.ProbeRPC, Unchecked, false},
		"from the future":       {-time.Second, config.ProbeRPC, Unchecked, false},
		"another kind of probe": {0, config.ProbeTCP, Unchecked, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.kill(refused, 1)
				old := run(t, w, hosts(1), nil)
				time.Sleep(20 * time.Second)
				m := old.Remember()
				one := m["192.0.2.1:1688"]
				one.At, one.Kind = one.At.Add(-tt.age), tt.kind
				m["192.0.2.1:1688"] = one
				p := New(hosts(2), config.Default().Probe, w.means(), m)
				if got := p.Hosts()[0].State; got != tt.want {
					t.Errorf("Got %s, want %s", got, tt.want)
				}
				if got := p.Hosts()[1].State; got != Unchecked {
					t.Errorf("A new host is %s", got)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		old := run(t, w, hosts(1), nil)
		time.Sleep(time.Second)
		if err := old.Drain("192.0.2.1:1688", Drainage{}); err != nil {
			t.Fatal(err)
		}
		m := old.Remember()
		time.Sleep(time.Hour)
		if got := New(hosts(1), config.Default().Probe, w.means(), m).Hosts()[0].State; got != Drained {
			t.Errorf("A drained host is %s after an hour's restart: a person's decision does not go stale", got)
		}
	})
}

// TestStalled: a pool is stuck when its probes do not come back, and never because of what ails its hosts.
func TestStalled(t *testing.T) {
	forever := make(chan struct{})
	tests := []struct {
		name  string
		hosts []config.Host
		die   func(context.Context) probe.Result
		want  bool
	}{
		{"dead hosts", hosts(3), refused, false},
		{"a machine that cannot ask", hosts(3), outOfDescriptors, false},
		{"names that never resolve", named("kms.example.org"), nil, false},
		{"nobody to ask", nil, nil, false},
		{"probes that do not come back", hosts(3), func(context.Context) probe.Result { <-forever; return probe.Result{} }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				forever = make(chan struct{})
				w := newWorld()
				w.kill(tt.die, 1, 2, 3)
				p := run(t, w, tt.hosts, nil)
				defer close(forever)
				for range 60 {
					time.Sleep(time.Minute)
					if p.Stalled() && !tt.want {
						t.Fatalf("Stuck, at an age of %s", p.Age())
					}
				}
				if p.Stalled() != tt.want {
					t.Errorf("Stuck %v after an hour, at an age of %s", p.Stalled(), p.Age())
				}
			})
		})
	}
}

// TestASnapshotPerChange: probes that change nothing publish nothing.
func TestASnapshotPerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(3), nil)
		time.Sleep(3 * time.Second)
		s := p.Snapshot()
		time.Sleep(time.Hour)
		if p.Snapshot() != s {
			t.Errorf("Serial went from %d to %d in a calm hour", s.Serial, p.Snapshot().Serial)
		}
		if p.Age() > 11*time.Second {
			t.Errorf("Age %s", p.Age())
		}
	})
}

// TestAdvertise: this node is in the answer while a host is alive, and never among the hosts.
func TestAdvertise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(2), nil)
		p.Advertise(Record{Endpoint: "node:1688", Name: "node.example.org.", Port: 1688, Priority: 5})
		answered := func() string {
			var all []string
			for _, r := range p.Answer().Records {
				all = append(all, fmt.Sprintf("%s/%d", strings.TrimSuffix(r.Endpoint, ":1688"), r.Priority))
			}
			return strings.Join(all, " ") + " " + p.Answer().Condition.String()
		}
		time.Sleep(5 * time.Second)
		for _, step := range []struct {
			do   func()
			wait time.Duration
			want string
		}{
			{func() {}, 0, "192.0.2.1/0 192.0.2.2/1 node/5 calm"},
			{func() { w.kill(refused, 1) }, 7 * time.Second, "192.0.2.2/1 node/5 192.0.2.1/6 unsettled"},
			{func() {}, 30 * time.Second, "192.0.2.2/1 node/5 calm"},
			{func() { w.kill(refused, 2) }, 30 * time.Second, "192.0.2.1/0 all-down"}, // nobody to serve for
			{func() { w.revive(1, 2) }, 2 * time.Minute, "192.0.2.1/0 192.0.2.2/1 node/5 calm"},
			{func() { w.kill(silent, 1, 2) }, 40 * time.Second, "192.0.2.1/0 192.0.2.2/1 node/5 self-suspected"},
			{p.Withdraw, 0, "192.0.2.1/0 192.0.2.2/1 self-suspected"},
		} {
			step.do()
			time.Sleep(step.wait)
			synctest.Wait()
			if got := answered(); got != step.want {
				t.Errorf("Got %q, want %q", got, step.want)
			}
		}
		expect(t, p, "192.0.2.1/0 192.0.2.2/1 self-suspected")
	})
}
