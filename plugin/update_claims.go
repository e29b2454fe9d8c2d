package plugin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

// contents is the zone of u as it is: hosts of the Corefile, what is announced in d, and what was looked up.
func (u *update) contents(d *registry.Draft, l *lookups) *contents {
	c := newContents(u.zone, l.known)
	configured := make(map[string]bool)
	names := make(map[string]bool) // whose announced addresses matter; not all are in the zone
	for _, rr := range u.apex {
		c.put(entry{rr: rr, fixed: "a record of the zone itself"})
	}
	for _, h := range u.site.Hosts {
		target := h.Name
		if target == "" {
			target = madeUpName(h.Addresses[0], u.around)
			c.put(entry{rr: addressRecord(target, h.Addresses[0], 0), fixed: ofCorefile})
		}
		rr := u.serviceRecord(target, h.Port, h.Priority, h.Weight)
		configured[label(rr)] = true
		c.put(entry{rr: rr, fixed: ofCorefile})
	}
	for _, claim := range d.Claims() {
		names[claim.Target] = true
		rr := u.serviceRecord(claim.Target, claim.Port, claim.Priority, claim.Weight)
		if !configured[label(rr)] {
			c.put(entry{rr: rr, owner: claim.Owner})
		}
	}
	for _, rr := range slices.Concat(u.prerequisites, u.changes) {
		names[dns.CanonicalName(rr.Header().Name)] = true
		if srv, ok := rr.(*dns.SRV); ok {
			names[dns.CanonicalName(srv.Target)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, a := range d.Addresses(name) {
			c.put(entry{rr: addressRecord(name, a.IP, 0), owner: a.Owner})
		}
	}
	for _, e := range l.entries {
		if !c.holds(e.rr) { // or else who announced it could not take it back
			c.put(e)
		}
	}
	return c
}

func (u *update) serviceRecord(target string, port, priority, weight uint16) *dns.SRV {
	return &dns.SRV{
		Hdr:      dns.RR_Header{Name: u.service, Rrtype: dns.TypeSRV, Class: dns.ClassINET},
		Priority: priority, Weight: weight, Port: port, Target: target,
	}
}

// keep makes d have what diff, which leads to after, says.
func (u *update) keep(d *registry.Draft, p *policy, after *contents, diff difference) error {
	now := time.Now()
	for _, e := range diff.removed {
		if srv, ok := e.rr.(*dns.SRV); ok {
			d.Remove(dns.CanonicalName(srv.Target), srv.Port)
		} else if ip, ok := addressOf(e.rr); ok {
			d.RemoveAddress(e.rr.Header().Name, ip)
		}
	}
	for _, e := range slices.Concat(diff.added, diff.renewed) {
		var err error
		if srv, ok := e.rr.(*dns.SRV); ok {
			err = u.claim(d, p, after, srv, now)
		} else if ip, ok := addressOf(e.rr); ok {
			err = d.PutAddress(registry.Address{Name: e.rr.Header().Name, IP: ip, Owner: u.who.owner, Source: u.who.from, Updated: now})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", label(e.rr), err)
		}
	}
	return nil
}

// claim puts one announced host into d. Where its addresses are not known now they are what they were.
func (u *update) claim(d *registry.Draft, p *policy, after *contents, srv *dns.SRV, now time.Time) error {
	target := dns.CanonicalName(srv.Target)
	hints := p.addresses(after, target)
	if last, ok := d.Find(target, srv.Port); ok && len(hints) == 0 {
		hints = last.Hints
	}
	return d.Put(registry.Claim{Target: target, Port: srv.Port, Priority: srv.Priority, Weight: srv.Weight,
		Owner: u.who.owner, Source: u.who.from, Hints: hints, Updated: now})
}

// classify is what the registry's error means to the sender of an UPDATE.
func classify(err error) *refusal {
	var r *refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return r
	case errors.Is(err, registry.ErrFull):
		return beyond("%v", err)
	}
	return failure("%v", err)
}
