package pool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

func TestTheCorefileWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		mine := announced(1)
		p := run(t, w, []config.Host{mine}, nil)
		time.Sleep(5 * time.Second)
		before := p.Hosts()[0]
		other := mine
		other.Priority, other.Addresses = 9, []netip.Addr{address(66)}
		p.Enlist(other, nil, false)
		if h := p.Hosts()[0]; len(p.Hosts()) != 1 || h.Announced || h.Priority != 1 || h.State != Up || !slices.Equal(h.Addresses, before.Addresses) {
			t.Errorf("Got %+v", h)
		}
		p.Dismiss(mine.Endpoint())
		p.Dismiss("nobody:1688")
		expectStates(t, p, "kms1.example.org up")
		if len(w.gone) != 0 {
			t.Errorf("Gone: %s", w.gone)
		}
	})
}

// TestAnnouncedHostsHaveOneOrder: that of the endpoints, behind the Corefile's.
func TestAnnouncedHostsHaveOneOrder(t *testing.T) {
	p := New(hosts(1), config.Default().Probe, newWorld().means(), nil)
	for _, n := range []byte{5, 9, 2, 7, 3} {
		p.Enlist(announced(n), nil, true)
	}
	p.Dismiss("kms7.example.org:1688")
	want := "192.0.2.1 unchecked, kms2.example.org unchecked, kms3.example.org unchecked, kms5.example.org unchecked, kms9.example.org unchecked"
	if got := inWords(p); got != want {
		t.Errorf("Got %s", got)
	}
}

// TestARevisedHost: new numbers and addresses, the same health.
func TestARevisedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, nil, nil)
		h := announced(7)
		p.Enlist(h, nil, false)
		time.Sleep(5 * time.Second)
		h.Priority, h.Weight = 3, 50
		p.Enlist(h, nil, false)
		if r := p.Snapshot().Records; len(r) != 1 || r[0].Priority != 3 || r[0].Weight != 50 {
			t.Fatalf("Got %+v", r)
		}
		asked := len(w.asked(8))
		h.Addresses = []netip.Addr{address(8)}
		w.kill(refused, 8)
		p.Enlist(h, nil, false)
		if a := p.Snapshot().Records[0].Addresses; fmt.Sprint(a) != "[192.0.2.8]" {
			t.Errorf("Answered at %v", a)
		}
		expectStates(t, p, "kms7.example.org up")
		time.Sleep(3 * time.Second)
		if n := len(w.asked(8)) - asked; n == 0 {
			t.Error("The new address was not asked at once")
		}
		expectStates(t, p, "kms7.example.org suspect")
		// Without given addresses the name is looked up, and until it resolves the last ones stay.
		h.Addresses = nil
		w.revive(8)
		p.Enlist(h, nil, false)
		time.Sleep(time.Minute)
		if s := p.Hosts()[0]; fmt.Sprint(s.Addresses) != "[192.0.2.8]" || s.Unresolved == nil || s.State != Up {
			t.Errorf("Got %v, unresolved: %v, %s", s.Addresses, s.Unresolved, s.State)
		}
		w.name(h.Name, 9)
		time.Sleep(35 * time.Second)
		if s := p.Hosts()[0]; fmt.Sprint(s.Addresses) != "[192.0.2.9]" {
			t.Errorf("Got %v", s.Addresses)
		}
	})
}

// TestHints: what whoever announced the host had, until the name resolves.
func TestHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, nil, nil)
		h := config.Host{Name: "kms7.example.org.", Port: 1688}
		at := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := fmt.Sprint(p.Hosts()[0].Addresses); got != want {
				t.Errorf("It has %s, want %s", got, want)
			}
		}
		p.Enlist(h, []netip.Addr{address(7)}, false)
		time.Sleep(5 * time.Second)
		expect(t, p, "kms7.example.org/0 calm")
		p.Enlist(h, []netip.Addr{address(8)}, false) // announced again from another place
		time.Sleep(3 * time.Second)
		at("[192.0.2.8]")
		if len(w.asked(8)) == 0 {
			t.Error("Not asked there at once")
		}
		p.Enlist(h, nil, false)
		at("[192.0.2.8]")
		w.name(h.Name, 9)
		time.Sleep(35 * time.Second)
		at("[192.0.2.9]")
		p.Enlist(h, []netip.Addr{address(66)}, false)
		at("[192.0.2.9]") // it resolves: that is better than a hint
		h.Addresses = []netip.Addr{address(10)}
		p.Enlist(h, []netip.Addr{address(66)}, false)
		time.Sleep(5 * time.Minute)
		at("[192.0.2.10]") // and what is given is better than both
		if len(w.asked(66)) != 0 {
			t.Error("A hint was asked that should not have been")
		}
	})
}

// TestAddressesGivenDuringALookUp: the late answer does not take their place.
func TestAddressesGivenDuringALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.name("kms7.example.org.", 9)
		m := w.means()
		m.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			time.Sleep(time.Second)
			return w.Resolve(ctx, name)
		}
		p := New(nil, config.Default().Probe, m, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		p.Enlist(config.Host{Name: "kms7.example.org.", Port: 1688, Priority: 7}, nil, false)
		time.Sleep(500 * time.Millisecond)
		p.Enlist(announced(7), nil, false)
		time.Sleep(time.Minute)
		if got := fmt.Sprint(p.Hosts()[0].Addresses); got != "[192.0.2.7]" || len(w.asked(9)) != 0 {
			t.Errorf("It has %s, and the other was asked %d times", got, len(w.asked(9)))
		}
		cancel()
		wg.Wait()
	})
}

// TestALateResultOfADismissedHost: it neither counts nor is heard of, and who comes back starts anew.
func TestALateResultOfADismissedHost(t *testing.T) {
	for name, late := range map[string]func(context.Context) probe.Result{
		"passes, though told to stop": func(context.Context) probe.Result { time.Sleep(time.Second); return probe.Result{} },
		"fails":                       func(ctx context.Context) probe.Result { time.Sleep(time.Second); return refused(ctx) },
		"stops when it is told to":    silent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				p := run(t, w, hosts(1), nil)
				p.Enlist(announced(7), nil, false)
				time.Sleep(5 * time.Second)
				expectStates(t, p, "192.0.2.1 up, kms7.example.org up")
				w.kill(late, 7)
				p.Failed("kms7.example.org:1688")
				time.Sleep(50 * time.Millisecond)
				synctest.Wait()
				if w.flying != 1 {
					t.Fatalf("%d probes under way, want one", w.flying)
				}
				p.Dismiss("kms7.example.org:1688")
				changes, heard := len(w.changes), w.heard["kms7.example.org:1688"]
				expect(t, p, "192.0.2.1/0 calm")
				p.Enlist(announced(7), nil, false)
				time.Sleep(500 * time.Millisecond)
				expectStates(t, p, "192.0.2.1 up, kms7.example.org claimed")
				p.Dismiss("kms7.example.org:1688")
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(w.changes) != changes || w.heard["kms7.example.org:1688"] != heard || w.flying != 0 {
					t.Errorf("Heard of somebody who was gone: %q, %d results; %d probes under way", w.changes[changes:],
						w.heard["kms7.example.org:1688"]-heard, w.flying)
				}
				if fmt.Sprint(w.gone) != "[kms7.example.org:1688 kms7.example.org:1688]" {
					t.Errorf("Gone: %s", w.gone)
				}
				expectStates(t, p, "192.0.2.1 up")
			})
		})
	}
}

// TestComingAndGoingPilesNothingUp: what is under way for a host that goes ends with it.
func TestComingAndGoingPilesNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.jitter = func() float64 { return -1 } // probes begin at once
		w.kill(silent, 7)
		p := run(t, w, hosts(1), nil)
		for range 1000 {
			p.Enlist(announced(7), nil, false)
			time.Sleep(time.Millisecond)
			p.Dismiss("kms7.example.org:1688")
		}
		synctest.Wait()
		if w.most > int(roundTrip/time.Millisecond)+2 {
			t.Errorf("%d probes at once", w.most)
		}
	})
}

// TestAnythingAtAnyTime: all methods at once, with probes and look-ups under way; the race detector watches.
func TestAnythingAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.name("kms3.example.org.", 13)
		w.kill(silent, 5)
		w.kill(refused, 6)
		p := run(t, w, hosts(1), nil)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(g)))
				for range 400 {
					h := announced(byte(2 + rnd.IntN(6)))
					h.Priority = uint16(rnd.IntN(3))
					if rnd.IntN(3) == 0 {
						h.Addresses = nil
					}
					switch rnd.IntN(8) {
					case 0, 1, 2:
						p.Enlist(h, []netip.Addr{address(byte(2 + rnd.IntN(6)))}, rnd.IntN(2) == 0)
					case 3:
						p.Dismiss(h.Endpoint())
					case 4:
						_ = p.Drain(h.Endpoint(), Drainage{By: "ann"})
					case 5:
						_ = p.Undrain(h.Endpoint())
					case 6:
						p.Served(h.Endpoint())
						p.Failed(h.Endpoint())
					default:
						_, _, _ = p.Hosts(), p.Remember(), p.Answer().Order(0)
					}
					time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for n := range byte(10) {
			p.Dismiss(announced(n).Endpoint())
		}
		time.Sleep(time.Minute)
		expectStates(t, p, "192.0.2.1 up")
		if w.flying != 0 {
			t.Errorf("%d probes of nobody", w.flying)
		}
	})
}
