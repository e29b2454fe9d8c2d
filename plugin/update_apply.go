package plugin

import (
	"slices"

	"github.com/miekg/dns"
)

// apply is c after updates, which passed prescan, from owner: the pseudocode of RFC 2136 3.4.2.7. c stays as it is.
func (c *contents) apply(updates []dns.RR, owner string) *contents {
	after := &contents{zone: c.zone, known: c.known, entries: slices.Clone(c.entries)}
	for _, rr := range updates {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		switch h.Class {
		case dns.ClassINET:
			after.add(entry{rr: inClass(rr, dns.ClassINET), owner: owner, before: -1})
		case dns.ClassANY:
			after.removeSets(name, h.Rrtype)
		case dns.ClassNONE:
			after.removeOne(name, rr)
		}
	}
	return after
}

// add is RFC 2136 3.4.2.2.
func (c *contents) add(e entry) {
	h := e.rr.Header()
	switch {
	case h.Rrtype == dns.TypeCNAME && c.hasOther(h.Name, dns.TypeCNAME):
		return // an alias has no other data
	case h.Rrtype != dns.TypeCNAME && c.has(h.Name, dns.TypeCNAME):
		return
	case h.Rrtype == dns.TypeSOA && !c.succeeds(e.rr):
		return
	}
	for i := range c.entries {
		old := &c.entries[i]
		if old.rr.Header().Name != h.Name || !replaces(e.rr, old.rr) {
			continue
		}
		switch {
		case !sameRecord(old.rr, e.rr):
			*old = e
		case old.fixed == "":
			old.asked = true
		}
		return
	}
	c.entries = append(c.entries, e)
}

// hasOther is whether name has records of any type but rrtype.
func (c *contents) hasOther(name string, rrtype uint16) bool {
	return slices.ContainsFunc(c.entries, func(e entry) bool {
		h := e.rr.Header()
		return h.Name == name && h.Rrtype != rrtype
	})
}

// succeeds is whether soa is to take the place of the zone's SOA record: not if there is none, or its serial is not greater
// (RFC 1982).
func (c *contents) succeeds(soa dns.RR) bool {
	next, ok := soa.(*dns.SOA)
	if !ok {
		return false
	}
	for _, rr := range c.set(next.Hdr.Name, dns.TypeSOA) {
		if old, ok := rr.(*dns.SOA); ok {
			return int32(next.Serial-old.Serial) > 0
		}
	}
	return false
}

// replaces is whether rr takes the place of old, a record of the same name, instead of standing beside it. Of a KMS host
// there is one record, whatever its priority and weight: as RFC 2136 has it for a protocol at an address (WKS).
func replaces(rr, old dns.RR) bool {
	if rr.Header().Rrtype != old.Header().Rrtype {
		return false
	}
	switch rr := rr.(type) {
	case *dns.CNAME, *dns.SOA:
		return true
	case *dns.SRV:
		old, ok := old.(*dns.SRV)
		return ok && rr.Port == old.Port && dns.CanonicalName(rr.Target) == dns.CanonicalName(old.Target)
	}
	return sameRecord(old, rr)
}

// removeSets is RFC 2136 3.4.2.3: the RRset of name and type, or all RRsets of name.
func (c *contents) removeSets(name string, rrtype uint16) {
	c.entries = slices.DeleteFunc(c.entries, func(e entry) bool {
		h := e.rr.Header()
		if h.Name != name || rrtype != dns.TypeANY && h.Rrtype != rrtype {
			return false
		}
		return name != c.zone || h.Rrtype != dns.TypeSOA && h.Rrtype != dns.TypeNS
	})
}

// removeOne is RFC 2136 3.4.2.4: the one record with the data of rr, which is of class NONE.
func (c *contents) removeOne(name string, rr dns.RR) {
	switch rr.Header().Rrtype {
	case dns.TypeSOA:
		return
	case dns.TypeNS:
		if name == c.zone && len(c.set(name, dns.TypeNS)) == 1 {
			return
		}
	}
	c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return sameRecord(e.rr, rr) })
}

// difference is what an UPDATE really does to a zone.
type difference struct {
	removed []entry // as they were
	added   []entry // as they are to be; one with another priority is removed and added
	renewed []entry // that were there, announced, and are announced again; as they were
}

// difference is from before to c, which apply made of it. What is deleted and added again within one UPDATE stays.
func (c *contents) difference(before *contents) difference {
	var d difference
	there := make([]bool, len(before.entries))
	for _, e := range c.entries {
		if e.before < 0 {
			d.added = append(d.added, e)
			continue
		}
		there[e.before] = true
		if e.asked {
			d.renewed = append(d.renewed, e)
		}
	}
	for i, e := range before.entries {
		if there[i] {
			continue
		}
		if j := slices.IndexFunc(d.added, func(n entry) bool { return sameRecord(n.rr, e.rr) }); j >= 0 {
			d.added = slices.Delete(d.added, j, j+1)
			if e.fixed == "" {
				d.renewed = append(d.renewed, e)
			}
			continue
		}
		d.removed = append(d.removed, e)
	}
	return d
}

func (d difference) empty() bool { return len(d.removed)+len(d.added)+len(d.renewed) == 0 }
