package plugin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// policy is what one UPDATE is judged by (RFC 2136 3.3): who sent it, and what is known of the hosts that it names.
type policy struct {
	who     requester
	service string // the name of the SRV records
	names   *hostNames
	looked  *lookups
	ports   []uint16 // that may be announced; none: any
}

// hostNames is what the Corefile says of host names. It is never changed.
type hostNames struct {
	reserved   map[string]string       // names whose addresses nobody announces, and what they are
	advertised map[string]bool         // names of this server's own responders
	given      map[string][]netip.Addr // addresses that hosts of the Corefile have there
	sites      map[string]*Site        // by zone
}

func newHostNames(sites []*Site) *hostNames {
	n := &hostNames{reserved: map[string]string{}, advertised: map[string]bool{}, given: map[string][]netip.Addr{},
		sites: map[string]*Site{}}
	for _, s := range sites {
		for _, z := range s.Zones {
			n.reserved[z] = "a zone of the Corefile"
			n.sites[z] = s
		}
		for _, ns := range s.NS {
			n.reserved[ns] = "a name server of the Corefile"
		}
		if s.Responder != nil && s.Responder.Advertise.Name != "" {
			n.advertised[s.Responder.Advertise.Name] = true
			n.reserved[s.Responder.Advertise.Name] = "the responder of this server"
		}
		for _, h := range s.Hosts {
			for _, name := range hostNamesOf(h, s.Zones) {
				n.reserved[name] = ofCorefile
				n.given[name] = append(n.given[name], h.Addresses...)
			}
		}
	}
	return n
}

// ofCorefile is what an entry is that only the Corefile changes.
const ofCorefile = "a host of the Corefile"

// hostNamesOf is h's name, or those made up for it.
func hostNamesOf(h config.Host, zones []string) []string {
	if h.Name != "" {
		return []string{h.Name}
	}
	var names []string
	for _, z := range zones {
		names = append(names, madeUpName(h.Addresses[0], z))
	}
	return names
}

// permits says which record of an update section is of a kind that nobody announces here, whatever it would change; nil if
// none is. What prescan has a better word for it leaves to that.
func (p *policy) permits(c *contents, updates []dns.RR) *refusal {
	for _, rr := range updates {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		if !dns.IsSubDomain(c.zone, name) || isMeta(h.Rrtype) && h.Rrtype != dns.TypeANY {
			continue
		}
		var wrong string
		switch {
		case h.Class == dns.ClassANY && h.Rrtype == dns.TypeANY && c.known[name]:
			wrong = "the name has records behind this plugin, which no UPDATE changes here"
		case h.Class != dns.ClassINET || h.Rdlength == 0:
			continue
		case name == p.service:
			wrong = p.atService(c, rr)
		default:
			wrong = p.atHost(c, name, rr)
		}
		if wrong != "" {
			return refuse("%s: %s", describe(rr), wrong)
		}
	}
	return nil
}

// atService is what is wrong with adding rr at the service name; empty if nothing is.
func (p *policy) atService(c *contents, rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.SRV:
		target := dns.CanonicalName(rr.Target)
		switch err := config.ValidateHostName(target); {
		case rr.Port == 0:
			return "port 0: a port from 1 to 65535"
		case err != nil:
			return "target " + err.Error()
		case p.names.advertised[target]:
			return "that is the responder of this server, which would call itself"
		case c.holds(rr):
			return ""
		case len(p.ports) > 0 && !slices.Contains(p.ports, rr.Port):
			return fmt.Sprintf("port %d is none of those that \"port\" of the update block has", rr.Port)
		}
		return p.covered(target)
	case *dns.SOA, *dns.NS:
		if p.service == c.zone {
			return "" // what RFC 2136 3.4.2 ignores is ignored; what would change something is refused then
		}
	}
	return "only SRV records are announced there"
}

// atHost is what is wrong with adding rr, which is not at the service name; empty if nothing is.
func (p *policy) atHost(c *contents, name string, rr dns.RR) string {
	ip, ok := addressOf(rr)
	if !ok {
		return "only SRV records at " + p.service + ", and A and AAAA records of hosts, are announced"
	}
	if err := config.ValidateHostName(name); err != nil {
		return err.Error()
	}
	switch {
	case c.holds(rr):
		return ""
	case ip.IsUnspecified() || ip.IsMulticast() || ip.Is4In6():
		return "that is not the address of one machine"
	case p.names.sites[p.names.zoneOf(name)] != p.names.sites[c.zone]:
		return "that is in zone " + p.names.zoneOf(name) + ", where another kms block says who may announce what"
	case p.who.key == nil && slices.Contains(searched, firstLabel(name)):
		return "programs look for a machine of that name and trust it: that takes a key"
	case p.names.reserved[name] != "":
		return "that is " + p.names.reserved[name] + ", whose addresses nobody announces"
	case c.known[name]:
		return "the name has records behind this plugin, which no UPDATE changes here"
	}
	return p.covered(name)
}

// covered is what is wrong with a host of that name, announced without a key; empty if nothing is. Of keys judge says it.
func (p *policy) covered(name string) string {
	if p.who.key == nil && !p.who.may(name) {
		return "the name is none of those that \"allow\" has"
	}
	return ""
}

// searched is names that Windows and browsers look for in every domain, and configure themselves by; Microsoft's DNS server
// has them in its global query block list.
var searched = []string{"wpad", "isatap"}

func firstLabel(name string) string { return name[:strings.IndexByte(name, '.')] }

// zoneOf is the zone of the Corefile that name is in: the longest.
func (n *hostNames) zoneOf(name string) string {
	for start, end := 0, false; !end; start, end = dns.NextLabel(name, start) {
		if n.sites[name[start:]] != nil {
			return name[start:]
		}
	}
	return "."
}

// addressOf is the address in an A or AAAA record.
func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		ip, ok := netip.AddrFromSlice(rr.A.To4())
		return ip, ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// judge says what of d, which leads from before to after, its requester may not do; nil if it may do all.
func (p *policy) judge(before, after *contents, d difference) *refusal {
	for _, e := range d.removed {
		if e.fixed != "" {
			return refuse("%s is %s, which no UPDATE changes", label(e.rr), e.fixed)
		}
		if !p.owns(before, e) {
			return refuse("%s was announced by %s", label(e.rr), e.owner)
		}
	}
	for _, e := range slices.Concat(d.added, d.renewed) {
		var r *refusal
		switch ip, isAddress := addressOf(e.rr); {
		case e.rr.Header().Rrtype == dns.TypeSRV:
			r = p.mayAnnounce(after, dns.CanonicalName(e.rr.(*dns.SRV).Target))
		case isAddress:
			r = p.mayHave(before, after, e.rr.Header().Name, ip)
		default:
			r = refuse("%s: nobody announces that", describe(e.rr))
		}
		if r != nil {
			return r
		}
	}
	isHost := func(e entry) bool { return e.rr.Header().Rrtype == dns.TypeSRV }
	if n := after.claims(p.who.owner); p.who.key == nil && n > maxOwn && slices.ContainsFunc(d.added, isHost) {
		return beyond("%d hosts announced by %s: at most %d by one machine for itself", n, p.who.from, maxOwn)
	}
	return nil
}

// maxOwn is how many hosts (names and ports) one machine announces for itself, so that it leaves places for others.
const maxOwn = 4

// owns is whether e, one of c's, is the requester's own: it announced it, or its key is good for it, or it is that host.
func (p *policy) owns(c *contents, e entry) bool {
	name := e.rr.Header().Name
	if srv, ok := e.rr.(*dns.SRV); ok {
		name = dns.CanonicalName(srv.Target)
		return e.owner == p.who.owner || p.who.covers(name) || p.isSelf(c, name)
	}
	ip, _ := addressOf(e.rr)
	return e.owner == p.who.owner || p.who.covers(name) || p.who.key == nil && ip == p.who.from
}

// isSelf is whether the requester speaks for itself alone and is the host called name: by what the Corefile and c say of its
// addresses, or else by what was looked up.
func (p *policy) isSelf(c *contents, name string) bool {
	return p.who.key == nil && slices.Contains(p.addresses(c, name), p.who.from)
}

func (p *policy) addresses(c *contents, name string) []netip.Addr {
	if given := p.names.given[name]; len(given) > 0 {
		return given
	}
	var found []netip.Addr
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		for _, rr := range c.set(name, rrtype) {
			if ip, ok := addressOf(rr); ok {
				found = append(found, ip)
			}
		}
	}
	if len(found) > 0 {
		return found
	}
	return p.looked.resolved[name]
}

// mayAnnounce says why the requester may not announce the host called target.
func (p *policy) mayAnnounce(after *contents, target string) *refusal {
	if p.who.key != nil {
		if !p.who.covers(target) {
			return refuse("%s is not for %s", p.who.owner, target)
		}
		return nil
	}
	if p.isSelf(after, target) {
		return nil
	}
	err := p.looked.failed[target]
	if soft := new(net.DNSError); errors.As(err, &soft) && !soft.IsNotFound {
		return failure("%s cannot be looked up: %v", target, err)
	}
	resolves := "has no address"
	if known := p.addresses(after, target); len(known) > 0 {
		resolves = fmt.Sprintf("has %v", known)
	} else if err != nil {
		resolves = err.Error()
	}
	return refuse("%s is not %s: %s", p.who.from, target, resolves)
}

// mayHave says why the requester may not announce ip for name.
func (p *policy) mayHave(before, after *contents, name string, ip netip.Addr) *refusal {
	if p.who.key != nil {
		if !p.who.covers(name) {
			return refuse("%s is not for %s", p.who.owner, name)
		}
		return nil
	}
	if ip != p.who.from {
		return refuse("%s: %s may announce its own address alone", describeAddress(name, ip), p.who.from)
	}
	for _, e := range after.entries {
		other, ok := addressOf(e.rr)
		if ok && e.rr.Header().Name == name && other != ip && e.owner != p.who.owner {
			return refuse("%s has %s already, announced by %s", name, other, e.owner)
		}
	}
	// Or else a host that somebody announced before it had an address, or while nobody can say which, could be led elsewhere.
	if e := before.othersClaim(name, p.who.owner); e != nil && !p.isSelf(before, name) {
		return refuse("%s is %s, announced by %s, and %s is not known to be that", name, label(e.rr), e.owner, p.who.from)
	}
	// What the rest of the world believes is not overruled.
	if elsewhere := p.looked.resolved[name]; len(elsewhere) > 0 && !slices.Contains(elsewhere, ip) {
		return refuse("%s has %v elsewhere", name, elsewhere)
	}
	return nil
}

// label names what a record is about: "kms1.example.org:1688", or the name and its address.
func label(rr dns.RR) string {
	if srv, ok := rr.(*dns.SRV); ok {
		return config.Host{Name: dns.CanonicalName(srv.Target), Port: srv.Port}.Endpoint()
	}
	if ip, ok := addressOf(rr); ok {
		return describeAddress(rr.Header().Name, ip)
	}
	return describe(rr)
}

func describeAddress(name string, ip netip.Addr) string {
	return strings.TrimSuffix(name, ".") + " " + ip.String()
}
