package registry

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestOneOwnerDrivesOutItself: who fills all places for names of hosts keeps nobody else out, and drives nobody else out: the
// addresses of a host that is not announced yet stay.
func TestOneOwnerDrivesOutItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(2))
		put := func(n int, owner string) {
			time.Sleep(time.Second)
			a := record(n, address(1))
			a.Owner, a.Updated = owner, time.Now()
			g.change(func(d *Draft) error { return d.PutAddress(a) })
		}
		for n := range 2 * maxNames {
			put(100+n, "address 192.0.2.66")
		}
		put(1, "address 192.0.2.9")
		for n := range 10 * maxNames {
			put(200+n, "address 192.0.2.66")
		}
		s := g.Snapshot()
		if got := s.Addresses[record(1, address(1)).Name]; len(got) != 1 || len(s.Addresses) != 2*maxNames {
			t.Errorf("Got %v, and %d names, want an address and %d", got, len(s.Addresses), 2*maxNames)
		}
	})
}
