package registry

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestMax(t *testing.T) {
	g := start(t, settings(2))
	g.put(announced(1), announced(2))
	err := g.Change(t.Context(), func(d *Draft) error { return d.Put(announced(3)) })
	if !errors.Is(err, ErrFull) {
		t.Fatalf("The third of two: %v", err)
	}
	g.put(announced(2)) // who is there may renew
	g.change(func(d *Draft) error { d.Remove("kms1.example.org.", 1688); return d.Put(announced(3)) })
	if got := g.Snapshot().targets(); got != "kms2 kms3" {
		t.Errorf("Got %s", got)
	}
	g.Configure(settings(1)) // a reload
	if err := g.Change(t.Context(), func(d *Draft) error { return d.Put(announced(4)) }); !errors.Is(err, ErrFull) {
		t.Errorf("One more than there may be now: %v", err)
	}
	g.put(announced(2), announced(3))
	if got := g.Snapshot().targets(); got != "kms2 kms3" || g.Settings().Max != 1 {
		t.Errorf("A lower max took somebody out: %s", got)
	}
}

// TestDisplaced: when all places are taken, the claim that was not renewed for longest makes place among those that never
// proved themselves; nobody else does, and none that had no time to.
func TestDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(3))
		var displaced []string
		g.OnDisplaced = func(c Claim) { displaced = append(displaced, c.Endpoint()) }
		proved := announced(1)
		proved.Healthy = time.Now()
		g.put(proved, announced(2))
		time.Sleep(time.Second)
		g.put(announced(3))
		full := func(n int) bool {
			return errors.Is(g.Change(t.Context(), func(d *Draft) error { return d.Put(announced(n)) }), ErrFull)
		}
		if !full(4) {
			t.Error("A claim that had no time to prove itself was displaced")
		}
		time.Sleep(proofTime)
		g.put(announced(4))
		if got := g.Snapshot().targets(); got != "kms1 kms3 kms4" {
			t.Errorf("Got %s", got)
		}
		g.put(announced(3)) // renewed: it has time again
		if !full(5) {
			t.Error("A proved claim, or one just renewed, was displaced")
		}
		if got := fmt.Sprint(displaced); got != "[kms2.example.org:1688]" {
			t.Errorf("Heard of %s", got)
		}
		g.Configure(settings(2))
		time.Sleep(proofTime)
		if !full(5) {
			t.Error("Somebody came in though there are more than may be")
		}
	})
}

func TestFind(t *testing.T) {
	g := start(t, settings(4))
	other := announced(1)
	other.Port, other.Priority = 1689, 7
	g.put(announced(2), other, announced(1))
	g.change(func(d *Draft) error {
		if c, ok := d.Find("KMS1.example.org.", 1689); !ok || c.Priority != 7 {
			t.Errorf("Got %+v, %v", c, ok)
		}
		if _, ok := d.Find("kms1.example.org.", 1690); ok {
			t.Error("Another port is found")
		}
		var order []string
		for _, c := range d.Claims() {
			order = append(order, c.Endpoint())
		}
		if got := fmt.Sprint(order); got != "[kms1.example.org:1688 kms1.example.org:1689 kms2.example.org:1688]" {
			t.Errorf("Got %s", got)
		}
		d.Remove("Kms1.example.org.", 1689)
		d.Remove("nobody.example.org.", 1689)
		if _, ok := d.Find("kms1.example.org.", 1689); ok || len(d.Claims()) != 2 {
			t.Error("Removed, and still there")
		}
		return nil
	})
}

func TestWhatCannotBeAHost(t *testing.T) {
	g := start(t, settings(4))
	for _, c := range []Claim{{Target: "kms1", Port: 1688}, {Target: "kms1.example.org.", Port: 0}, {Target: "a|b.example.org.", Port: 1}} {
		err := g.Change(t.Context(), func(d *Draft) error { return d.Put(c) })
		if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrNotStored) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if got := g.Snapshot().targets(); got != "" {
		t.Errorf("Got %s", got)
	}
}

// TestAnAnnouncementWithoutTime is of now: a stored one without a time would be taken for damaged.
func TestAnAnnouncementWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		g.put(Claim{Target: "kms1.example.org.", Port: 1688})
		g.change(func(d *Draft) error { return d.PutAddress(Address{Name: "kms1.example.org.", IP: address(1)}) })
		g.change(func(d *Draft) error {
			if c, a := d.Claims()[0], d.Addresses("kms1.example.org.")[0]; !c.Updated.Equal(time.Now()) || !a.Updated.Equal(time.Now()) {
				t.Errorf("Got %s, %s", c.Updated, a.Updated)
			}
			return nil
		})
	})
}

// TestPutKeepsHealth: an announcement knows nothing of health, however it is made.
func TestPutKeepsHealth(t *testing.T) {
	g := start(t, settings(4))
	was := time.Now().Add(-time.Hour).Round(0).UTC()
	c := announced(1)
	c.Healthy = was
	g.put(c)
	for name, edit := range map[string]func(*Draft) error{
		"renewed":                     func(d *Draft) error { return d.Put(announced(1)) },
		"removed and put in one edit": func(d *Draft) error { d.Remove(c.Target, c.Port); return d.Put(announced(1)) },
		"put, removed and put in one": func(d *Draft) error {
			return errors.Join(d.Put(announced(1)), remove(d, c), d.Put(announced(1)))
		},
	} {
		g.change(edit)
		if got := g.Snapshot().Claims[0].Healthy; got != was {
			t.Errorf("%s: last healthy %s, want %s", name, got, was)
		}
	}
	g.change(func(d *Draft) error { return remove(d, c) })
	g.put(announced(1))
	if got := g.Snapshot().Claims[0].Healthy; !got.IsZero() {
		t.Errorf("It went and came back, and is healthy since %s", got)
	}
}

func remove(d *Draft, c Claim) error { d.Remove(c.Target, c.Port); return nil }

// TestAFailedEditLeavesNothing, though it had done all there is to do.
func TestAFailedEditLeavesNothing(t *testing.T) {
	g := start(t, settings(2))
	g.put(announced(1), announced(2))
	g.change(func(d *Draft) error {
		return errors.Join(d.PutAddress(record(1, address(1))), d.PutAddress(record(2, address(2))), d.PutAddress(record(2, address(3))))
	})
	before, snapshot := g.book.text(), g.Snapshot()
	failed := errors.New("prerequisite not met")
	everything := func(d *Draft) {
		d.Remove("kms1.example.org.", 1688)
		c := announced(2)
		c.Priority = 9
		_, _ = d.Put(c), d.Put(announced(3))
		d.RemoveAddress("kms1.example.org.", address(1))
		a := record(2, address(2))
		a.Owner = "somebody else"
		_, _, _ = d.PutAddress(a), d.PutAddress(record(3, address(3))), d.PutAddress(record(2, address(9)))
		for n := range 20 { // until one makes place for another
			_ = d.PutAddress(record(100+n, address(n)))
		}
	}
	for name, edit := range map[string]func(*Draft) error{
		"fails":  func(d *Draft) error { everything(d); return failed },
		"panics": func(d *Draft) error { everything(d); panic("index out of range") },
	} {
		if err := g.Change(t.Context(), edit); err == nil {
			t.Errorf("An edit that %s succeeds", name)
		}
		if got := g.book.text(); got != before || g.Snapshot() != snapshot {
			t.Errorf("An edit that %s leaves\n%s\nof\n%s", name, got, before)
		}
	}
	if err := g.Change(t.Context(), func(*Draft) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Got %v, want the edit's own error", err)
	}
}

// TestADraftEndsWithItsEdit: whoever keeps it cannot change anything behind the registry's back.
func TestADraftEndsWithItsEdit(t *testing.T) {
	g := start(t, settings(2))
	var kept *Draft
	g.change(func(d *Draft) error { kept = d; return nil })
	defer func() {
		if recover() == nil {
			t.Error("A Draft works after its edit")
		}
	}()
	kept.Remove("kms1.example.org.", 1688)
}

func TestAddresses(t *testing.T) {
	g := start(t, settings(2))
	six := netip.MustParseAddr("2001:db8::1")
	g.change(func(d *Draft) error {
		return errors.Join(d.PutAddress(record(1, six)), d.PutAddress(record(1, address(2))), d.PutAddress(record(1, address(1))),
			d.PutAddress(record(1, address(1))))
	})
	if got := fmt.Sprint(g.Snapshot().Addresses); got != "map[kms1.example.org.:[192.0.2.1 192.0.2.2 2001:db8::1]]" {
		t.Errorf("Got %s", got)
	}
	before := g.Snapshot()
	g.change(func(d *Draft) error {
		if got := d.Addresses("KMS1.example.org."); len(got) != 3 || got[0].Owner != "key ann." {
			t.Errorf("Got %+v", got)
		}
		d.RemoveAddress("KMS1.example.org.", address(2))
		d.RemoveAddress("kms1.example.org.", address(66))
		d.RemoveAddress("nobody.example.org.", address(66))
		return nil
	})
	if got := fmt.Sprint(g.Snapshot().Addresses); got != "map[kms1.example.org.:[192.0.2.1 2001:db8::1]]" {
		t.Errorf("Got %s", got)
	}
	if len(before.Addresses["kms1.example.org."]) != 3 {
		t.Error("A published snapshot was changed")
	}
	g.change(func(d *Draft) error {
		d.RemoveAddress("kms1.example.org.", address(1))
		d.RemoveAddress("kms1.example.org.", six)
		return nil
	})
	if n := len(g.Snapshot().Addresses); n != 0 {
		t.Errorf("%d names without an address are left", n)
	}
}

func TestAddressesAreBounded(t *testing.T) {
	g := start(t, settings(1)) // so 4 names may have addresses
	began := time.Now()
	put := func(name, ip, minute int) error {
		return g.Change(context.Background(), func(d *Draft) error {
			a := record(name, address(ip))
			a.Updated = began.Add(time.Duration(minute) * time.Minute)
			return d.PutAddress(a)
		})
	}
	for ip := range 8 {
		if err := put(1, ip, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(1, 8, 0); !errors.Is(err, ErrFull) {
		t.Errorf("The ninth address of a name: %v", err)
	}
	if err := put(1, 7, 5); err != nil {
		t.Errorf("Renewing one of the eight: %v", err)
	}
	for name, minute := range map[int]int{2: 3, 3: 2, 4: 4} {
		if err := put(name, name, minute); err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		var all []int
		for n := range 10 {
			if _, ok := g.Snapshot().Addresses[announced(n).Target]; ok {
				all = append(all, n)
			}
		}
		return fmt.Sprint(all)
	}
	if err := put(5, 5, 9); err != nil || names() != "[1 2 4 5]" { // 1 was renewed, but for seven of its addresses
		t.Errorf("%v: %s have addresses, want that the longest not renewed gave way", err, names())
	}
	g.put(announced(2))
	if err := put(6, 6, 9); err != nil || names() != "[1 2 5 6]" { // 4 and not 2, which is somebody's target
		t.Errorf("%v: %s have addresses, want that the target of a claim stays", err, names())
	}
	g.Configure(settings(8))
	g.put(announced(1), announced(5), announced(6))
	g.Configure(settings(1))
	if err := put(7, 7, 9); !errors.Is(err, ErrFull) || names() != "[1 2 5 6]" {
		t.Errorf("%v: %s have addresses, want no place beside targets of claims", err, names())
	}
	if err := put(6, 9, 9); err != nil {
		t.Errorf("Another address of a name that is there: %v", err)
	}
}
