package kmsresponder

import (
	"fmt"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// Preference is one host's place in the order in which hosts would be asked for
// a client's call.
type Preference struct {
	Host string // its endpoint
	Why  string
}

// Preferences is the hosts in the order in which they would be asked if the
// client called now with this version of the protocol, each with the reason for
// its place. Of hosts whose key does not cover the client's product nothing is
// said: only the request itself tells the product. For people to look at; it
// asks nobody and changes nothing.
func (g *Gateway) Preferences(client ledger.Client, v kmswire.Version) []Preference {
	c := gatewayCall{gateway: g, settings: g.settings.Load(), client: client, record: CallRecord{At: time.Now(), Version: v}}
	s := c.settings.Pool.Snapshot()
	var all []Preference
	for _, t := range c.offered(s) {
		i := slices.IndexFunc(s.Records, func(r pool.Record) bool { return r.Endpoint == t.endpoint })
		all = append(all, Preference{t.endpoint, c.because(s, s.Records[i])})
	}
	for _, t := range c.down(s) {
		all = append(all, Preference{t.endpoint, "believed down: asked only when all others failed"})
	}
	return all
}

// because is why the host of r has its place for c.
func (c *gatewayCall) because(s *pool.Snapshot, r pool.Record) string {
	why := fmt.Sprintf("priority %d", r.Priority)
	if s.Condition == pool.AllDown {
		why = "believed down, as every host is: " + why
	}
	switch c.rank(r.Endpoint) {
	case rankUnable:
		return why + ", behind the others: it declined this client within a day"
	case rankSilent:
		return why + ", behind the others: it kept the last call waiting in vain a few seconds ago"
	}
	if c.settings.Policy == config.Spread {
		return fmt.Sprintf("%s, weight %d: drawn anew for each call (policy spread)", why, r.Weight)
	}
	tier := tierAt(s.Records, slices.IndexFunc(s.Records, func(o pool.Record) bool { return o.Priority == r.Priority }))
	if len(tier) == 1 {
		return why + ", alone there"
	}
	k := choice{homes: c.homes()}
	clients, open := k.clients(tier), k.open(tier)
	switch at := slices.IndexFunc(tier, func(o pool.Record) bool { return o.Endpoint == r.Endpoint }); {
	case at >= open:
		return fmt.Sprintf("%s, not opened yet: the %d in front of it have %d clients, and it takes %d for another (policy concentrate)",
			why, at, clients, hostFull*(at+1))
	case open == 1:
		return fmt.Sprintf("%s, the only one that is open: %d clients, and at %d the next one is opened (policy concentrate)", why, clients, 2*hostFull)
	}
	return fmt.Sprintf("%s, one of %d that share %d clients, each client staying with its own until another is opened (policy concentrate)", why, open, clients)
}

// homes is how many clients each host has as their home; nil if nobody knows.
func (c *gatewayCall) homes() func(string) int {
	if c.settings.Ledger == nil {
		return nil
	}
	return c.settings.Ledger.Homes
}
