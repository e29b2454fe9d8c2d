package kmsresponder

import (
	"net/netip"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

var (
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	alice = netip.MustParseAddr("10.0.0.1")
	bob   = netip.MustParseAddr("fe80::1%eth0")
)

func clientOf(n int) ledger.Client {
	q, _ := kmswire.ParseRequestV4(messageV4(n))
	return ledger.ByCMID(q.CMID)
}

func TestAllowed(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.16.0.1": true, "172.32.0.1": false, "192.168.255.255": true,
		"169.254.1.1": true, "8.8.8.8": false, "::1": true, "fd00::1": true, "fe80::1%eth0": true, "2001:db8::1": false,
	} {
		if got := allowed(usual.Allow, netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if allowed(usual.Allow, netip.Addr{}) {
		t.Error("no address is allowed")
	}
}

func TestAdmissionConnections(t *testing.T) {
	a, l := newAdmission(), Limits{Connections: 3, Client: 2, Rate: -1}
	enter := func(from netip.Addr, want Refusal, wantOK bool) *guest {
		t.Helper()
		g, why, ok := a.enter(from, noon, l)
		if ok != wantOK || !ok && why != want {
			t.Errorf("%v: %v, %v", from, why, ok)
		}
		return g
	}
	first := enter(alice, 0, true)
	enter(alice, 0, true)
	enter(alice, RefusedClient, false)
	other := enter(bob, 0, true)
	enter(bob, RefusedConnections, false)
	if a.open() != 3 {
		t.Errorf("%d open", a.open())
	}
	a.leave(alice, first, noon)
	enter(alice, 0, true)
	a.leave(alice, first, noon)
	a.leave(alice, first, noon)
	a.leave(bob, other, noon)
	if a.open() != 0 || len(a.guests) != 0 {
		t.Errorf("%d open, %d remembered", a.open(), len(a.guests))
	}
	l = Limits{Connections: -1, Client: -1}
	for range 1000 {
		enter(alice, 0, true)
	}
}

func TestAdmissionRate(t *testing.T) {
	a, l := newAdmission(), Limits{Connections: -1, Client: -1, Rate: 6}
	g, _, _ := a.enter(alice, noon, l)
	now := noon
	take := func(want int) {
		t.Helper()
		n := 0
		for range 20 {
			if a.request(g, now, l) {
				n++
			}
		}
		if n != want {
			t.Errorf("%v later: %d requests, want %d", now.Sub(noon), n, want)
		}
	}
	take(6)
	now = now.Add(9 * time.Second)
	take(0)
	now = now.Add(time.Second)
	take(1)
	a.leave(alice, g, now)
	if again, _, _ := a.enter(alice, now, l); again != g {
		t.Error("a new connection makes a new client")
	}
	now = now.Add(59 * time.Second)
	take(5)
	now = now.Add(time.Hour)
	take(6)
	a.leave(alice, g, now)
	a.sweep(now.Add(59 * time.Second))
	if len(a.guests) != 1 {
		t.Error("forgotten early")
	}
	a.sweep(now.Add(time.Minute))
	if len(a.guests) != 0 {
		t.Error("not forgotten")
	}
	if !a.request(g, now, Limits{Rate: -1}) || a.request(g, now.Add(time.Hour), Limits{}) {
		t.Error("no limit limits, or a limit of none lets in")
	}
}

func TestHousehold(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::", "2001:db8::ffff:1": "2001:db8::", "2001:db8:0:1::1": "2001:db8:0:1::",
		"fe80::1%eth0": "fe80::",
	} {
		if got := household(netip.MustParseAddr(address)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

// TestAdmissionBounded: addresses without a connection do not add up.
func TestAdmissionBounded(t *testing.T) {
	a, l := newAdmission(), Limits{Connections: -1, Client: -1, Rate: 1}
	address := netip.MustParseAddr("10.1.0.0")
	staying, _, _ := a.enter(alice, noon, l)
	for range maxGuests + 10 {
		address = address.Next()
		g, _, ok := a.enter(address, noon, l)
		if !ok || !a.request(g, noon, l) {
			t.Fatal("refused")
		}
		a.leave(address, g, noon)
	}
	if len(a.guests) > maxGuests || a.guests[alice] != staying {
		t.Errorf("%d addresses", len(a.guests))
	}
}

func TestMemory(t *testing.T) {
	var m memory
	r := refused{clientOf(1), kmswire.V6, "a"}
	if m.has(r, noon) {
		t.Error("remembered before")
	}
	m.forget(r)
	m.add(r, noon)
	for _, other := range []refused{{clientOf(2), kmswire.V6, "a"}, {clientOf(1), kmswire.V5, "a"}, {clientOf(1), kmswire.V6, "b"}} {
		if m.has(other, noon) {
			t.Errorf("%v is taken for %v", other, r)
		}
	}
	if !m.has(r, noon.Add(declinedFor-1)) || m.has(r, noon.Add(declinedFor)) {
		t.Error("not remembered for as long as it should be")
	}
	m.add(r, noon.Add(time.Hour))
	if !m.has(r, noon.Add(declinedFor)) {
		t.Error("not refreshed")
	}
	m.forget(r)
	if m.has(r, noon) || m.size.Load() != 0 {
		t.Error("not forgotten")
	}
	for n := range maxDeclined + 3 {
		m.add(refused{clientOf(n), kmswire.V6, "a"}, noon)
		if n == 3 {
			m.add(refused{clientOf(0), kmswire.V6, "a"}, noon)
		}
	}
	if len(m.by) != maxDeclined || m.latest.Len() != maxDeclined || m.has(refused{clientOf(1), kmswire.V6, "a"}, noon) ||
		!m.has(refused{clientOf(0), kmswire.V6, "a"}, noon) || !m.has(refused{clientOf(4), kmswire.V6, "a"}, noon) {
		t.Errorf("%d remembered", len(m.by))
	}
}
