package registry

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// TestAPoolHasItWhenChangeReturns: without a moment between.
func TestAPoolHasItWhenChangeReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		n := &network{}
		g.put(announced(1))
		a, b := g.fed(n), g.fed(n, config.Host{Name: "kms9.example.org.", Port: 1688, Addresses: []netip.Addr{address(9)}})
		synctest.Wait()
		for i, p := range []*pool.Pool{a, b} {
			want := []string{"kms1 claimed", "kms1 claimed, kms9 unchecked"}[i]
			if got := states(p); got != want {
				t.Errorf("A new pool has %s, want %s", got, want)
			}
		}
		g.put(announced(2))
		if got := states(a) + "; " + states(b); got != "kms1 claimed, kms2 claimed; kms1 claimed, kms2 claimed, kms9 unchecked" {
			t.Errorf("Right after Change: %s", got)
		}
		time.Sleep(5 * time.Second)
		if got := states(a) + "; " + states(b); got != "kms1 up, kms2 up; kms1 up, kms2 up, kms9 up" {
			t.Errorf("After a few probes: %s", got)
		}
		g.change(func(d *Draft) error { d.Remove("kms1.example.org.", 1688); return d.Put(announced(9)) })
		if got := states(a) + "; " + states(b); got != "kms2 up, kms9 claimed; kms2 up, kms9 up" {
			t.Errorf("Right after Change: %s", got)
		}
		g.change(func(d *Draft) error { d.Remove("kms9.example.org.", 1688); return nil })
		if got := states(a) + "; " + states(b); got != "kms2 up; kms2 up, kms9 up" {
			t.Errorf("One of the Corefile took itself away: %s", got)
		}
	})
}

// TestWhatAPoolIsTold: numbers, hints and announced addresses, each when it changes.
func TestWhatAPoolIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		p := g.fed(&network{})
		synctest.Wait()
		has := func(want string) {
			t.Helper()
			h := p.Hosts()[0]
			if got := fmt.Sprintf("%d %d %v given %v", h.Priority, h.Weight, h.Addresses, h.Host.Addresses); got != want {
				t.Errorf("Got %s, want %s", got, want)
			}
		}
		c := announced(1)
		g.put(c)
		has("0 0 [192.0.2.1] given []")
		c.Priority, c.Weight = 7, 9
		g.put(c)
		has("7 9 [192.0.2.1] given []")
		c.Hints = []netip.Addr{address(2)}
		g.put(c)
		has("7 9 [192.0.2.2] given []")
		g.change(func(d *Draft) error { return d.PutAddress(record(1, address(3))) })
		has("7 9 [192.0.2.3] given [192.0.2.3]")
		g.change(func(d *Draft) error { return d.PutAddress(record(1, address(4))) })
		has("7 9 [192.0.2.3 192.0.2.4] given [192.0.2.3 192.0.2.4]")
		g.change(func(d *Draft) error {
			d.RemoveAddress(c.Target, address(3))
			d.RemoveAddress(c.Target, address(4))
			return nil
		})
		has("7 9 [192.0.2.2] given []")
	})
}

// TestFeedEnds: the pool keeps what it has, and the next feed brings it in step, whatever happened meanwhile.
func TestFeedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		n := &network{}
		p := pool.New(nil, config.Default().Probe, n.means(), nil)
		var wg sync.WaitGroup
		feed := func() (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() { g.feed(ctx, p) })
			synctest.Wait()
			return func() { cancel(); wg.Wait() }
		}
		first := announced(1)
		first.Hints, first.Priority = nil, 3
		g.put(first, announced(2))
		stop := feed()
		stop()
		g.change(func(d *Draft) error { d.Remove("kms2.example.org.", 1688); return d.Put(announced(3)) })
		first.Priority = 0 // now it is in nothing different from what is not there
		g.put(first)
		if got := states(p); got != "kms1 claimed, kms2 claimed" || p.Hosts()[0].Priority != 3 {
			t.Errorf("After the end of the feed: %s", got)
		}
		stop = feed()
		if got := states(p); got != "kms1 claimed, kms3 claimed" || p.Hosts()[0].Priority != 0 {
			t.Errorf("Fed again: %s", got)
		}
		stop()
		if len(g.feeds) != 0 {
			t.Errorf("%d feeds are left", len(g.feeds))
		}
	})
}

// TestAttach: the hosts are there when it returns, and come and go no more after detach.
func TestAttach(t *testing.T) {
	g := start(t, settings(4))
	g.put(announced(1))
	p := pool.New(nil, config.Default().Probe, (&network{}).means(), nil)
	detach := g.Attach(p)
	if got := states(p); got != "kms1 claimed" {
		t.Errorf("After Attach: %s", got)
	}
	g.put(announced(2))
	detach()
	g.put(announced(3))
	if got := states(p); got != "kms1 claimed, kms2 claimed" {
		t.Errorf("After detach: %s", got)
	}
}

// TestAReloadKeepsProvedHosts: the successor of a pool knows them from the first moment.
func TestAReloadKeepsProvedHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		n := &network{}
		old := g.fed(n)
		g.put(announced(1))
		time.Sleep(5 * time.Second)
		n.set(true, 2)
		g.put(announced(2))
		p := pool.New(nil, config.Default().Probe, n.means(), old.Remember())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { g.feed(ctx, p) })
		synctest.Wait()
		if got := states(p); got != "kms1 up, kms2 claimed" {
			t.Errorf("The successor has %s", got)
		}
		cancel()
		wg.Wait()
	})
}

// TestARestartOffersWhoWasProved: not long ago, and nobody else.
func TestARestartOffersWhoWasProved(t *testing.T) {
	for off, want := range map[time.Duration]string{
		time.Hour:      "kms1 unchecked, kms2 claimed",
		30 * time.Hour: "kms1 claimed, kms2 claimed",
	} {
		synctest.Test(t, func(t *testing.T) {
			path := t.TempDir() + "/kms.db"
			g := reopen(t, settings(4), path)
			n := &network{}
			n.set(true, 2)
			g.fed(n)
			g.put(announced(1), announced(2))
			time.Sleep(90 * time.Second)
			g.compare() // ends it
			time.Sleep(off)
			p := pool.New(nil, config.Default().Probe, n.means(), nil)
			g = prepare(t, settings(4), path)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { g.feed(ctx, p) })
			synctest.Wait()
			if got := states(p); got != want {
				t.Errorf("Off for %s: %s, want %s", off, got, want)
			}
			cancel()
			wg.Wait()
		})
	}
}
