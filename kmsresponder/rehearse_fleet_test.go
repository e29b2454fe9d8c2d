package kmsresponder

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// found returns a Discover that finds the hosts at addrs, in order of
// preference.
func found(addrs ...string) func(context.Context, string) ([]SRV, error) {
	return func(context.Context, string) ([]SRV, error) {
		var list []SRV
		for i, text := range addrs {
			a := netip.MustParseAddrPort(text)
			list = append(list, SRV{Target: "kms.example.org.", Port: a.Port(), Priority: uint16(i), Addresses: []netip.Addr{a.Addr()}})
		}
		return list, nil
	}
}

// TestFleet: over sockets, 30 clients make a count climb to 30, and those who
// came too early are activated in the second round.
func TestFleet(t *testing.T) {
	for _, v := range versions {
		host := &Rehearsal{NDR64: v != kmswire.V4, Name: "kms1"}
		addr, _ := start(t, host)
		f := NewFleet(30, RehearsalClient{Name: "pc", Version: v, Suffixes: []string{"example.org"}, Discover: found(addr)})
		var order []uint32
		first := f.Round(t.Context(), func(i int, a Attempt) {
			order = append(order, a.Count)
			if a.Activated() != (i >= 24) || a.HostID != "REHEARSAL-ONLY kms1" {
				t.Errorf("version %v, client %d: %+v", v, i, a)
			}
		})
		for i, count := range order {
			if count != uint32(i+1) {
				t.Errorf("version %v: client %d was answered %d", v, i, count)
			}
		}
		if first.Activated != 6 || first.Count != 30 || len(first.Hosts) != 1 || len(order) != 30 {
			t.Errorf("version %v, first round: %+v", v, first)
		}
		f.Parallel = 8
		if second := f.Round(t.Context(), nil); second.Activated != 30 || second.Count != 30 {
			t.Errorf("version %v, second round: %+v", v, second)
		}
		// The same machines come back.
		again := NewFleet(30, RehearsalClient{Name: "pc", Version: v, Suffixes: []string{"example.org"}, Discover: found(addr)})
		if r := again.Round(t.Context(), nil); r.Activated != 30 || r.Count != 30 {
			t.Errorf("version %v, a fleet of the same machines: %+v", v, r)
		}
	}
}

// TestFleetLosesItsHost: when a host is gone, the clients it has activated go to
// another.
func TestFleetLosesItsHost(t *testing.T) {
	first, stop := start(t, new(Rehearsal))
	second, _ := start(t, new(Rehearsal))
	f := NewFleet(30, RehearsalClient{Name: "srv", Group: config.ServerB, Suffixes: []string{"example.org"}, Discover: found(first, second)})
	f.Parallel = 4
	f.Round(t.Context(), nil)
	stop()
	r := f.Round(t.Context(), nil)
	// Ten is all that a host needs to know of servers.
	if r.Activated != 26 || r.Count != 10 {
		t.Errorf("%+v", r)
	}
}

// TestFleetStops: at the end of the context nothing is left running, and what
// was not made is not made up.
func TestFleetStops(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if conn, err := ln.Accept(); err == nil {
			conn.Read(make([]byte, 1))
			cancel()
			conn.Close()
		}
	})
	f := NewFleet(30, RehearsalClient{Name: "pc", Suffixes: []string{"example.org"}, Discover: found(ln.Addr().String())})
	r := f.Round(ctx, func(i int, a Attempt) { t.Errorf("client %d: %+v", i, a) })
	for i, a := range r.Attempts {
		if !a.Began.IsZero() {
			t.Errorf("client %d: %+v", i, a)
		}
	}
	if r := new(Fleet).Round(t.Context(), nil); len(r.Attempts) != 0 {
		t.Errorf("nobody: %+v", r)
	}
}
