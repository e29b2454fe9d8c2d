package kmsresponder

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// deafHost takes connections and whatever is sent, and says nothing.
func deafHost(t *testing.T) *host {
	return startHost(t, &host{handle: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }})
}

// TestGatewayCountsAnnouncedHosts: hosts that announce themselves while it runs are hosts like those it began with.
func TestGatewayCountsAnnouncedHosts(t *testing.T) {
	t.Run("a hung host leaves time for them", func(t *testing.T) {
		silent, well := deafHost(t), startHost(t, &host{})
		p, w := poolOf(hostAt(silent.addr, 0)), newWatcher()
		addr, _, _ := startGateway(t, GatewayConfig{Pool: p, Observer: w, Budget: 2 * time.Second})
		p.Enlist(hostAt(well.addr, 1), nil, true)
		mustCall(t, addr, messageV4(1))
		if r := w.last(); r.Host != well.addr || r.Failovers != 1 {
			t.Errorf("%v", r)
		}
	})
	t.Run("they are asked again", func(t *testing.T) {
		h := startHost(t, &host{addr: "127.0.0.9:0"})
		p, w := poolOf(), &lazarus{watcher: newWatcher(), host: h}
		addr, _, _ := startGateway(t, GatewayConfig{Pool: p, Observer: w})
		p.Enlist(hostAt(h.addr, 0), nil, true)
		h.die()
		mustCall(t, addr, messageV4(1))
		if r := w.last(); r.Retries != 1 || r.Failovers != 1 {
			t.Errorf("%v", r)
		}
	})
}

// TestGatewayAsksNoClaim: a host that announced itself and never proved that it serves gets no client's message, even if
// nobody else is left.
func TestGatewayAsksNoClaim(t *testing.T) {
	dead, claim := startHost(t, &host{}), startHost(t, &host{})
	dead.die()
	p, w := poolOf(hostAt(dead.addr, 1)), newWatcher()
	p.Enlist(hostAt(claim.addr, 0), nil, false)
	addr, _, _ := startGateway(t, GatewayConfig{Pool: p, Observer: w, Budget: time.Second})
	for n := range 3 {
		if _, _, err := callOnce(addr, messageV4(n)); err == nil {
			t.Error("Somebody answered")
		}
	}
	if len(w.outcomes(claim.addr)) != 0 || claim.distinct() != 0 {
		t.Errorf("The claim was asked: %v", w.outcomes(claim.addr))
	}
	if got := p.Hosts()[1].State; got != pool.Claimed {
		t.Errorf("It is %s", got)
	}
}
