package registry

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

const day = 24 * time.Hour

// aging is a registry with hosts 1 to n, whose expiries are written down.
func aging(t *testing.T, hosts int) (g *rig, expired *[]string) {
	g = prepare(t, settings(16), t.TempDir()+"/kms.db")
	expired = new([]string)
	began := time.Now()
	g.OnExpired = func(c Claim) {
		*expired = append(*expired, strings.TrimSuffix(c.Target, ".example.org.")+" after "+time.Since(began).Truncate(time.Hour).String())
	}
	g.run()
	for n := range hosts {
		g.put(announced(n + 1))
	}
	return g, expired
}

func TestLeases(t *testing.T) {
	for name, tt := range map[string]struct {
		during func(g *rig, n *network, p *pool.Pool)
		want   string // of kms1, dead from the beginning; kms2, dead from hour 10; kms3, which lives
	}{
		"never announced again": {func(*rig, *network, *pool.Pool) {}, "kms2 after 34h0m0s, kms1 after 72h0m0s"},
		"announced again while it is down": {func(g *rig, n *network, p *pool.Pool) {
			time.Sleep(20 * time.Hour)
			g.put(announced(1), announced(2))
		}, "kms1 after 102h0m0s, kms2 after 102h0m0s"},
		"announced again after it had run out": {func(g *rig, n *network, p *pool.Pool) {
			time.Sleep(50 * time.Hour)
			g.put(announced(2))
		}, "kms2 after 34h0m0s, kms1 after 72h0m0s, kms2 after 132h0m0s"},
		"back before it ran out": {func(g *rig, n *network, p *pool.Pool) {
			time.Sleep(20 * time.Hour)
			n.set(false, 2)
		}, "kms1 after 72h0m0s"},
		"drained, switched off and put back": {func(g *rig, n *network, p *pool.Pool) {
			_ = p.Drain("kms2.example.org:1688", pool.Drainage{By: "ann"})
			time.Sleep(2 * day)
			_ = p.Undrain("kms2.example.org:1688")
		}, "kms2 after 58h0m0s, kms1 after 72h0m0s"},
		"a shorter lease by a reload": {func(g *rig, n *network, p *pool.Pool) {
			u := settings(16)
			u.Lease = 20 * time.Hour
			g.Configure(u)
		}, "kms1 after 20h0m0s, kms2 after 30h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				g, expired := aging(t, 3)
				u := settings(16)
				u.Lease = 3 * day
				g.Configure(u)
				n := &network{}
				n.set(true, 1)
				p := g.fed(n)
				g.change(func(d *Draft) error { // so that no names are looked up for weeks
					return errors.Join(d.PutAddress(record(1, address(1))), d.PutAddress(record(2, address(2))), d.PutAddress(record(3, address(3))))
				})
				time.Sleep(10 * time.Hour)
				n.set(true, 2)
				tt.during(g, n, p)
				time.Sleep(time.Until(began.Add(6 * day)))
				g.stop()
				if got := strings.Join(*expired, ", "); got != tt.want {
					t.Errorf("Ran out: %s, want %s", got, tt.want)
				}
				if got := g.Snapshot().targets(); !strings.Contains(got, "kms3") || time.Since(g.Snapshot().Claims[0].Healthy) > 2*time.Minute {
					t.Errorf("%s are left: %+v", got, g.Snapshot().Claims)
				}
				if got := states(p); strings.Contains(tt.want, "kms2") && got != "kms3 up" {
					t.Errorf("The pool has %s", got)
				}
			})
		})
	}
}

// TestTheDiskIsCalm: a healthy host costs a write an hour, and the end loses nothing.
func TestTheDiskIsCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := aging(t, 3)
		g.fed(&network{})
		stored := map[string]bool{}
		for range 24 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := g.store.View(func(tx *store.Tx) error {
				stored[string(tx.Get(store.Registrations, "test|kms1.example.org:1688"))] = true
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if age := time.Since(g.Snapshot().Claims[0].Healthy); age > 2*time.Minute {
				t.Fatalf("Healthy %s ago, as the snapshot has it", age)
			}
		}
		if len(stored) < 24 || len(stored) > 26 {
			t.Errorf("%d different values were stored in a day, want one an hour", len(stored))
		}
		time.Sleep(30 * time.Minute)
		healthy := g.Snapshot().Claims[0].Healthy
		g.compare() // and not up to an hour older
		if healthy.IsZero() {
			t.Error("It was never healthy")
		}
	})
}

// TestTimeGoesOnWithoutTheStore: what cannot be stored does not happen, is heard of, and happens once it can.
func TestTimeGoesOnWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := prepare(t, settings(16), t.TempDir()+"/kms.db")
		var troubles []error
		var expired int
		g.OnTrouble = func(err error) { troubles = append(troubles, err) }
		g.OnExpired = func(Claim) { expired++ }
		g.run()
		g.put(announced(1))
		if err := g.store.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7*day + 10*time.Minute + time.Second)
		g.stop()
		if expired != 0 || g.Snapshot().targets() != "kms1" {
			t.Errorf("%d ran out, which nobody knows after a restart", expired)
		}
		if len(troubles) != 11 || !errors.Is(troubles[0], ErrNotStored) {
			t.Errorf("Heard of %v, want one a minute", troubles)
		}
	})
}

func TestAddressesRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, expired := aging(t, 1)
		n := &network{}
		p := g.fed(n)
		g.change(func(d *Draft) error {
			return errors.Join(d.PutAddress(record(1, address(1))), d.PutAddress(record(2, address(2))), d.PutAddress(record(2, address(3))))
		})
		time.Sleep(6 * day)
		g.change(func(d *Draft) error { return d.PutAddress(record(2, address(3))) })
		time.Sleep(2 * day)
		if a := g.Snapshot().Addresses; len(a["kms1.example.org."]) != 1 || len(a["kms2.example.org."]) != 1 || a["kms2.example.org."][0] != address(3) {
			t.Errorf("After 8 days: %v, want those of a living claim and the renewed", a)
		}
		time.Sleep(6 * day)
		if a := g.Snapshot().Addresses; len(a) != 1 || len(a["kms1.example.org."]) != 1 {
			t.Errorf("After 14 days: %v", a)
		}
		n.set(true, 1)
		time.Sleep(2 * day)
		synctest.Wait() // the registry may be at work this very moment
		if a := g.Snapshot().Addresses; len(a) != 0 || len(*expired) != 1 || states(p) != "" {
			t.Errorf("A day after the host died: %v, %v, the pool has %q", a, *expired, states(p))
		}
	})
}

// TestNothingRunsOutRightAfterAStart, for nobody could renew it while the server was off. See settle.
func TestNothingRunsOutRightAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/kms.db"
		g := reopen(t, settings(4), path)
		n := &network{}
		n.set(true, 2)
		g.fed(n)
		g.put(announced(1), announced(2))
		g.change(func(d *Draft) error { return d.PutAddress(record(3, address(3))) })
		time.Sleep(time.Hour)
		g.compare()    // ends it
		n.set(true, 1) // a power cut, and a long weekend
		time.Sleep(8 * day)
		g = reopen(t, settings(4), path)
		g.fed(n)
		time.Sleep(50 * time.Minute)
		if got := g.Snapshot().targets(); got != "kms1 kms2" || len(g.Snapshot().Addresses) != 1 {
			t.Fatalf("After 50 minutes %s are left", got)
		}
		n.set(false, 1) // somebody found the switch
		time.Sleep(15 * time.Minute)
		if got := g.Snapshot().targets(); got != "kms1" || len(g.Snapshot().Addresses) != 0 {
			t.Errorf("After an hour %s are left, want who is up", got)
		}
	})
}

// TestTheClockWentBack: what is stored from the future counts from now.
func TestTheClockWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/kms.db"
		g := reopen(t, settings(4), path)
		future := time.Now().Add(3650 * day)
		never, once := announced(1), announced(2)
		never.Updated, once.Updated, once.Healthy = future, future, future.Add(time.Hour)
		g.put(never, once)
		g.change(func(d *Draft) error {
			a := record(3, address(3))
			a.Updated = future
			return errors.Join(d.PutAddress(a), d.PutAddress(record(3, address(4))))
		})
		g.compare() // ends it
		g = reopen(t, settings(4), path)
		for _, step := range []struct {
			wait            time.Duration
			want            string
			names, adresses int
		}{
			{23 * time.Hour, "kms1 kms2", 1, 2},
			{2 * time.Hour, "kms1", 1, 2}, // a day after it was last healthy
			{5*day + 23*time.Hour - 2*time.Minute, "kms1", 1, 2},
			{4 * time.Minute, "", 0, 0},
		} {
			time.Sleep(step.wait)
			s := g.Snapshot()
			if got := s.targets(); got != step.want || len(s.Addresses) != step.names || len(s.Addresses["kms3.example.org."]) != step.adresses {
				t.Errorf("%s later: %q and %v, want %q", step.wait, got, s.Addresses, step.want)
			}
		}
	})
}
