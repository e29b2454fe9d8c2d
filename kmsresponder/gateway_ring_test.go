package kmsresponder

import (
	"net"
	"net/netip"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// doors is n listeners for gateways whose hosts are to be each other.
func doors(t *testing.T, n int) (all []net.Listener, at []string) {
	t.Helper()
	for range n {
		ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all, at = append(all, ln), append(at, ln.Addr().String())
	}
	return all, at
}

// bothWays runs test with listeners as they are, and with such that each client
// has a goroutine of its own.
func bothWays(t *testing.T, test func(*testing.T, func(net.Listener) net.Listener)) {
	t.Run("as the system can", func(t *testing.T) { test(t, func(ln net.Listener) net.Listener { return ln }) })
	t.Run("each on its own", func(t *testing.T) {
		test(t, func(ln net.Listener) net.Listener { return unknownListener{ln.(*net.TCPListener)} })
	})
}

// busy fails the test unless the client is told that the server is too busy,
// which sends it to its next SRV record.
func busy(t *testing.T, addr string, message []byte) {
	t.Helper()
	if response, hr, err := callOnce(addr, message); err == nil || err.Error() != (hostFault{dcerpc.StatusServerTooBusy}).Error() {
		t.Errorf("Got %x, %v, %v, want a fault: too busy", response, hr, err)
	}
}

// counts is how many calls there were, how often hosts were asked in them, and
// how many were refused because they had been round.
func (w *watcher) counts() (calls, asked, loops int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.called), len(w.asked), w.refused[RefusedLoop]
}

// TestNotItsOwnHost: a responder that is a host of its own pool asks its other
// hosts, and never itself.
func TestNotItsOwnHost(t *testing.T) {
	bothWays(t, func(t *testing.T, kind func(net.Listener) net.Listener) {
		ln, at := doors(t, 1)
		h := startHost(t, new(host))
		w := newWatcher()
		alone := GatewayConfig{Pool: poolOf(hostAt(at[0], 0)), Observer: w}
		_, g, _ := startGatewayOn(t, kind(ln[0]), alone)
		busy(t, at[0], messageV4(1))
		calls, asked, loops := w.counts()
		if got := w.outcomes(at[0]); calls != 1 || asked != 1 || got[0] != Local || loops != 0 {
			t.Errorf("%d calls, asked %v, %d loops: want one call, and nobody asked", calls, got, loops)
		}
		if !g.Itself(at[0]) || g.Itself(h.addr) {
			t.Error("It does not know that it is its own host, or takes another host for one")
		}
		g.Configure(GatewayConfig{Pool: poolOf(hostAt(at[0], 0), hostAt(h.addr, 1)), Observer: w})
		mustCall(t, at[0], messageV4(2))
		if calls, _, _ := w.counts(); calls != 2 || w.last().Host != h.addr {
			t.Errorf("%d calls, the last %v, want a second one that %s answered", calls, w.last(), h.addr)
		}
	})
}

// TestOwnAddress: which addresses lead back to a gateway.
func TestOwnAddress(t *testing.T) {
	for _, tt := range []struct {
		listens, to, local string
		want               bool
	}{
		{"127.0.0.1:1688", "127.0.0.1:1688", "", true},
		{"[::ffff:192.0.2.1]:1688", "192.0.2.1:1688", "192.0.2.9", true},
		{"127.0.0.1:1688", "127.0.0.1:1689", "", false},
		{"127.0.0.1:1688", "127.0.0.2:1688", "127.0.0.1", false},
		{"192.0.2.1:1688", "127.0.0.1:1688", "127.0.0.1", false},
		{"[::]:1688", "127.0.0.2:1688", "", true},
		{"0.0.0.0:1688", "[::1]:1688", "", true}, // Go listens on both families
		{"[::]:1688", "192.0.2.1:1688", "", false},
		{"[::]:1688", "192.0.2.1:1688", "192.0.2.1", true}, // an address of this machine
		{"[::]:1688", "192.0.2.1:1688", "192.0.2.2", false},
		{"[::]:1688", "192.0.2.1:1689", "192.0.2.1", false},
	} {
		var local netip.Addr
		if tt.local != "" {
			local = netip.MustParseAddr(tt.local)
		}
		if got := (own{netip.MustParseAddrPort(tt.listens)}).is(netip.MustParseAddrPort(tt.to), local); got != tt.want {
			t.Errorf("Listening on %s, connected to %s from %q: %v, want %v", tt.listens, tt.to, tt.local, got, tt.want)
		}
	}
	if (own{}).is(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 0), netip.Addr{}) {
		t.Error("A gateway that listens nowhere has an address")
	}
}

// TestNodesInARing: of nodes that are hosts of each other, one call makes a few,
// and ends with a fault, or with the host that one of them has.
func TestNodesInARing(t *testing.T) {
	bothWays(t, func(t *testing.T, kind func(net.Listener) net.Listener) {
		// All nodes have one address here, so each takes a message twice.
		for nodes, most := range map[int]int{2: 4, 3: 80} {
			ln, at := doors(t, nodes)
			h := startHost(t, new(host))
			w := newWatcher()
			var gateways []*Gateway
			pools := func(i int, more ...config.Host) GatewayConfig {
				for j := range at {
					if j != i {
						more = append(more, hostAt(at[j], 0))
					}
				}
				return GatewayConfig{Pool: poolOf(more...), Observer: w}
			}
			for i := range ln {
				_, g, _ := startGatewayOn(t, kind(ln[i]), pools(i))
				gateways = append(gateways, g)
			}
			busy(t, at[0], messageV6(1))
			if _, asked, loops := w.counts(); asked > most || loops == 0 {
				t.Errorf("%d nodes asked each other %d times in one call, want at most %d; %d refused", nodes, asked, most, loops)
			}
			gateways[nodes-1].Configure(pools(nodes-1, hostAt(h.addr, 9)))
			mustCall(t, at[0], messageV4(2))
			if n := w.outcomes(h.addr); len(n) == 0 || n[0] != Answered {
				t.Errorf("The host was asked %v", n)
			}
			for i, g := range gateways {
				g.underWay.mu.Lock()
				n := len(g.underWay.passes)
				g.underWay.mu.Unlock()
				if n != 0 {
					t.Errorf("Node %d has %d messages under way when all is over", i, n)
				}
			}
		}
	})
}

// TestPasses: what counts as a message that has been round.
func TestPasses(t *testing.T) {
	var w underWay
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	first, ok := w.begin([]byte("one"), a)
	if !ok {
		t.Fatal("A message that is new is refused")
	}
	if _, ok := w.begin([]byte("one"), b); ok {
		t.Error("A message that is under way is taken from another address")
	}
	if _, ok := w.begin([]byte("two"), a); !ok {
		t.Error("Another message from the same address is refused: it may be that of many clients")
	}
	again, ok := w.begin([]byte("one"), a)
	if !ok {
		t.Error("A message is refused to a sender who asks again on a new connection")
	}
	if _, ok := w.begin([]byte("one"), a); ok {
		t.Error("A message is taken for the third time")
	}
	w.end(first)
	w.end(again)
	if _, ok := w.begin([]byte("one"), b); !ok {
		t.Error("A message that is over is refused")
	}
}
