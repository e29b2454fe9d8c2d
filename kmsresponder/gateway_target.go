package kmsresponder

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// target is a host to be asked.
type target struct {
	endpoint  string
	addresses []netip.Addr
	port      uint16
	down      bool // it is believed to be
}

// offered is the hosts of s in the order in which to ask them for this call.
func (c *gatewayCall) offered(s *pool.Snapshot) []target {
	choice := choice{policy: c.settings.Policy}
	if len(s.Records) > 1 {
		choice.ranks = c.ranks(s)
		if choice.policy == config.Spread {
			choice.draw = c.settings.draw()
		} else {
			choice.client, choice.homes = identity(c.client), c.homes()
		}
	}
	var room [8]uint16
	order := choice.order(room[:0], s)
	targets := make([]target, 0, len(order))
	for _, i := range order {
		r := &s.Records[i]
		if !c.done[r.Endpoint] {
			targets = append(targets, target{r.Endpoint, r.Addresses, r.Port, s.Condition == pool.AllDown})
		}
	}
	return targets
}

// ranks is which of the hosts of s are to be asked after others, nil if none is.
func (c *gatewayCall) ranks(s *pool.Snapshot) []uint8 {
	var ranks []uint8
	for i := range s.Records {
		if rank := c.rank(s.Records[i].Endpoint); rank != rankAble {
			if ranks == nil {
				ranks = make([]uint8, len(s.Records))
			}
			ranks[i] = rank
		}
	}
	return ranks
}

func (c *gatewayCall) rank(endpoint string) uint8 {
	g := c.gateway
	if !c.settings.covers(endpoint, c.record.Request) || g.memory.has(c.refusal(endpoint), c.record.At) {
		return rankUnable
	}
	if u := g.upstreams.find(endpoint); u != nil && u.wasSilent(c.record.At) {
		return rankSilent
	}
	return rankAble
}

func (c *gatewayCall) refusal(endpoint string) refused {
	return refused{c.client, c.record.Version, endpoint}
}

// down is the hosts that are believed down and that s leaves out. Those that a
// person took out are not among them, nor those that announced themselves and
// never proved that they serve.
func (c *gatewayCall) down(s *pool.Snapshot) []target {
	var targets []target
	for _, h := range c.settings.Pool.Hosts() {
		endpoint := h.Endpoint()
		offered := slices.ContainsFunc(s.Records, func(r pool.Record) bool { return r.Endpoint == endpoint })
		if h.State != pool.Drained && h.State != pool.Claimed && !offered && !c.done[endpoint] {
			targets = append(targets, target{endpoint, h.Addresses, h.Port, true})
		}
	}
	return targets
}

// share is until when t may take. A host that does not answer at all must leave
// time for the others: it gets three tenths of the budget at most, one that is
// believed down a tenth, and none more than half of what is left. The only host
// of a pool may take all of it, unless it is believed down.
func (c *gatewayCall) share(t target, s *pool.Snapshot) time.Time {
	now, part := c.settings.now(), c.settings.Budget*3/10
	switch {
	case t.down:
		part = c.settings.Budget / 10
	case s.Standing == 1:
		return c.deadline
	}
	return now.Add(min(part, c.deadline.Sub(now)/2))
}
