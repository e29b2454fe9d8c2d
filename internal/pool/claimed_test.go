package pool

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// announced is the host kmsN.example.org, with the given address 192.0.2.N and priority N.
func announced(n byte) config.Host {
	return config.Host{Name: fmt.Sprintf("kms%d.example.org.", n), Port: 1688, Priority: uint16(n), Addresses: []netip.Addr{address(n)}}
}

// inWords is every host and its state: "192.0.2.1 up, kms7.example.org claimed".
func inWords(p *Pool) string {
	var all []string
	for _, h := range p.Hosts() {
		all = append(all, fmt.Sprintf("%s %s", strings.TrimSuffix(h.Endpoint(), ":1688"), h.State))
	}
	return strings.Join(all, ", ")
}

func expectStates(t *testing.T, p *Pool, want string) {
	t.Helper()
	synctest.Wait()
	if got := inWords(p); got != want {
		t.Errorf("Hosts: %s, want %s", got, want)
	}
}

func TestAClaimIsOfferedOnceProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		time.Sleep(5 * time.Second)
		p.Enlist(announced(7), nil, false)
		if got := inWords(p); got != "192.0.2.1 up, kms7.example.org claimed" {
			t.Errorf("Right after Enlist: %s", got)
		}
		if s := p.Snapshot(); !s.Checked || s.Standing != 1 {
			t.Errorf("With a claim: checked %v, %d may be asked", s.Checked, s.Standing)
		}
		if h := p.Hosts(); h[0].Announced || !h[1].Announced {
			t.Errorf("Announced: %v, %v", h[0].Announced, h[1].Announced)
		}
		time.Sleep(time.Second)
		expect(t, p, "192.0.2.1/0 calm") // one pass is no proof
		if len(w.asked(7)) != 1 {
			t.Errorf("Asked %d times in the first second, want once", len(w.asked(7)))
		}
		time.Sleep(2 * time.Second)
		expect(t, p, "192.0.2.1/0 kms7.example.org/7 calm")
		if got := fmt.Sprint(w.changes[1:]); got != "[7.51s kms7.example.org:1688 up]" {
			t.Errorf("Transitions %s", got)
		}
		w.kill(refused, 7) // from now on it is like any other
		time.Sleep(20 * time.Second)
		expectStates(t, p, "192.0.2.1 up, kms7.example.org down")
		w.revive(7)
		if n := p.Snapshot().Standing; n != 2 {
			t.Errorf("With one down: %d may be asked", n)
		}
		time.Sleep(70 * time.Second)
		expect(t, p, "192.0.2.1/0 kms7.example.org/7 calm")
		if err := p.Drain("kms7.example.org:1688", Drainage{}); err != nil || p.Snapshot().Standing != 1 {
			t.Errorf("With one drained: %v, %d may be asked", err, p.Snapshot().Standing)
		}
	})
}

// TestAClaimThatFails is asked as a down host is, and never offered.
func TestAClaimThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		w.kill(refused, 7)
		p.Enlist(announced(7), nil, false)
		for range 360 {
			time.Sleep(time.Minute)
			expect(t, p, "192.0.2.1/0 calm")
		}
		asked := w.asked(7)
		for i, want := range []time.Duration{10, 20, 40, 60, 60} {
			if got := asked[i+1] - asked[i]; got != want*time.Second {
				t.Errorf("Pause %d: %s, want %ds", i, got, want)
			}
		}
		if n := len(asked); n < 355 {
			t.Errorf("Asked %d times in 6 hours: it stopped", n)
		}
		for range 10 { // real traffic that was under way says nothing of it
			p.Served("kms7.example.org:1688")
		}
		p.Failed("kms7.example.org:1688")
		expectStates(t, p, "192.0.2.1 up, kms7.example.org claimed")
		w.revive(7)
		time.Sleep(63 * time.Second)
		expect(t, p, "192.0.2.1/0 kms7.example.org/7 calm")
	})
}

// TestAClaimCountsForNobody: it neither keeps all-down away nor is served then, and this machine suspects itself, or not,
// whatever a claim does.
func TestAClaimCountsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		time.Sleep(5 * time.Second)
		w.kill(rejecting, 1, 7)
		p.Enlist(announced(7), nil, false)
		time.Sleep(20 * time.Second)
		expect(t, p, "192.0.2.1/0 all-down")
	})
	for _, how := range []func(context.Context) probe.Result{refused, silent, rejecting} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			p := run(t, w, hosts(2), nil)
			w.kill(how, 7)
			p.Enlist(announced(7), nil, false)
			time.Sleep(5 * time.Second)
			w.kill(silent, 1, 2)
			time.Sleep(30 * time.Second)
			expect(t, p, "192.0.2.1/0 192.0.2.2/1 self-suspected")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		w.kill(silent, 7, 8)
		p.Enlist(announced(7), nil, false)
		p.Enlist(announced(8), nil, false)
		time.Sleep(5 * time.Second)
		w.kill(silent, 1) // one real host alone shares nothing with anybody
		time.Sleep(30 * time.Second)
		expect(t, p, "192.0.2.1/0 all-down")
	})
}

func TestAProvedHostIsOfferedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.kill(silent, 7)
		p := New(nil, config.Default().Probe, w.means(), nil)
		p.Enlist(announced(7), nil, true)
		if got := offered(p); got != "kms7.example.org/7 calm" || p.Snapshot().Checked {
			t.Errorf("Got %q, checked %v: want it offered, and a round of probes before the pool is ready", got, p.Snapshot().Checked)
		}
	})
}

func TestAPoolWithoutHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, nil, nil)
		p.Advertise(Record{Endpoint: "node:1688", Name: "node.example.org.", Port: 1688})
		for range 2 {
			time.Sleep(30 * time.Second)
			expect(t, p, "all-down")
			if s := p.Snapshot(); !s.Checked || len(s.Order(7)) != 0 || len(p.Answer().Records) != 0 || p.Age() != 0 {
				t.Errorf("Checked %v, order %v, answer %v, age %s", s.Checked, s.Order(7), p.Answer().Records, p.Age())
			}
			p.Enlist(announced(7), nil, false)
			if p.Age() != 0 {
				t.Errorf("Age %s though there was nobody to ask till now", p.Age())
			}
			time.Sleep(10 * time.Second)
			expect(t, p, "kms7.example.org/7 calm")
			w.kill(refused, 7)
			time.Sleep(30 * time.Second)
			expect(t, p, "kms7.example.org/7 all-down")
			p.Dismiss("kms7.example.org:1688")
			w.revive(7)
		}
	})
}

// TestAClaimWithoutAddress waits for its name, and makes nobody else wait.
func TestAClaimWithoutAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := run(t, w, hosts(1), nil)
		time.Sleep(5 * time.Second)
		p.Enlist(config.Host{Name: "kms7.example.org.", Port: 1688}, nil, false)
		time.Sleep(10 * time.Minute)
		expect(t, p, "192.0.2.1/0 calm")
		if s := p.Hosts()[1]; s.State != Claimed || s.Last.Outcome != probe.Unresolved || !p.Snapshot().Checked {
			t.Errorf("Got %s, %s, checked %v", s.State, s.Last.Outcome, p.Snapshot().Checked)
		}
		w.name("kms7.example.org.", 7)
		time.Sleep(35 * time.Second)
		expect(t, p, "192.0.2.1/0 kms7.example.org/0 calm")
	})
}
