package kmsresponder

import (
	"context"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// World is a world for a gateway beside the real one, of which it then sees
// neither clock nor network: that of a simulation. All fields must be set.
type World struct {
	Now   func() time.Time
	Sleep func(time.Duration)
	Draw  func() uint32 // at random, for config.Spread

	// Exchange has the host called endpoint answer message until the time given.
	// An error is one that a network has: how it counts against the host depends
	// on it.
	Exchange func(endpoint string, message []byte, until time.Time) (response []byte, hr kmswire.HRESULT, err error)
}

// Call answers the message of a client at from, in its World. When it returns,
// the call is in the Ledger, which nobody else has to run, and the copies of it
// are sent that keep hosts warm. A gateway takes one Call at a time, and is not
// to serve as well. Limits of connections and rates do not apply.
func (g *Gateway) Call(from netip.Addr, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
	response, hr, fault := g.answer(context.Background(), from, new(guest), message)
	if l := g.settings.Load().Ledger; l != nil {
		l.Settle()
	}
	for range len(g.copies) {
		g.copyTo(context.Background(), <-g.copies)
	}
	return response, hr, fault
}
