package plugin

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

// owner is a name that kms owns: the service name of a zone, or a host name made up in it.
type owner struct {
	site    *Site
	zone    string
	name    string     // absolute, lower-case
	address netip.Addr // of a made-up host name; invalid for a service name
	cut     *cut       // the zone that it is in, if that is one of its own; else nil

	below    soaCache
	prepared atomic.Pointer[prepared]
	answers  answerCounters
}

// isService is whether o is a service name, and not a host's, nor a name above a service name.
func (o *owner) isService() bool { return strings.HasPrefix(o.name, serviceLabels) }

// prepared is the records of one snapshot under one service name, made by the first query after a change. Queries share
// them: nothing in them is ever changed.
type prepared struct {
	snapshot *pool.Snapshot
	services []dns.RR   // in the order of snapshot.Records
	glue     [][]dns.RR // addresses of each one's target, if that is in the zone
	glued    int        // records in glue
	words    func() *history.Answer
	octets   func() *octets
	length   int // octets of a reply with everything, not compressed, OPT record apart
}

// quick is the TTL while what is answered may soon be wrong.
const quick = 5

// TTLIn is the TTL in seconds of what is answered in condition c.
func (s *Site) TTLIn(c pool.Condition) uint32 {
	configured := uint32(s.TTL.Seconds())
	if c == pool.Calm {
		return configured
	}
	return min(configured, quick)
}

// Result is how the question for the service is answered from p: that there is an answer at all, if every host is down, is
// for the Corefile to say.
func (s *Site) Result(p *pool.Snapshot) Result {
	switch {
	case p.Condition == pool.SelfSuspected:
		return FailOpen
	case p.Condition != pool.AllDown:
		return Normal
	case s.AllDown == config.ServFail:
		return ServFail
	case s.AllDown == config.NoData || len(p.Records) == 0:
		return NoData
	}
	return FailOpen
}

// ready returns o's records of the present snapshot.
func (o *owner) ready() *prepared {
	snapshot := o.site.Pool.Answer()
	if p := o.prepared.Load(); p != nil && p.snapshot == snapshot {
		return p
	}
	p := o.prepare(snapshot)
	o.prepared.Store(p) // two queries may both do this; both are right
	return p
}

func (o *owner) prepare(s *pool.Snapshot) *prepared {
	p := &prepared{snapshot: s, services: make([]dns.RR, len(s.Records)), glue: make([][]dns.RR, len(s.Records))}
	ttl := o.site.TTLIn(s.Condition)
	length := dns.Msg{Question: []dns.Question{{Name: o.name}}}
	seen := make(map[string]bool)
	for i, r := range s.Records {
		service := serviceRecord(o.name, o.zone, r, ttl)
		target := service.Target
		p.services[i] = service
		length.Answer = append(length.Answer, service)
		// Out of our zone nobody may believe us. Two ports of one host share its addresses.
		if !dns.IsSubDomain(o.zone, target) || seen[target] {
			continue
		}
		seen[target] = true
		for _, family := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} { // RRset after RRset, for trim
			for _, a := range r.Addresses {
				if family(a) {
					p.glue[i] = append(p.glue[i], addressRecord(target, a, ttl))
				}
			}
		}
		p.glued += len(p.glue[i])
		length.Extra = append(length.Extra, p.glue[i]...)
	}
	p.length = length.Len()
	// Most servers show them to nobody, and with many zones every change of health makes all records anew.
	p.words = sync.OnceValue(func() *history.Answer { return inWords(p.services) })
	p.octets = sync.OnceValue(func() *octets { return pack(p.services, p.glue) })
	return p
}

// maxWords is how many records of an answer are kept in words.
const maxWords = 8

// inWords is the data of records as dig +short prints it, for people.
func inWords(records []dns.RR) *history.Answer {
	a := &history.Answer{More: max(len(records)-maxWords, 0)}
	for _, rr := range records[:min(len(records), maxWords)] {
		a.Records = append(a.Records, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return a
}

// serviceRecord is r under the service name of zone.
func serviceRecord(name, zone string, r pool.Record, ttl uint32) *dns.SRV {
	return &dns.SRV{
		Hdr:      dns.RR_Header{Name: name, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: ttl},
		Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: Target(r, zone),
	}
}

// Target is the host name that clients in zone are told of r.
func Target(r pool.Record, zone string) string {
	if r.Name == "" {
		return madeUpName(r.Addresses[0], zone)
	}
	return r.Name
}

func addressRecord(name string, a netip.Addr, ttl uint32) dns.RR {
	h := dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}
	if a.Is4() {
		return &dns.A{Hdr: h, A: a.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}
}

// madeUpName is the name in zone of a host that is given by its address, because the target of an SRV record must be a name
// (RFC 2782): kms-192-0-2-10.<zone>, or kms- and the eight groups of an IPv6 address in full, which never begin or end with
// a hyphen.
func madeUpName(a netip.Addr, zone string) string {
	label := "kms-" + hyphens.Replace(a.StringExpanded())
	if zone == "." {
		return label + "."
	}
	return label + "." + zone
}

// hyphens makes a label of an address. A replacer is dear to make, and one is needed for each host in each zone.
var hyphens = strings.NewReplacer(".", "-", ":", "-")

// CheckNames says whether the names that have to be made up fit into the zones.
func (s *Site) CheckNames() error {
	for _, zone := range s.Zones {
		for _, h := range s.Hosts {
			if h.Name == "" && len(madeUpName(h.Addresses[0], zone)) > 254 {
				return fmt.Errorf("zone %q is too long for the name of %s in it: give the host a name", zone, h.Addresses[0])
			}
		}
	}
	return nil
}
