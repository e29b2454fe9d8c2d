package kmsresponder

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

// TestPreferences: what a person is told of the order is the order, and why.
func TestPreferences(t *testing.T) {
	someone := ledger.ByAddress(netip.MustParseAddr("192.0.2.1"))
	served := func(clients int, endpoint string) *ledger.Ledger {
		l := ledger.New(0)
		for n := range clients {
			var id [16]byte
			binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
			l.Enter(ledger.Call{At: time.Now(), Client: ledger.ByCMID(id), Host: endpoint, Counted: true})
		}
		return l
	}
	a, b, c := hostAt("127.0.0.1:1001", 0), hostAt("127.0.0.1:1002", 0), hostAt("127.0.0.1:1003", 5)
	for _, tc := range []struct {
		name   string
		config GatewayConfig
		want   []string // of each host in order, a part of its line
	}{
		{"nobody came yet", GatewayConfig{Ledger: served(0, "")}, []string{
			"127.0.0.1:1001 priority 0, the only one that is open: 0 clients, and at 100 the next one is opened (policy concentrate)",
			"127.0.0.1:1002 priority 0, not opened yet: the 1 in front of it have 0 clients, and it takes 100 for another",
			"127.0.0.1:1003 priority 5, alone there",
		}},
		{"nobody counts", GatewayConfig{}, []string{"1001 priority 0, the only one that is open", "1002 priority 0, not opened", "1003 priority 5"}},
		{"two are open", GatewayConfig{Ledger: served(120, a.Endpoint())}, []string{
			"priority 0, one of 2 that share 120 clients", "priority 0, one of 2 that share 120 clients", "priority 5, alone there",
		}},
		{"spread", GatewayConfig{Policy: config.Spread}, []string{"weight 0: drawn anew", "weight 0: drawn anew", "127.0.0.1:1003 priority 5, weight 0: drawn anew"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Pool = poolOf(a, b, c)
			g := NewGateway(tc.config)
			got := g.Preferences(someone, kmswire.V6)
			if len(got) != len(tc.want) {
				t.Fatalf("%d hosts: %+v", len(got), got)
			}
			for i, p := range got {
				if line := p.Host + " " + p.Why; !strings.Contains(line, tc.want[i]) {
					t.Errorf("place %d: %q, want %q", i, line, tc.want[i])
				}
			}
		})
	}

	t.Run("it declined", func(t *testing.T) {
		g := NewGateway(GatewayConfig{Pool: poolOf(a, b)})
		g.memory.add(refused{someone, kmswire.V6, a.Endpoint()}, time.Now())
		got := g.Preferences(someone, kmswire.V6)
		if got[0].Host != b.Endpoint() || got[1].Host != a.Endpoint() || !strings.Contains(got[1].Why, "it declined this client") {
			t.Errorf("%+v", got)
		}
		if got := g.Preferences(someone, kmswire.V5); got[0].Host != a.Endpoint() {
			t.Errorf("of another version: %+v", got)
		}
	})
}

// TestAsks: a call that went to more than one host says which, in order; one
// that did not says nothing that its host does not say.
func TestAsks(t *testing.T) {
	dead, kill := start(t, new(Rehearsal))
	kill()
	alive, _ := start(t, new(Rehearsal))
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(dead, 0), hostAt(alive, 1)), Observer: w})
	thirty(addr).Round(t.Context(), nil)
	if len(w.called) == 0 {
		t.Fatal("no call was seen")
	}
	failedOver := 0
	for _, r := range w.called {
		if r.Failovers == 0 {
			if r.Asks != nil {
				t.Errorf("one host was asked, and yet %+v", r.Asks)
			}
			continue
		}
		failedOver++
		if n := len(r.Asks); n < 2 || r.Asks[0].Host != dead || r.Asks[0].Outcome != Dead || r.Asks[n-1].Host != alive || r.Asks[n-1].Outcome != Answered {
			t.Errorf("asked %+v", r.Asks)
		}
	}
	if failedOver == 0 {
		t.Error("no call went to a second host")
	}
}
