package plugin

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/nonwriter"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

const (
	lookupTime = 2 * time.Second // one look-up of the machine's resolver
	updateTime = 5 * time.Second // one UPDATE, all look-ups and the commit included: its sender asks again after a few seconds
	maxLookups = 16              // of the machine's resolver, at once

	// One sender whose name servers are slow shall not keep the others from being looked up.
	maxLookupsBy = 4
)

// lookups is what the world outside says of the names in one UPDATE. It is asked before the UPDATE is judged: judging is done
// where nothing may block.
type lookups struct {
	entries  []entry                 // of the plugin behind
	known    map[string]bool         // names that the plugin behind has
	unclear  map[string]bool         // names of which it could not say whether it has them
	resolved map[string][]netip.Addr // of hosts; those that have announced addresses are not looked up
	failed   map[string]error        // why a host did not resolve
}

// ofBehind is what an entry is that the next plugin has.
const ofBehind = "a record behind this plugin"

// lookUp asks for what is needed to judge u, whose answer goes to w.
func (h *Handler) lookUp(ctx context.Context, w dns.ResponseWriter, u *update) (*lookups, *refusal) {
	found := &lookups{known: map[string]bool{}, unclear: map[string]bool{}, resolved: map[string][]netip.Addr{}, failed: map[string]error{}}
	below := &behind{ctx: ctx, next: h.Next, w: w, asked: map[dns.Question]bool{}, found: found}
	for _, rr := range slices.Concat(u.prerequisites, u.changes) {
		if name := dns.CanonicalName(rr.Header().Name); dns.IsSubDomain(u.zone, name) && !dns.IsSubDomain(u.service, name) {
			below.learn(name, rr.Header().Rrtype)
			// Or else an outage would give away what the zone has. What was announced was free then.
			if found.unclear[name] && !found.known[name] && u.announced(name) == nil {
				return nil, failure("%s: the plugin behind cannot say now whether it has that name", name)
			}
		}
	}
	for _, name := range u.newNames() {
		if !found.known[name] && u.announced(name) == nil {
			if r := h.resolve(ctx, u.who.from, name, found); r != nil {
				return nil, r
			}
		}
	}
	for _, target := range u.targets() {
		if len(h.updates.names.given[target]) > 0 || u.announced(target) != nil || u.announces(target) {
			continue
		}
		if found.resolved[target] = below.addresses(target); len(found.resolved[target]) > 0 || u.who.key != nil {
			continue // a key needs no proof, and pools look names up for themselves
		}
		if r := h.resolve(ctx, u.who.from, target, found); r != nil {
			return nil, r
		}
	}
	if ctx.Err() != nil {
		return nil, failure("what is known of the hosts in it could not be found out within %s", updateTime)
	}
	return found, nil
}

// lookupPlaces counts the look-ups of the machine's resolver that are under way. Its zero value is ready.
type lookupPlaces struct {
	mu  sync.Mutex
	all int
	by  map[netip.Addr]int // of senders that have any
}

// take is whether there is a place for another look-up for from; leave must follow.
func (p *lookupPlaces) take(from netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxLookups || p.by[from] >= maxLookupsBy {
		return false
	}
	if p.by == nil {
		p.by = make(map[netip.Addr]int)
	}
	p.all++
	p.by[from]++
	return true
}

func (p *lookupPlaces) leave(from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.by[from]--; p.by[from] == 0 {
		delete(p.by, from)
	}
}

// resolve asks the machine's resolver for the addresses of name, for from. It fails if too many ask already.
func (h *Handler) resolve(ctx context.Context, from netip.Addr, name string, into *lookups) *refusal {
	if !h.updates.lookups.take(from) {
		return failure("too many look-ups for other UPDATEs are under way: try again later")
	}
	defer h.updates.lookups.leave(from)
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	into.resolved[name], into.failed[name] = h.updates.resolve(ctx, name)
	return nil
}

// behind asks the next plugin.
type behind struct {
	ctx   context.Context
	next  plugin.Handler
	w     dns.ResponseWriter
	asked map[dns.Question]bool
	found *lookups
}

// learn finds out whether the next plugin has name, and its records of the type.
func (b *behind) learn(name string, rrtype uint16) {
	b.take(name, dns.TypeA)
	b.take(name, dns.TypeAAAA)
	if !isMeta(rrtype) {
		b.take(name, rrtype)
	}
}

// take makes entries of what the next plugin says of name and type. A name that it does not deny exists, if only as one that
// has others below: it is not ours to give away.
func (b *behind) take(name string, rrtype uint16) {
	q := dns.Question{Name: name, Qtype: rrtype}
	if b.asked[q] {
		return
	}
	b.asked[q] = true
	records, rcode := b.ask(name, rrtype)
	switch rcode {
	case dns.RcodeSuccess:
		b.found.known[name] = true
	case dns.RcodeServerFailure:
		b.found.unclear[name] = true
	}
	for _, rr := range records {
		rr = inClass(rr, dns.ClassINET)
		if h := rr.Header(); h.Name == name && (h.Rrtype == rrtype || h.Rrtype == dns.TypeCNAME) {
			b.found.known[name] = true
			b.found.put(rr)
		}
	}
}

func (l *lookups) put(rr dns.RR) {
	if !slices.ContainsFunc(l.entries, func(e entry) bool { return sameRecord(e.rr, rr) }) {
		l.entries = append(l.entries, entry{rr: rr, fixed: ofBehind})
	}
}

// addresses is what clients of this server are told of name, aliases followed.
func (b *behind) addresses(name string) []netip.Addr {
	var found []netip.Addr
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		records, _ := b.ask(name, rrtype)
		for _, rr := range records {
			if ip, ok := addressOf(rr); ok && len(found) < config.MaxAddresses {
				found = append(found, ip)
			}
		}
	}
	return found
}

// ask puts a question to the next plugin. rcode is NOERROR if that has the name, SERVFAIL if it cannot say so, and something
// else if it has no such name, or no such zone.
func (b *behind) ask(name string, rrtype uint16) (answer []dns.RR, rcode int) {
	if b.ctx.Err() != nil {
		return nil, dns.RcodeServerFailure
	}
	m := new(dns.Msg)
	m.SetQuestion(name, rrtype)
	into := nonwriter.New(b.w)
	rcode, err := plugin.NextOrFailure(Name, b.next, b.ctx, into, m)
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "no next plugin found"): // of plugin.NextOrFailure, which has no better sign
		return nil, dns.RcodeRefused
	case err != nil:
		return nil, dns.RcodeServerFailure
	case into.Msg == nil && rcode == dns.RcodeSuccess: // it kept silent
		return nil, dns.RcodeServerFailure
	case into.Msg == nil:
		return nil, rcode
	case into.Msg.Rcode != dns.RcodeSuccess && into.Msg.Rcode != dns.RcodeNameError:
		return nil, into.Msg.Rcode
	}
	return into.Msg.Answer, into.Msg.Rcode // also of an alias whose target is denied
}

// newNames is the names of which u announces addresses on nobody's word but its sender's.
func (u *update) newNames() []string {
	if u.who.key != nil {
		return nil
	}
	var names []string
	for _, rr := range u.changes {
		name := dns.CanonicalName(rr.Header().Name)
		if _, ok := addressOf(rr); !ok || rr.Header().Class != dns.ClassINET || slices.Contains(names, name) {
			continue
		}
		if dns.IsSubDomain(u.zone, name) && config.ValidateHostName(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// targets is the hosts in u whose addresses must be known: of those it announces, and, where its sender speaks for itself
// alone, of those it deletes that somebody else announced.
func (u *update) targets() []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) && len(names) < maxUpdateRecords && config.ValidateHostName(name) == nil {
			names = append(names, name)
		}
	}
	for _, rr := range u.changes {
		h := rr.Header()
		if dns.CanonicalName(h.Name) != u.service || h.Rrtype != dns.TypeSRV && h.Rrtype != dns.TypeANY {
			continue
		}
		srv, _ := rr.(*dns.SRV)
		switch {
		case h.Class == dns.ClassINET && srv != nil:
			add(dns.CanonicalName(srv.Target))
		case h.Class == dns.ClassNONE && srv != nil:
			u.others(func(c registry.Claim) {
				if c.Port == srv.Port && c.Target == dns.CanonicalName(srv.Target) {
					add(c.Target)
				}
			})
		case h.Class == dns.ClassANY && len(u.site.Hosts) == 0: // or else it is refused anyway
			u.others(func(c registry.Claim) { add(c.Target) })
		}
	}
	return names
}

// others calls f with the claims that somebody else made, if they are of interest to one who speaks for itself alone.
func (u *update) others(f func(registry.Claim)) {
	if u.who.key != nil {
		return
	}
	for _, c := range u.site.Registry.Snapshot().Claims {
		if c.Owner != u.who.owner {
			f(c)
		}
	}
}

// announced is the addresses that were announced for name.
func (u *update) announced(name string) []netip.Addr {
	if u.site.Registry == nil {
		return nil
	}
	return u.site.Registry.Snapshot().Addresses[name]
}

// announces is whether u itself announces an address for name.
func (u *update) announces(name string) bool {
	return slices.ContainsFunc(u.changes, func(rr dns.RR) bool {
		_, ok := addressOf(rr)
		return ok && rr.Header().Class == dns.ClassINET && dns.CanonicalName(rr.Header().Name) == name
	})
}
