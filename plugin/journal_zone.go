package plugin

import (
	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

// Feed is where a journal takes its zone from, and whom it tells. It is not changed once a journal has it.
type Feed struct {
	Site *Site  // whose Pool is set
	Zone string // one of Site's

	// Notify tells the secondaries of a zone that it changed, and may take its time; nil: there are none.
	Notify func(zone string) error

	// Last is the last serial of the zone that was kept, 0 if there is none, and Keep keeps one, durably. Both are nil if there
	// is nowhere to keep it.
	Last func() (uint32, error)
	Keep func(serial uint32) error
}

// ttl is the TTL of every record of the zone, in seconds. In answers it is shorter while hosts are in doubt; to transfer that
// too would be a version for each doubt, and a secondary asks for its own comfort.
func (f Feed) ttl() uint32 { return f.Site.TTLIn(pool.Calm) }

// zone is what the zone consists of now, its SOA record apart: each record once.
func (f Feed) zone() []dns.RR {
	name, ttl := config.ServiceName(f.Zone), f.ttl()
	all := nameServers(name, f.Site.NS, ttl)
	for _, r := range f.Site.offered() {
		all = append(all, serviceRecord(name, f.Zone, r, ttl))
	}
	for _, h := range f.Site.Hosts {
		if h.Name == "" {
			if made := madeUpName(h.Addresses[0], f.Zone); dns.IsSubDomain(name, made) {
				all = append(all, addressRecord(made, h.Addresses[0], ttl))
			}
		}
	}
	return dns.Dedup(all, nil)
}

// offered is the hosts that the answer has. A zone cannot say SERVFAIL: where the answer does, it has none.
func (s *Site) offered() []pool.Record {
	snapshot := s.Pool.Answer()
	if snapshot.Condition == pool.AllDown && s.AllDown != config.Serve {
		return nil
	}
	return snapshot.Records
}
