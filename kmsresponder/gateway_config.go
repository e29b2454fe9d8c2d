package kmsresponder

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// usual is the defaults of GatewayConfig.
var usual = config.DefaultResponder()

// GatewayConfig is what a gateway does, from one Configure to the next. Only
// Pool is required.
type GatewayConfig struct {
	Pool *pool.Pool

	// Group returns the product group of a version 4 request, and whether the
	// id is known; nil knows none. Hosts whose key does not cover the group are
	// asked last.
	Group func(kmswire.GUID) (group config.Key, known bool)

	Policy config.Policy

	// Warm is how many distinct clients a host is kept at that others are asked
	// before; 0 is off. It needs Ledger.
	Warm int

	// Ledger, if not nil, is told of every call, and knows how full hosts are.
	// Without it, config.Concentrate never opens a second host. Someone else runs it.
	Ledger *ledger.Ledger

	Observer Observer

	Allow  []netip.Prefix // private networks and loopback if empty
	Limits Limits         // where 0, the default

	Budget       time.Duration // for one call, every host asked in it; the default if 0
	IdleTimeout  time.Duration // for a client's next PDU to arrive completely; DefaultIdleTimeout if 0
	WriteTimeout time.Duration // for one answer to be sent; DefaultWriteTimeout if 0

	World *World // nil: this one
}

// settings is a configuration with its defaults, ready for calls. It is never
// changed once published.
type settings struct {
	GatewayConfig
	keys  map[string]config.Key // by endpoint, of hosts whose key is not Any
	again time.Duration         // again, but for tests that have no time

	now  func() time.Time
	draw func() uint32
}

func prepare(c GatewayConfig) *settings {
	s := &settings{GatewayConfig: c, keys: make(map[string]config.Key), again: again, now: time.Now, draw: rand.Uint32}
	if c.World != nil {
		s.now, s.draw = c.World.Now, c.World.Draw
	}
	for _, h := range c.Pool.Hosts() {
		if h.Key != config.Any {
			s.keys[h.Endpoint()] = h.Key
		}
	}
	if len(s.Allow) == 0 {
		s.Allow = usual.Allow
	}
	if s.Observer == nil {
		s.Observer = unobserved{}
	}
	if s.Ledger == nil {
		s.Warm = 0
	}
	usually(&s.Limits.Connections, usual.Connections)
	usually(&s.Limits.Client, usual.PerClient)
	usually(&s.Limits.Rate, usual.Rate)
	usually(&s.Budget, usual.Budget)
	usually(&s.IdleTimeout, DefaultIdleTimeout)
	usually(&s.WriteTimeout, DefaultWriteTimeout)
	return s
}

func usually[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// covers reports whether the host's key covers the product of q, as far as is
// known. q is nil for a request that is opaque.
func (s *settings) covers(endpoint string, q *kmswire.RequestV4) bool {
	if q == nil || s.Group == nil || len(s.keys) == 0 {
		return true
	}
	group, known := s.Group(q.KMSID)
	return !known || covers(s.keys[endpoint], group)
}
